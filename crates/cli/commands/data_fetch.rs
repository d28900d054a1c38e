//! `kiln data fetch`: downloads listed datasets.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kiln_data::{
    DataError, FetchError, FetchOptions, FetchProgress, Fetched, fetch as fetch_dataset,
};

use crate::options::GlobalOptions;
use crate::output::{print, status, warning};

#[derive(Debug, Args)]
pub(crate) struct FetchArguments {
    /// The name of the dataset; `kiln data list` shows all
    #[arg(value_name = "NAME")]
    name: String,
    /// Download from this address instead, a directory that has the files; can be repeated
    #[arg(long, value_name = "URL")]
    from: Vec<String>,
}

pub(crate) fn fetch(
    options: &GlobalOptions,
    arguments: &FetchArguments,
) -> anyhow::Result<ExitCode> {
    let request = FetchOptions { from: &arguments.from, ..FetchOptions::new(&arguments.name) };
    let mut bar = Bar { quiet: options.quiet, bar: None };
    let fetched = fetch_dataset(&request, options.data(), &mut bar);
    bar.clear();
    match fetched? {
        Fetched::Complete(directory) => print(directory.display())?,
        Fetched::AlreadyThere(directory) => {
            if !options.quiet {
                status(format_args!(
                    "already there; to check the files: kiln data verify {}",
                    arguments.name
                ));
            }
            print(directory.display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The advice for an error of a download.
pub(crate) fn advice(error: &DataError) -> Option<String> {
    match error {
        DataError::Fetch(FetchError::Download { name, .. }) => Some(format!(
            "when the network works again, repeat the command, which continues the download; or use another mirror: \
             kiln data fetch {name} --from URL"
        )),
        DataError::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            Some("free some space and repeat the command, which continues the download".to_owned())
        }
        DataError::Archive { path, .. } => {
            let path = kiln_store::quoted(&shown(path));
            Some(format!("remove it and repeat the command: rm {path}"))
        }
        DataError::Fetch(FetchError::NotListed { .. }) => {
            Some("to see all datasets: kiln data list".to_owned())
        }
        _ => None,
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A bar for each file if standard error is a terminal, or else a line.
struct Bar {
    quiet: bool,
    bar: Option<ProgressBar>,
}

impl Bar {
    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl FetchProgress for Bar {
    fn on_start(&mut self, file: &str, total: Option<u64>, done: u64) {
        self.clear();
        if self.quiet {
            return;
        }
        if !io::stderr().is_terminal() {
            let size = total.map_or_else(String::new, |total| format!(" ({total} bytes)"));
            let resumed =
                if done > 0 { format!(", continuing after {done}") } else { String::new() };
            status(format_args!("downloading {file}{size}{resumed}"));
            return;
        }
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let template = if total.is_some() {
            "{msg}  {wide_bar:.cyan/blue} {bytes}/{total_bytes}  {bytes_per_sec} (eta {eta})"
        } else {
            "{msg}  {bytes}  {bytes_per_sec}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(file.to_owned());
        // The speed is that of this download.
        bar.set_position(done);
        bar.reset_eta();
        self.bar = Some(bar);
    }

    fn on_bytes(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    fn on_note(&mut self, note: &str) {
        self.clear();
        warning(note);
    }
}
