//! Tests of the `kiln` program as a user runs it: files in, one command, then its output and the files that it leaves.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod bad_input;
mod budget;
mod changed_data;
#[cfg(unix)]
mod cluster;
mod columns;
mod compare;
mod convolution;
mod data;
mod data_check;
mod data_fetch;
mod declarations;
mod decoded_images;
mod doctor;
mod documentation;
mod extends;
mod formats;
mod golden;
mod hostile_files;
mod hostile_names;
mod imbalance;
mod interruption;
mod invalid_runs;
mod licenses;
mod more_epochs;
mod named_runs;
mod notes;
mod onnx;
mod processes;
mod processors;
mod project;
mod python;
mod race;
mod recipes;
mod reliability;
mod reuse;
mod run;
mod run_state;
mod sampling;
mod serve;
mod shared_training;
mod show_predict;
mod simulation;
mod spelling;
mod summary;
mod sweep;
mod sweep_interrupted;
#[cfg(target_os = "linux")]
mod tensorboard;
mod terminal;
#[expect(dead_code, reason = "the tests of other crates use the rest")]
#[path = "../../crates/store/tests/store/tree.rs"]
mod tree;
mod verify;
#[cfg(target_os = "linux")]
mod wheel;
