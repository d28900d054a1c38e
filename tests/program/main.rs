//! The program as its users meet it: files in, a command, what it says and what it leaves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod columns;
mod compare;
mod data;
mod doctor;
mod documentation;
mod golden;
mod hostile_files;
mod hostile_names;
mod interruption;
mod reading;
mod reliability;
mod run;
mod summary;
mod sweep;
mod sweep_interrupted;
mod verify;
mod world;
