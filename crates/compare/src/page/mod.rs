//! A [`Comparison`] as one HTML file to read, print, archive and send.
//!
//! The file is self-contained: it has its styles, scripts, pictures and data, and its Content-Security-Policy forbids it
//! to load or run anything else. Without scripts, everything is visible; scripts add sorting, choosing and hovering. The
//! same runs always make the same bytes.
//!
//! | section | limit |
//! |---|---|
//! | rows of the tables | none; on the live page, as many as the server says |
//! | heatmaps, and validation over a setting | [`MAX_FIGURE_BYTES`] in addition to the first chart |
//! | curves | the [`MAX_CURVES`] best combinations |
//! | accuracy by class | the [`MAX_CLASS_ROWS`] best combinations |
//! | confusion matrices | [`MAX_MATRIX_CELLS`] cells, of the best combinations' runs |
//! | pictures of mistakes | one for each of the [`MAX_PICTURES`] best combinations, [`MAX_PICTURE_BYTES`] in all |
//!
//! If a limit is reached, the page says so.

mod answer;
mod data;
mod figures;
mod live;
mod mistakes;
mod pair;
mod policy;
mod table;
mod text;
mod verdicts;

use std::fmt;

use askama::Template;
use askama::filters::Escaper;
use kiln_report::chart;
use kiln_store::{Skipped, escape};

use crate::column::SharedSetting;
use crate::comparison::Comparison;
use crate::error::{CompareError, Result};

pub use figures::{MAX_CLASS_ROWS, MAX_CURVES, MAX_FIGURE_BYTES};
pub use live::{Choice, Link, LivePage};
pub use mistakes::{MAX_PICTURE_BYTES, MAX_PICTURES};
pub use pair::MAX_MATRIX_CELLS;
pub use table::{RowQuery, TableKind, live_rows};

use answer::AnswerSection;
use figures::FigureGroup;
use live::InProgress;
use mistakes::Mistakes;
use pair::PairView;

/// The page of a comparison.
///
/// Histories, reports and pictures are read again from the runs' directories. Files that cannot be read are omitted.
///
/// # Errors
///
/// [`CompareError::Inconsistent`] if the page cannot be rendered.
pub fn page(comparison: &Comparison) -> Result<String> {
    render_page(comparison, &Charts::new(comparison)?, None)
}

/// The page of a comparison for the live server: the same content with links to the pages of the runs, the runs in progress, and
/// a script that brings it up to date. The server sends the [`live_policy`] with it. The charts may be those of an earlier
/// state of the runs.
///
/// # Errors
///
/// [`CompareError::Inconsistent`] if the page cannot be rendered.
pub fn live_page(comparison: &Comparison, charts: &Charts, live: &LivePage<'_>) -> Result<String> {
    render_page(comparison, charts, Some(live))
}

/// The sections of the page that read the files of the runs again, and take the most time: charts, confusion matrices and
/// pictures.
pub struct Charts {
    figures: Vec<FigureGroup>,
    pair: PairView,
    mistakes: Mistakes,
    /// The data of the script as JSON.
    data: String,
}

impl Charts {
    /// Draws the charts.
    ///
    /// # Errors
    ///
    /// [`CompareError::Inconsistent`] if their data cannot be written as JSON.
    pub fn new(comparison: &Comparison) -> Result<Self> {
        let (figures, curves) = figures::all(comparison);
        let (pair, runs) = PairView::new(comparison);
        let mistakes = Mistakes::new(comparison);
        Ok(Self { figures, pair, mistakes, data: data::json(&data::Data { curves, runs })? })
    }

    /// No charts.
    ///
    /// # Errors
    ///
    /// As those of [`new`](Self::new).
    pub fn none() -> Result<Self> {
        Self::new(&Comparison::empty())
    }
}

/// The Content-Security-Policy of all live pages: they request nothing from elsewhere, and run no script except [`SCRIPT`] and
/// those of the server.
#[must_use]
pub fn live_policy() -> String {
    policy::live(SCRIPT)
}

fn render_page(
    comparison: &Comparison,
    charts: &Charts,
    live: Option<&LivePage<'_>>,
) -> Result<String> {
    let measures = comparison.shown_measures();
    let table = |kind| render(&table::table(comparison, live, &measures, kind));
    let [ranking, runs] = TableKind::ALL.map(table);
    let live = live.map(|page| Live {
        style: LIVE_STYLE,
        page,
        in_progress: page.in_progress(comparison),
    });
    let no_answer = live.as_ref().and_then(|live| live.in_progress.no_answer(comparison));
    let page = Page {
        policy: live.is_none().then(|| policy::content_security_policy(SCRIPT)),
        title: text::title(comparison),
        chart_style: chart::style(),
        style: STYLE,
        lede: text::lede(comparison),
        contents: contents(comparison, live.as_ref(), charts),
        answer: AnswerSection::new(comparison, &measures),
        no_answer: no_answer.map_or_else(|| text::no_answer(comparison), str::to_owned),
        ranked: comparison.ranking.heading(),
        ranking_notes: text::about_tables(comparison),
        ranking: ranking?,
        runs: runs?,
        shared: &comparison.shared,
        charts,
        verdicts: verdicts::explanation(comparison),
        left_out: &comparison.left_out,
        has_runs: !comparison.combinations.is_empty(),
        version: env!("CARGO_PKG_VERSION"),
        script: SCRIPT,
        live,
    };
    render(&page)
}

/// The styles of the page, without those of the [`chart`]s.
pub const STYLE: &str = include_str!("../../templates/page.css");
/// The styles that only the live pages need.
pub const LIVE_STYLE: &str = include_str!("../../templates/live.css");
/// The script of the page. It expects its data as JSON in an element with the id `data`: `curves` and `runs`.
pub const SCRIPT: &str = include_str!("../../templates/page.js");

/// Escapes text for HTML in the same way as for the SVG pictures, which also replaces control characters and marks that
/// change the direction of writing.
#[derive(Debug, Clone, Copy)]
pub struct Xml;

impl Escaper for Xml {
    fn write_escaped_str<W: fmt::Write>(&self, mut into: W, text: &str) -> fmt::Result {
        into.write_str(&escape::xml(text))
    }
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    /// `None` on the live page: the server sends it.
    policy: Option<String>,
    title: String,
    chart_style: &'static str,
    style: &'static str,
    lede: String,
    contents: Vec<Section>,
    answer: Option<AnswerSection>,
    no_answer: String,
    /// The heading of the metric that ranks.
    ranked: &'a str,
    ranking_notes: Vec<String>,
    ranking: String,
    runs: String,
    shared: &'a [SharedSetting],
    charts: &'a Charts,
    verdicts: Vec<String>,
    left_out: &'a [Skipped],
    /// A comparison in a file always has some.
    has_runs: bool,
    version: &'static str,
    script: &'static str,
    live: Option<Live<'a>>,
}

struct Live<'a> {
    style: &'static str,
    page: &'a LivePage<'a>,
    in_progress: InProgress,
}

/// An entry in the table of contents.
struct Section {
    id: &'static str,
    title: &'static str,
}

fn contents(comparison: &Comparison, live: Option<&Live<'_>>, charts: &Charts) -> Vec<Section> {
    let Charts { figures, pair, mistakes, .. } = charts;
    let mut sections = vec![Section { id: "answer", title: "Answer" }];
    if live.is_some_and(|live| !live.in_progress.is_empty()) {
        sections.push(Section { id: "progress", title: "In progress" });
    }
    if !comparison.combinations.is_empty() {
        sections.push(Section { id: "ranking", title: "All combinations" });
    }
    sections.extend(figures.iter().map(|group| Section { id: group.id, title: group.title }));
    if !pair.matrices.is_empty() {
        sections.push(Section { id: "pair", title: pair.title });
    }
    if !mistakes.pictures.is_empty() {
        sections.push(Section { id: "mistakes", title: "Mistakes" });
    }
    if !comparison.combinations.is_empty() {
        sections.push(Section { id: "verdicts", title: "Verdicts" });
    }
    if !comparison.left_out.is_empty() {
        sections.push(Section { id: "left-out", title: "Skipped" });
    }
    sections
}

fn render(template: &impl Template) -> Result<String> {
    let failed =
        |error| CompareError::Inconsistent(format!("the page cannot be rendered: {error}"));
    template.render().map_err(failed)
}
