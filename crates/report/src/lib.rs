//! What a run leaves on disk: its record, history, test report and pictures.
