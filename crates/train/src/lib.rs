//! The experiment, its training loop, optimisers, schedules and evaluation.
