use std::ops::Range;
use std::sync::Arc;

/// A text that contains values: a file, or one argument of the command line.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Whether the text is an argument `KEY=VALUE` of the command line.
    pub(crate) is_argument: bool,
}

/// The place of a key or value: a byte range in a named text.
#[derive(Debug, Clone)]
pub struct Place {
    pub(crate) source: Arc<Source>,
    pub(crate) span: Range<usize>,
}

impl Place {
    /// Clamps the range to the text and widens it to character boundaries, in case a parser reports
    /// an invalid one.
    pub(crate) fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        let start = source.text.floor_char_boundary(span.start);
        let end = source.text.ceil_char_boundary(span.end).max(start);
        Self { source: Arc::clone(source), span: start..end }
    }

    /// The path as given by the user, or `command line`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// The line number, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.source.text[..self.span.start].matches('\n').count() + 1
    }

    /// The argument `KEY=VALUE` of the command line that the place is in, if it is in one.
    pub(crate) fn argument(&self) -> Option<&str> {
        self.source.is_argument.then_some(self.source.text.as_str())
    }

    /// The text at the place.
    pub(crate) fn text(&self) -> &str {
        &self.source.text[self.span.clone()]
    }

    /// The part of the range that is on its first line, so that carets never underline a whole
    /// multi-line table.
    pub(crate) fn first_line(&self) -> Range<usize> {
        let text = self.text();
        let length = text.find(['\n', '\r']).unwrap_or(text.len());
        self.span.start..self.span.start + length
    }
}
