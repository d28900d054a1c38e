use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use kiln_report::annotations_text;
use kiln_store::{RunDirectory, check_name, quoted};

use crate::failure::Advised;
use crate::named_run::{self, RUN_HELP};
use crate::options::GlobalOptions;
use crate::output::{print_styled, status};

#[derive(Debug, Args)]
pub(crate) struct NoteArguments {
    #[arg(value_name = "RUN", help = RUN_HELP)]
    run: PathBuf,
    /// The note, which replaces an earlier one; quote it
    #[arg(value_parser = note_text)]
    text: Option<String>,
    /// Add the text to the note as a new line, instead of replacing the note
    #[arg(long, requires = "text")]
    append: bool,
    /// Remove the note
    #[arg(long, conflicts_with = "text")]
    remove: bool,
    /// Add a tag; can be repeated
    #[arg(long, value_name = "TAG", value_parser = tag)]
    tag: Vec<String>,
    /// Remove a tag; can be repeated
    #[arg(long, value_name = "TAG")]
    untag: Vec<String>,
}

impl NoteArguments {
    fn changes_something(&self) -> bool {
        self.text.is_some() || self.remove || !self.tag.is_empty() || !self.untag.is_empty()
    }
}

pub(crate) fn note(options: &GlobalOptions, arguments: &NoteArguments) -> anyhow::Result<ExitCode> {
    let run = named_run::open(options, &arguments.run)?;
    if arguments.changes_something() {
        change(options, arguments, &run)?;
    }
    let text = annotations_text(&run.read_annotations()?);
    if !text.is_empty() {
        print_styled(text.trim_end())?;
    } else if !options.quiet {
        status("the run has no note and no tags");
    }
    Ok(ExitCode::SUCCESS)
}

fn change(
    options: &GlobalOptions,
    arguments: &NoteArguments,
    run: &RunDirectory,
) -> anyhow::Result<()> {
    let mut annotations = run.read_annotations()?;
    for tag in &arguments.untag {
        if !annotations.remove_tag(tag) {
            let message = format!("the run does not have the tag `{tag}`");
            let path = quoted(&run.path().display().to_string());
            return Err(Advised::new(message, format!("its tags: kiln note {path}")).into());
        }
    }
    for tag in &arguments.tag {
        annotations.add_tag(tag);
    }
    let before = annotations.note.clone();
    if arguments.remove {
        annotations.note = None;
    }
    if let Some(text) = &arguments.text {
        annotations.note = Some(match &before {
            Some(before) if arguments.append => format!("{before}\n{text}"),
            _ => text.clone(),
        });
    }
    run.write_annotations(&annotations)?;
    // The old text is shown so that a note that was replaced by mistake can be restored.
    if let Some(before) = before.filter(|_| !options.quiet && !arguments.append)
        && annotations.note.as_ref() != Some(&before)
    {
        let done = if annotations.note.is_some() { "replaced" } else { "removed" };
        status(format_args!("{done} the note:\n{before}"));
    }
    Ok(())
}

/// Parses a tag.
pub(crate) fn tag(argument: &str) -> Result<String, String> {
    match check_name(argument) {
        Ok(()) => Ok(argument.to_owned()),
        Err(problem) => Err(problem.to_string()),
    }
}

/// Parses the text of a note.
pub(crate) fn note_text(argument: &str) -> Result<String, String> {
    let text = argument.trim();
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(text.to_owned())
}
