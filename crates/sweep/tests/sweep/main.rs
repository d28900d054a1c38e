//! What a sweep declares and what comes of it, without launching anything.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod axes;
mod declaration;
mod random;
mod world;
