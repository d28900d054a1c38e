//! A [`Comparison`] as one HTML file to read, print, keep and send.
//!
//! The file stands alone: styles, scripts, pictures and data are in it, and its Content-Security-Policy forbids it to load
//! or run anything else. Without scripts it is a whole document; they add sorting, picking and pointing. It is the same,
//! byte for byte, for the same runs.
//!
//! | part | limit |
//! |---|---|
//! | rows of the tables | none |
//! | heatmaps, and validation against a setting | [`MOST_FIGURE_BYTES`] beyond the first |
//! | curves | the runs of the best combinations, [`MOST_CURVES`] |
//! | accuracy by class | the best combinations, [`MOST_CLASS_ROWS`] |
//! | confusion matrices | the runs of the best combinations, [`MOST_MATRIX_CELLS`] |
//! | pictures of mistakes | one of each of the best combinations, [`MOST_PICTURES`] and [`MOST_PICTURE_BYTES`] |
//!
//! Where a limit is met the page says so.

mod answer;
mod data;
mod figures;
mod mistakes;
mod pair;
mod policy;
mod table;
mod verdicts;
mod words;

use std::fmt;

use askama::Template;
use askama::filters::Escaper;
use kiln_report::chart;
use kiln_store::{LeftOut, escape};

use crate::column::SharedSetting;
use crate::comparison::Comparison;
use crate::error::{CompareError, Result};

pub use figures::{MOST_CLASS_ROWS, MOST_CURVES, MOST_FIGURE_BYTES};
pub use mistakes::{MOST_PICTURE_BYTES, MOST_PICTURES};
pub use pair::MOST_MATRIX_CELLS;

use answer::Answer;
use figures::FigureGroup;
use mistakes::Mistakes;
use pair::PairView;

/// The page of a comparison.
///
/// Histories, reports and pictures are read again from the runs' directories; what is damaged is left out.
///
/// # Errors
///
/// [`CompareError::Inconsistent`] where the page cannot be put together.
pub fn page(comparison: &Comparison) -> Result<String> {
    let (figures, curves) = figures::all(comparison);
    let (pair, runs) = PairView::new(comparison);
    let mistakes = Mistakes::new(comparison);
    let script = include_str!("../../templates/page.js");
    let page = Page {
        policy: policy::content_security_policy(script),
        title: words::title(comparison),
        chart_style: chart::style(),
        style: include_str!("../../templates/page.css"),
        lede: words::lede(comparison),
        contents: contents(comparison, &figures, &pair, &mistakes),
        answer: Answer::new(comparison),
        no_answer: words::no_answer(comparison),
        ranking_note: words::ranking(comparison),
        ranking: render(&table::ranking(comparison))?,
        runs: render(&table::runs(comparison))?,
        shared: &comparison.shared,
        figures,
        pair,
        mistakes,
        verdicts: verdicts::explanation(comparison),
        left_out: &comparison.left_out,
        version: env!("CARGO_PKG_VERSION"),
        data: data::json(&data::Data { curves, runs })?,
        script,
    };
    render(&page)
}

/// The text of text in HTML: as in the SVG pictures, so that control characters and marks that turn the direction of
/// writing are gone as well.
#[derive(Debug, Clone, Copy)]
struct Xml;

impl Escaper for Xml {
    fn write_escaped_str<W: fmt::Write>(&self, mut into: W, text: &str) -> fmt::Result {
        into.write_str(&escape::xml(text))
    }
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    policy: String,
    title: String,
    chart_style: &'static str,
    style: &'static str,
    lede: String,
    contents: Vec<Section>,
    answer: Option<Answer>,
    no_answer: &'static str,
    ranking_note: String,
    ranking: String,
    runs: String,
    shared: &'a [SharedSetting],
    figures: Vec<FigureGroup>,
    pair: PairView,
    mistakes: Mistakes,
    verdicts: Vec<String>,
    left_out: &'a [LeftOut],
    version: &'static str,
    data: String,
    script: &'static str,
}

/// An entry of the table of contents.
struct Section {
    id: &'static str,
    title: &'static str,
}

fn contents(
    comparison: &Comparison,
    figures: &[FigureGroup],
    pair: &PairView,
    mistakes: &Mistakes,
) -> Vec<Section> {
    let mut sections = vec![
        Section { id: "answer", title: "Answer" },
        Section { id: "ranking", title: "All combinations" },
    ];
    sections.extend(figures.iter().map(|group| Section { id: group.id, title: group.title }));
    if !pair.matrices.is_empty() {
        sections.push(Section { id: "pair", title: pair.title });
    }
    if !mistakes.pictures.is_empty() {
        sections.push(Section { id: "mistakes", title: "Mistakes" });
    }
    sections.push(Section { id: "verdicts", title: "Verdicts" });
    if !comparison.left_out.is_empty() {
        sections.push(Section { id: "left-out", title: "Left out" });
    }
    sections
}

fn render(template: &impl Template) -> Result<String> {
    let failed = |error| CompareError::Inconsistent(format!("the comparison's page: {error}"));
    template.render().map_err(failed)
}
