//! Tests of `kiln-statistics` through its public interface. They are one program, so that they are linked only once.

mod best;
mod interactions;
mod normal;
mod pairs;
mod shares;
