//! Runs and sweeps as a live page in a browser.
//!
//! A [`Server`] shows the runs below a directory: their comparison, which is the page of `kiln-compare` with links, and a page for each
//! run. It only reads. `ARCHITECTURE.md` ("The live page") says what a request reads, how changes are noticed, and which rules
//! protect the machine.

mod access;
mod connection;
mod error;
mod page;
mod respond;
mod run_page;
mod server;
mod site;
mod token;
mod watches;

pub use connection::Limits;
pub use error::{Result, ServeError};
pub use server::{ServeOptions, Server, StopServer};
