//! Tests of the public interface of the training crate.

#![expect(clippy::unwrap_used, reason = "a panic fails the test, as intended")]

#[path = "../../../../tests/program/columns.rs"]
mod columns;
mod common;
mod convolutional;
mod engine_choice;
mod engines;
mod experiment;
mod imbalance;
mod initial_weights;
mod metrics;
mod optimizers;
mod parity;
mod random;
mod reference;
mod resume;
mod runs;
mod schedules;
mod stopping;
mod tests_of_runs;
mod type_change;
