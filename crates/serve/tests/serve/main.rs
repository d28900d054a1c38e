//! Tests of the server through HTTP: who may ask for what, limits, pages, and changes of the runs.

mod access;
mod changes;
mod client;
mod limits;
mod pages;
#[path = "../../../store/tests/store/tree.rs"]
mod tree;
