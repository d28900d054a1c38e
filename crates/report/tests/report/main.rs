//! Tests of `kiln-report` through its public interface: one program, so that it links once.

mod charts;
mod checkpoint;
mod claim;
mod compare;
mod comparing_charts;
mod files;
mod finish;
mod history;
mod hostile;
mod markdown;
mod page;
mod pictures;
mod predictions;
mod record;
mod run_directory;
mod samples;
mod show;
mod statistics;
mod test_report;
mod tree;
mod xml;
