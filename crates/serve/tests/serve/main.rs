//! Tests of the server through HTTP: who may ask for what, limits, pages, and changes of the runs.

mod access;
mod changes;
mod client;
mod limits;
mod pages;
#[expect(dead_code, reason = "the tests of other crates use the rest")]
#[path = "../../../store/tests/store/tree.rs"]
mod tree;
