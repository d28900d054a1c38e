//! The declaration of sweeps: which runs they expand to, and the errors.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod axes;
mod declaration;
mod random;
mod world;
