//! The headings and cells of a table, and how wide they are on paper.

use kiln_statistics::Spread;
use kiln_store::number::decimals;

use crate::charts::number;
use crate::measures::Measure;
use crate::page::live::Link;

/// Texts with more characters than this may have several lines.
const LONG: usize = 40;
/// Texts on paper are broken into lines of this many characters.
const MAX_WORDS: usize = 24;

#[derive(Clone)]
pub(super) struct Head {
    pub(super) text: String,
    pub(super) numeric: bool,
    /// Whether the column may be hidden at first.
    pub(super) further: bool,
}

impl Head {
    pub(super) fn class(&self) -> String {
        class([(self.numeric, "number"), (self.further, "extra"), (false, "")])
    }
}

pub(super) struct Row {
    pub(super) best: bool,
    pub(super) may_be_best: bool,
    pub(super) cells: Vec<Cell>,
    /// The tags of the row's runs.
    pub(super) tags: Vec<String>,
}

impl Row {
    pub(super) fn class(&self) -> &'static str {
        match (self.best, self.may_be_best) {
            (true, true) => " class=\"best winner\"",
            (true, false) => " class=\"best\"",
            (false, true) => " class=\"winner\"",
            (false, false) => "",
        }
    }

    /// The tags for an attribute. They have no spaces.
    pub(super) fn tags(&self) -> String {
        self.tags.join(" ")
    }

    /// The row as the reader sees it, in lower case.
    pub(super) fn words(&self) -> String {
        let mut words = String::new();
        for cell in &self.cells {
            words.push_str(&cell.text);
            words.push(' ');
            for link in &cell.links {
                words.push_str(&link.text);
                words.push(' ');
            }
        }
        words.to_lowercase()
    }
}

/// The attribute of a heading or cell for the style sheet.
fn class(classes: [(bool, &str); 3]) -> String {
    let classes: Vec<_> =
        classes.into_iter().filter(|(is, _)| *is).map(|(_, class)| class).collect();
    if classes.is_empty() { String::new() } else { format!(" class=\"{}\"", classes.join(" ")) }
}

#[derive(Default)]
pub(super) struct Cell {
    pub(super) text: String,
    /// The deviation over seeds; empty if there is one seed.
    pub(super) deviation: String,
    /// The number to sort by; empty if the column is sorted by its text.
    pub(super) sort: String,
    pub(super) numeric: bool,
    /// On the live page, where the text leads.
    pub(super) address: Option<String>,
    /// On the live page, links after the text.
    pub(super) links: Vec<Link>,
}

impl Cell {
    pub(super) fn class(&self, head: &Head) -> String {
        let is_long = !self.numeric && self.text.chars().count() > LONG;
        class([(self.numeric, "number"), (head.further, "extra"), (is_long, "words")])
    }

    /// The number of characters on paper, where texts and deviations have lines of their own.
    pub(super) fn width(&self) -> usize {
        let width = self.text.chars().count();
        if self.numeric {
            width.max(self.deviation.chars().count() + 2)
        } else {
            width.min(MAX_WORDS)
        }
    }

    /// The text or number to sort by; `None` for an empty cell.
    pub(super) fn key(&self) -> Option<&str> {
        let key = if self.sort.is_empty() { self.text.trim() } else { &self.sort };
        Some(key).filter(|key| !key.is_empty())
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(super) fn number(value: Option<f64>, digits: usize) -> Self {
        Self {
            text: decimals(value, digits),
            sort: value.map(|value| value.to_string()).unwrap_or_default(),
            numeric: true,
            ..Self::default()
        }
    }

    pub(super) fn measure(measure: &Measure<'_>, spread: Option<Spread>) -> Self {
        let Some(spread) = spread else { return Self { numeric: true, ..Self::default() } };
        Self {
            text: measure.format.mean(spread.mean, spread.count),
            deviation: measure.format.deviation(spread),
            sort: spread.mean.to_string(),
            numeric: true,
            ..Self::default()
        }
    }

    pub(super) fn setting(value: Option<&str>, numeric: bool) -> Self {
        let sort = number(value).map(|value| value.to_string()).unwrap_or_default();
        Self { sort, numeric, ..Self::text(value.unwrap_or_default()) }
    }
}

pub(super) fn head(text: &str, numeric: bool) -> Head {
    Head { text: text.to_owned(), numeric, further: false }
}
