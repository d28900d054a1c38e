use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::file::Unreadable;
use crate::place::Place;
use crate::printable::{printable, printable_lines};
use crate::synonyms::{advice, folded, meanings};

/// An error in a configuration: the message, the place in the text, and advice.
///
/// [`Display`](fmt::Display) shows the text with a caret under the place; see
/// [`render`](Self::render).
#[derive(Debug, Clone)]
pub struct ConfigError {
    message: String,
    label: Option<String>,
    help: Option<String>,
    note: Option<String>,
    // Boxed to keep every `Result` of the reading code small.
    place: Option<Box<Place>>,
}

impl ConfigError {
    /// An error without a place, such as a file that cannot be read.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), label: None, help: None, note: None, place: None }
    }

    /// An error about the text at `place`.
    #[must_use]
    pub fn at(place: &Place, message: impl Into<String>) -> Self {
        Self { place: Some(Box::new(place.clone())), ..Self::new(message) }
    }

    /// Sets the label next to the caret, which describes the expected text.
    #[must_use]
    pub fn expected(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Sets the advice, shown after `help:`.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Continues the advice.
    #[must_use]
    pub fn also(mut self, more: &str) -> Self {
        self.help = Some(match self.help {
            Some(help) => format!("{help}, {more}"),
            None => more.to_owned(),
        });
        self
    }

    /// Sets the context, shown after `note:`, such as the sweep point that has the error.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    pub(crate) fn cannot_read(path: &Path, error: &Unreadable) -> Self {
        let help = match error {
            Unreadable::Io(error) => match error.kind() {
                ErrorKind::NotFound => "check the path; `configs/` has examples to start from",
                ErrorKind::IsADirectory => "give the path of a .toml file",
                _ => "check the permissions of the file",
            },
            Unreadable::NotAFile(_) => "give the path of a .toml file",
            Unreadable::TooLarge { .. } => "check the path; experiments are short TOML files",
            Unreadable::NotText { .. } => "save the file as UTF-8 text",
        };
        Self::new(format!("cannot read {}: {error}", path.display())).help(help)
    }

    /// The message without place and advice, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The message with file and line number, in one line.
    #[must_use]
    pub fn to_line(&self) -> String {
        match self.place() {
            Some(place) => format!("{}, line {}: {}", place.name(), place.line(), self.message),
            None => self.message.clone(),
        }
    }

    /// The argument `KEY=VALUE` of the command line whose value is wrong, if the error is about one.
    #[must_use]
    pub fn argument_with_wrong_value(&self) -> Option<&str> {
        let place = self.place.as_deref()?;
        let argument = place.argument()?;
        let (key, _) = argument.split_once('=')?;
        (place.span.start > key.len()).then_some(argument)
    }

    /// The place of the error, if it has one.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_deref()
    }

    /// The error in the style of a compiler: the message, then file, line and a caret under the
    /// value, then the advice. `color` adds ANSI escape sequences.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        // Messages quote text from files. After escaping, all control characters in the output are
        // the renderer's own.
        let message = printable(&self.message);
        let [label, note, help] =
            [&self.label, &self.note, &self.help].map(|text| text.as_deref().map(printable));
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

/// The candidate that was most likely meant by a misspelled `text`, if there is one.
///
/// In this order: a candidate that differs only in case and separators (`ReLU`); one that has the
/// meaning of `text` in another framework (`lr`); the most similar one, if it is similar enough.
///
/// Similar means a Damerau–Levenshtein distance of at most a third of the length of `text`, or that
/// the candidate starts with `text` (3 bytes or more) or ends with it after a `_`. Texts longer than 200 bytes are similar to
/// none. The first of equally similar candidates is returned.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Computing a distance needs memory in proportion to the product of both lengths.
    const MAX_BYTES: usize = 200;

    if text.len() > MAX_BYTES {
        return None;
    }
    let candidates: Vec<&str> =
        candidates.into_iter().filter(|candidate| candidate.len() <= MAX_BYTES).collect();
    if let Some(found) = same(text, &candidates) {
        return Some(found);
    }
    let max_distance = (text.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(text, candidate);
            // An abbreviation may miss many letters, but a closer candidate wins over it.
            let begins = || candidate.starts_with(text);
            let ends = || candidate.strip_suffix(text).is_some_and(|start| start.ends_with('_'));
            let is_part = text.len() >= 3 && (begins() || ends());
            (if is_part { distance.min(max_distance) } else { distance }, candidate)
        })
        .filter(|(distance, _)| *distance <= max_distance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The advice for an unknown `text`: the candidate that means the same, advice if `text` is from another program and
/// has no counterpart, or the most similar candidate. `noun` is the kind of the candidates, `quote` what surrounds them in
/// messages.
pub(crate) fn suggestion<'a>(
    noun: &str,
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    quote: char,
) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let did_you_mean = |candidate: &str| format!("did you mean {quote}{candidate}{quote}?");
    match advice(noun, text).filter(|_| same(text, &candidates).is_none()) {
        Some(advice) => Some(advice.to_owned()),
        None => nearest(text, candidates.iter().copied()).map(did_you_mean),
    }
}

/// The candidate that differs from `text` only in case and separators, or means the same.
fn same<'a>(text: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let name = folded(text);
    let same = candidates.iter().find(|candidate| !name.is_empty() && folded(candidate) == name);
    same.copied().or_else(|| synonym(text, candidates))
}

/// The candidate that means the same as `text`. Of a dotted key, only the last step is translated.
fn synonym<'a>(text: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let (above, name) =
        text.rsplit_once('.').map_or((None, text), |(above, name)| (Some(above), name));
    let find = |wanted: &str| candidates.iter().copied().find(|candidate| *candidate == wanted);
    meanings(name).find_map(|meaning| {
        let full = above.and_then(|above| find(&format!("{above}.{meaning}")));
        full.or_else(|| find(meaning))
    })
}
