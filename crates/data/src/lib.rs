//! Named datasets and directories: verified bytes, a split, normalised batches.
