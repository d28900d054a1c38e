use std::fmt;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::place::Place;

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

    pub(crate) fn cannot_read(path: &Path, error: &std::io::Error) -> Self {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "check the path; `configs/` holds examples to start from"
            }
            std::io::ErrorKind::IsADirectory => "name a .toml file in it",
            std::io::ErrorKind::InvalidData => "the file must be UTF-8 text",
            _ => "check that the file can be read",
        };
        Self::new(format!("cannot read {}: {error}", path.display())).help(help)
    }

    /// What is wrong, in one line, without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
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
        let title = Level::ERROR.primary_title(self.message.as_str());
        let mut group = match &self.place {
            Some(place) => title.element(
                Snippet::source(place.source.text.as_str()).path(place.name()).annotation(
                    AnnotationKind::Primary.span(place.first_line()).label(self.label.as_deref()),
                ),
            ),
            None => Group::with_title(title),
        };
        if let Some(note) = &self.note {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
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
/// (Damerau–Levenshtein) of at most a third of its length, or one the other's beginning.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(word, candidate);
            let begins = word.len() >= 3 && candidate.starts_with(word);
            (if begins { distance.min(most) } else { distance }, candidate)
        })
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
