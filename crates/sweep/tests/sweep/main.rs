//! The declaration of sweeps: which runs they expand to, and the errors. The decisions of races.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod axes;
mod declaration;
mod race;
mod random;
mod world;
