//! The training crate as its users see it: experiments in, trajectories and run directories out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../../../tests/program/columns.rs"]
mod columns;
mod common;
mod engines;
mod experiment;
mod metrics;
mod optimizers;
mod parity;
mod random;
mod reference;
mod resume;
mod runs;
mod schedule;
mod stopping;
