use std::ops::Range;
use std::sync::Arc;

/// A text that values were read from: a file, or one argument of the command line.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Where something was written: a byte range in a named text.
#[derive(Debug, Clone)]
pub struct Place {
    pub(crate) source: Arc<Source>,
    pub(crate) span: Range<usize>,
}

impl Place {
    /// A range that a parser gave, put right where it does not lie within the text and between characters.
    pub(crate) fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        let start = source.text.floor_char_boundary(span.start);
        let end = source.text.ceil_char_boundary(span.end).max(start);
        Self { source: Arc::clone(source), span: start..end }
    }

    /// The file's path as it was given, or `command line`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// The line, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.source.text[..self.span.start].matches('\n').count() + 1
    }

    /// The range without the line breaks and all that follows the first of them, so that a caret
    /// never runs over the whole of a long table.
    pub(crate) fn first_line(&self) -> Range<usize> {
        let text = &self.source.text[self.span.clone()];
        let length = text.find(['\n', '\r']).unwrap_or(text.len());
        self.span.start..self.span.start + length
    }
}
