//! `kiln`: trains image-classification experiments, one or many at a time, and compares the results.

mod commands;
mod experiment;
mod failure;
mod initial_weights;
mod load_progress;
mod logging;
mod named_run;
mod next_step;
mod options;
mod output;
mod progress;
mod signals;
mod version;
mod wrapping;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::{
    Cli, Command, cancel, clean, compare, completions, config, data, doctor, evaluate, export, ls,
    man, note, predict, resume, run, serve, show, status, summary, sweep, verify, work, worker,
};

// The default allocator of glibc returns freed pages to the system and faults them in again with every batch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| failure::exit_with_usage(&error));
    match execute(&cli) {
        Ok(code) => code,
        Err(error) => failure::report(&cli.options, &error),
    }
}

fn execute(Cli { command, options }: &Cli) -> anyhow::Result<ExitCode> {
    load_progress::show(options);
    match command {
        Command::Run(arguments) => run::run(options, arguments),
        Command::Sweep(arguments) => sweep::sweep(options, arguments),
        Command::Resume(arguments) => resume::resume(options, arguments),
        Command::Status(arguments) => status::show_status(options, arguments),
        Command::Cancel(arguments) => cancel::cancel_workers(options, arguments),
        Command::Work => work::work(),
        Command::Worker(arguments) => worker::worker(options, arguments),
        Command::Summary(arguments) => summary::summary(options, arguments),
        Command::Compare(arguments) => compare::compare(options, arguments),
        Command::Serve(arguments) => serve::serve(options, arguments),
        Command::Verify(arguments) => verify::verify(options, arguments),
        Command::Doctor(arguments) => doctor::doctor(options, arguments),
        Command::Show(arguments) => show::show(options, arguments),
        Command::Note(arguments) => note::note(options, arguments),
        Command::Ls(arguments) => ls::ls(options, arguments),
        Command::Clean(arguments) => clean::clean(options, arguments),
        Command::Evaluate(arguments) => evaluate::evaluate(options, arguments),
        Command::Predict(arguments) => predict::predict(options, arguments),
        Command::Export(arguments) => export::export(options, arguments),
        Command::Config => config::config(),
        Command::Data { command } => data::data(options, command),
        Command::Man(arguments) => man::man(options, arguments),
        Command::Completions(arguments) => completions::completions(arguments),
    }
}
