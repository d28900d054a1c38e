use std::io;

use kiln_store::{RunDirectory, files};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sends the log to the run's `log.jsonl`, behind what is there of an interrupted one, and to standard error
/// as far as `-v` asks.
pub(crate) fn start(verbose: bool, run: &RunDirectory) -> anyhow::Result<()> {
    let file = files::LineWriter::open(&run.log_path())?;
    // What ends the program it says itself, whether it has a log or not.
    let is_shown = filter_fn(move |event| {
        *event.level() == LevelFilter::WARN || verbose && *event.level() <= LevelFilter::INFO
    });
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(std::sync::Mutex::new(file))
        .with_filter(LevelFilter::INFO);
    let terminal = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(crate::colour(&io::stderr()))
        .with_filter(is_shown.with_max_level_hint(LevelFilter::INFO));
    tracing_subscriber::registry().with(lines).with(terminal).try_init()?;
    Ok(())
}
