use std::io;

use kiln_export::ExportError;
use kiln_export::tensorboard::LiveLog;
use kiln_store::{RunDirectory, files};
use kiln_train::Run;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::output::{use_color, warning};

/// Starts the logs that a run writes: its own, and what the experiment asks for.
pub(crate) fn start_for(verbose: bool, run: &mut Run) -> anyhow::Result<()> {
    start(verbose, run.directory())?;
    if run.experiment().logging.tensorboard {
        let warn = |error: ExportError| {
            warning(format_args!("the event file for TensorBoard is no longer written: {error}"));
        };
        run.set_epoch_log(Box::new(LiveLog::new(run.directory().clone(), warn)));
    }
    Ok(())
}

/// Appends the log to the run's `log.jsonl`, and prints warnings to standard error; with `verbose`, information, too.
fn start(verbose: bool, run: &RunDirectory) -> anyhow::Result<()> {
    let file = files::LineWriter::open(&run.log_path())?;
    // Errors are not printed here: an error ends the program, which prints it.
    let is_printed = filter_fn(move |event| {
        *event.level() == LevelFilter::WARN || verbose && *event.level() <= LevelFilter::INFO
    });
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(std::sync::Mutex::new(file))
        .with_filter(LevelFilter::INFO);
    let terminal = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(use_color(&io::stderr()))
        .with_filter(is_printed.with_max_level_hint(LevelFilter::INFO));
    tracing_subscriber::registry().with(lines).with(terminal).try_init()?;
    Ok(())
}
