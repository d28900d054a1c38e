use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::file::Unreadable;
use crate::place::Place;
use crate::printable::{printable, printable_lines};

/// What is wrong with a configuration, where, and what would have been right.
#[derive(Debug, Clone)]
pub struct ConfigError {
    message: String,
    label: Option<String>,
    help: Option<String>,
    note: Option<String>,
    // Boxed: errors travel through every `Result` of the reading code.
    place: Option<Box<Place>>,
}

impl ConfigError {
    /// An error that belongs to no place in a text, such as a file that cannot be read.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), label: None, help: None, note: None, place: None }
    }

    /// An error at a place.
    #[must_use]
    pub fn at(place: &Place, message: impl Into<String>) -> Self {
        Self { place: Some(Box::new(place.clone())), ..Self::new(message) }
    }

    /// The words beside the caret: what was expected there.
    #[must_use]
    pub fn expected(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// In which larger thing it is wrong, such as a combination of a sweep.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    pub(crate) fn cannot_read(path: &Path, error: &Unreadable) -> Self {
        let help = match error {
            Unreadable::Refused(cause) => match cause.kind() {
                ErrorKind::NotFound => "check the path; `configs/` holds examples to start from",
                ErrorKind::IsADirectory => "name a .toml file in it",
                _ => "check that the file can be read",
            },
            Unreadable::NotAFile(_) => "name a .toml file",
            Unreadable::TooLarge { .. } => "an experiment is a short TOML file",
            Unreadable::NotText { .. } => "the file must be UTF-8 text",
        };
        Self::new(format!("cannot read {}: {error}", path.display())).help(help)
    }

    /// What is wrong, in one line, without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What is wrong and in which line, in one line.
    #[must_use]
    pub fn to_line(&self) -> String {
        match self.place() {
            Some(place) => format!("{}, line {}: {}", place.name(), place.line(), self.message),
            None => self.message.clone(),
        }
    }

    /// Where it is wrong.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_deref()
    }

    /// The error as a compiler would show it: the message, then file, line and a caret under the
    /// value, then what to do. In colour where `colour` says so.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        // Words and text from files: the only control characters in what is shown are the renderer's own.
        let message = printable(&self.message);
        let [label, note, help] =
            [&self.label, &self.note, &self.help].map(|words| words.as_deref().map(printable));
        let place = self.place.as_deref().map(|place| {
            let (text, span) = printable_lines(&place.source.text, place.first_line());
            (printable(place.name()), text, span)
        });
        let title = Level::ERROR.primary_title(message.as_ref());
        let mut group = match &place {
            Some((name, text, span)) => title.element(
                Snippet::source(text.as_ref()).path(name.as_ref()).annotation(
                    AnnotationKind::Primary
                        .span(span.clone())
                        .label(label.as_ref().map(Cow::as_ref)),
                ),
            ),
            None => Group::with_title(title),
        };
        if let Some(note) = &note {
            group = group.element(Level::NOTE.message(note.as_ref()));
        }
        if let Some(help) = &help {
            group = group.element(Level::HELP.message(help.as_ref()));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigError {}

/// The candidate that `word` was most likely meant to be, if one is near enough: an edit distance
/// (Damerau–Levenshtein) of at most a third of its length, or one the other's beginning. What is longer than any word of
/// a configuration is near to none: the distance takes as much memory as the product of the lengths.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 200;

    if word.len() > LONGEST {
        return None;
    }
    let most = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(word, candidate);
            let begins = word.len() >= 3 && candidate.starts_with(word);
            (if begins { distance.min(most) } else { distance }, candidate)
        })
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
