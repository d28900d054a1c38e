//! Runs and sweeps as a live page in a browser.
