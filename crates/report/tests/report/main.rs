//! Tests of `kiln-report` through its public interface, in one binary so that it links once.

mod charts;
mod filters;
mod finish;
mod markdown;
mod pictures;
mod samples;
mod show;
mod xml;
