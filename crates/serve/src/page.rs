//! The page of the comparison.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use kiln_compare::page::{
    Charts, Choice, Link, LivePage, RowQuery, TableKind, live_page, live_rows,
};
use kiln_compare::{CompareError, Comparison, KeptComparison, RunSummary};
use kiln_store::grouped;

use crate::access::{decoded, parameter};
use crate::site::{Runs, Site, above, key, key_of};

/// The largest number of rows of a table, unless the reader asks for all.
const MAX_ROWS: usize = 100;
/// The largest number of directories, datasets and tags to choose from.
const MAX_LINKS: usize = 200;

/// Charts that are drawn faster than this are drawn with the page. Others are drawn in the background.
const FAST: Duration = Duration::from_millis(100);
/// Charts of more runs than this are drawn in the background the first time, when it is not known how long it takes.
const MAX_RUNS: usize = 1_000;
/// Charts that take long are drawn again after so many times as long.
const SHARE: u32 = 20;

/// The part of the runs that a page shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct View {
    /// The key of a directory.
    group: Option<String>,
    /// The key of a dataset.
    data: Option<String>,
    /// The key of a tag.
    tag: Option<String>,
    all_rows: bool,
}

/// A rendered page.
pub(crate) struct Page {
    /// Two pages with the same state are the same.
    pub(crate) state: String,
    pub(crate) html: Bytes,
}

/// What is kept of a comparison for the next page.
#[derive(Default)]
pub(crate) struct Shown {
    comparison: KeptComparison,
    charts: Option<Drawn>,
    /// Whether a task draws the charts, or waits for the time when it may do so.
    is_drawing: bool,
}

/// Charts, and the state of the runs that they show.
struct Drawn {
    charts: Arc<Charts>,
    revision: u64,
    took: Duration,
    at: Instant,
}

/// What a page takes from the [`Shown`] of its view.
struct Content {
    comparison: Arc<Comparison>,
    charts: Arc<Charts>,
    charts_note: Option<String>,
    /// How long to wait until the charts should be drawn again.
    draw_after: Option<Duration>,
}

impl View {
    pub(crate) fn parse(query: &str) -> Self {
        let key = |name| parameter(query, name).map(str::to_owned);
        Self {
            group: key("in"),
            data: key("data"),
            tag: key("tag"),
            all_rows: parameter(query, "rows") == Some("all"),
        }
    }

    /// The same part with the first rows.
    pub(crate) fn of_first_rows(&self) -> Self {
        Self { all_rows: false, ..self.clone() }
    }

    fn query(&self) -> String {
        let key =
            |name: &str, key: &Option<String>| key.as_ref().map(|key| format!("{name}={key}"));
        let keys = [key("in", &self.group), key("data", &self.data), key("tag", &self.tag)];
        let rows = self.all_rows.then(|| "rows=all".to_owned());
        keys.into_iter().flatten().chain(rows).collect::<Vec<_>>().join("&")
    }

    fn address(&self) -> String {
        let query = self.query();
        if query.is_empty() { "/".to_owned() } else { format!("/?{query}") }
    }

    /// Whether the part has this run; `run` is `None` if it cannot be read.
    fn has(&self, path: &Path, run: Option<&RunSummary>, names: &Names) -> bool {
        let is_of_run = |wanted: Option<&str>, has: &dyn Fn(&RunSummary, &str) -> bool| {
            wanted.is_none_or(|wanted| run.is_some_and(|run| has(run, wanted)))
        };
        names.group.as_ref().is_none_or(|group| above(path) == group)
            && is_of_run(names.fingerprint.as_deref(), &|run, data| run.fingerprint == data)
            && is_of_run(names.tag.as_deref(), &|run, tag| run.tags().iter().any(|own| own == tag))
    }
}

/// The group of runs, the dataset and the tag that a view selects.
struct Names {
    group: Option<PathBuf>,
    fingerprint: Option<String>,
    tag: Option<String>,
}

impl Names {
    /// `None` if there is no such directory, dataset or tag any more.
    fn of(view: &View, runs: &Runs, counts: &Counts) -> Option<Self> {
        /// `None` if none of the names has the key.
        fn find<'a>(
            wanted: Option<&String>,
            mut names: impl Iterator<Item = &'a String>,
        ) -> Option<Option<String>> {
            let Some(wanted) = wanted else { return Some(None) };
            names.find(|name| key(name.as_bytes()) == *wanted).cloned().map(Some)
        }
        let group = match &view.group {
            Some(wanted) => Some(runs.groups.keys().find(|path| key_of(path) == *wanted)?.clone()),
            None => None,
        };
        Some(Self {
            group,
            fingerprint: find(view.data.as_ref(), counts.datasets.keys())?,
            tag: find(view.tag.as_ref(), counts.tags.keys())?,
        })
    }
}

/// The datasets and tags of the runs in a directory, and how many runs each has.
struct Counts {
    /// The name and the number of runs by the fingerprint.
    datasets: BTreeMap<String, (String, usize)>,
    tags: BTreeMap<String, usize>,
}

impl Counts {
    fn new(runs: &Runs, view: &View) -> Self {
        let mut counts = Self { datasets: BTreeMap::new(), tags: BTreeMap::new() };
        let group = view.group.as_ref();
        let group =
            group.and_then(|wanted| runs.groups.keys().find(|path| key_of(path) == *wanted));
        for (path, run) in runs.known.iter() {
            let Ok(run) = run.summary() else { continue };
            if group.is_some_and(|group| above(path) != group) {
                continue;
            }
            match counts.datasets.get_mut(&run.fingerprint) {
                Some((_, count)) => *count += 1,
                None => {
                    let start: String = run.fingerprint.chars().take(8).collect();
                    let name = format!("{} {start}", run.dataset);
                    counts.datasets.insert(run.fingerprint.clone(), (name, 1));
                }
            }
            for tag in run.tags() {
                match counts.tags.get_mut(tag) {
                    Some(count) => *count += 1,
                    None => drop(counts.tags.insert(tag.clone(), 1)),
                }
            }
        }
        counts
    }
}

/// The comparison of a view.
fn compared(
    site: &Site,
    runs: &Runs,
    view: &View,
    names: &Names,
    shown: &mut Shown,
) -> Arc<Comparison> {
    let left_out = runs.left_out.iter().filter(|skipped| {
        names.group.as_ref().is_none_or(|group| skipped.path.starts_with(group))
            && view.data.is_none()
            && view.tag.is_none()
    });
    let left_out = left_out.cloned().collect();
    let is_included = |path: &Path, run: Option<&RunSummary>| view.has(path, run, names);
    let Shown { comparison, .. } = shown;
    runs.known.bring_up_to_date(comparison, is_included, left_out, &site.ranking, site.level)
}

impl Shown {
    /// The charts for a page: those of this comparison if they are drawn fast, otherwise the last ones.
    fn content(
        &mut self,
        comparison: Arc<Comparison>,
        revision: u64,
    ) -> Result<Content, CompareError> {
        let is_fast = match &self.charts {
            Some(drawn) => drawn.took < FAST,
            None => comparison.runs().nth(MAX_RUNS).is_none(),
        };
        let is_old = self.charts.as_ref().is_none_or(|drawn| drawn.revision != revision);
        if is_old && is_fast {
            self.draw(&comparison, revision)?;
        }
        let (charts, charts_note, draw_after) = match &self.charts {
            None => {
                let note = "The charts are being drawn. They appear here in a moment.".to_owned();
                (Arc::new(Charts::none()?), Some(note), Some(Duration::ZERO))
            }
            Some(drawn) if drawn.revision != revision => {
                let pause = (drawn.took * SHARE).max(Duration::from_secs(1));
                let note = format!(
                    "The charts show an earlier state: there are so many runs that they are drawn every {} seconds.",
                    grouped(pause.as_secs())
                );
                (
                    Arc::clone(&drawn.charts),
                    Some(note),
                    Some(pause.saturating_sub(drawn.at.elapsed())),
                )
            }
            Some(drawn) => (Arc::clone(&drawn.charts), None, None),
        };
        let draw_after = draw_after.filter(|_| !self.is_drawing);
        self.is_drawing |= draw_after.is_some();
        Ok(Content { comparison, charts, charts_note, draw_after })
    }

    fn draw(&mut self, comparison: &Comparison, revision: u64) -> Result<(), CompareError> {
        let start = Instant::now();
        let charts = Arc::new(Charts::new(comparison)?);
        self.charts = Some(Drawn { charts, revision, took: start.elapsed(), at: Instant::now() });
        Ok(())
    }
}

/// Draws the charts of a view for its next page.
pub(crate) fn draw(site: &Site, view: &View) {
    let shown = site.shown(view);
    let found = {
        let runs = site.runs();
        let counts = Counts::new(&runs, view);
        let names = Names::of(view, &runs, &counts);
        let mut shown = lock(&shown);
        names.map(|names| (compared(site, &runs, view, &names, &mut shown), runs.known.revision()))
    };
    let start = Instant::now();
    // Pages are sent while this takes its time.
    let drawn = found.map(|(comparison, revision)| (Charts::new(&comparison), revision));
    let mut shown = lock(&shown);
    shown.is_drawing = false;
    if let Some((Ok(charts), revision)) = drawn {
        let (charts, took) = (Arc::new(charts), start.elapsed());
        shown.charts = Some(Drawn { charts, revision, took, at: Instant::now() });
    }
    drop(shown);
    site.announce();
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A page, and the time after which its charts should be drawn again.
pub(crate) type Rendered = (Page, Option<Duration>);

/// Renders a comparison; `None` if there is no such directory, dataset or tag.
pub(crate) fn comparison(site: &Site, view: &View) -> Option<Result<Rendered, CompareError>> {
    let runs = site.runs();
    let state = site.state(format_args!("{}-{}", site.version(), key(view.address().as_bytes())));
    let counts = Counts::new(&runs, view);
    let names = Names::of(view, &runs, &counts)?;
    let shown = site.shown(view);
    let content = {
        let mut shown = lock(&shown);
        let comparison = compared(site, &runs, view, &names, &mut shown);
        shown.content(comparison, runs.known.revision())
    };
    let content = match content {
        Ok(content) => content,
        Err(error) => return Some(Err(error)),
    };
    let shown_data = content.comparison.runs().next().map(|run| run.fingerprint.as_str());
    let rows = |table| rows_address(view, table);
    let live = LivePage {
        state: state.clone(),
        choices: choices(site, &runs, view, &counts, shown_data),
        notes: notes(site, &runs),
        charts_note: content.charts_note,
        max_rows: if view.all_rows { usize::MAX } else { MAX_ROWS },
        ..live(&runs, view, &rows)
    };
    let html = live_page(&content.comparison, &content.charts, &live);
    Some(html.map(|html| (Page { state, html: html.into() }, content.draw_after)))
}

/// The rows of a table that a query selects, as HTML; `None` if there is no such directory, dataset or tag.
pub(crate) fn rows(site: &Site, query: &str) -> Option<Result<String, CompareError>> {
    let view = View::parse(query).of_first_rows();
    let runs = site.runs();
    let counts = Counts::new(&runs, &view);
    let names = Names::of(&view, &runs, &counts)?;
    let comparison = compared(site, &runs, &view, &names, &mut lock(&site.shown(&view)));
    let table = parameter(query, "table");
    let text = |name: &str| parameter(query, name).map(decoded).filter(|text| !text.is_empty());
    let wanted = RowQuery {
        table: TableKind::ALL.into_iter().find(|kind| Some(kind.name()) == table)?,
        words: text("words").unwrap_or_default(),
        tag: text("tagged"),
        sort: text("sort"),
        descending: parameter(query, "descending").is_some(),
        from: parameter(query, "from").and_then(|from| from.parse().ok()).unwrap_or(0),
    };
    let address = |table| rows_address(&view, table);
    Some(live_rows(&comparison, &live(&runs, &view, &address), &wanted))
}

fn rows_address(view: &View, table: TableKind) -> String {
    let query = view.of_first_rows().query();
    let and = if query.is_empty() { "" } else { "&" };
    format!("/rows?table={}{and}{query}", table.name())
}

/// What all answers about a comparison have in common.
fn live<'a>(runs: &'a Runs, view: &View, rows: &'a dyn Fn(TableKind) -> String) -> LivePage<'a> {
    LivePage {
        state: String::new(),
        known: &runs.known,
        address: &|run| Some(format!("/run/{}", key_of(run.directory.path()))),
        choices: Vec::new(),
        notes: Vec::new(),
        charts_note: None,
        max_rows: MAX_ROWS,
        rows,
        all_rows: View { all_rows: true, ..view.clone() }.address(),
    }
}

/// The directories, datasets and tags to choose from, if there are several.
fn choices(
    site: &Site,
    runs: &Runs,
    view: &View,
    counts: &Counts,
    shown_data: Option<&str>,
) -> Vec<Choice> {
    let mut choices = Vec::new();
    let mut add = |title: &str, links: Vec<Link>| {
        choices.push(Choice { title: title.to_owned(), links });
    };
    let counted = |name: &str, count: usize| format!("{name} ({})", grouped(count as u64));
    let link =
        |text: String, to: View, is_current| Link { text, address: to.address(), is_current };
    if runs.groups.len() > 1 {
        let all = counted("all", runs.groups.values().sum());
        let all = link(all, View::default(), view.group.is_none());
        let group = |(path, count): (&PathBuf, &usize)| {
            let name = path.strip_prefix(&site.path).unwrap_or(path).to_string_lossy();
            let name = if name.is_empty() { "here".into() } else { name };
            let group = Some(key_of(path));
            let is_current = view.group == group;
            link(counted(&name, *count), View { group, ..View::default() }, is_current)
        };
        let links = std::iter::once(all).chain(runs.groups.iter().map(group));
        add("Directories:", links.take(MAX_LINKS).collect());
    }
    if counts.datasets.len() > 1 {
        let links = counts.datasets.iter().map(|(fingerprint, (name, count))| {
            let data = Some(key(fingerprint.as_bytes()));
            let is_current = shown_data == Some(fingerprint);
            link(counted(name, *count), View { data, ..view.of_first_rows() }, is_current)
        });
        add("Data:", links.take(MAX_LINKS).collect());
    }
    if !counts.tags.is_empty() {
        let all = View { tag: None, ..view.of_first_rows() };
        let all = link("all".to_owned(), all, view.tag.is_none());
        let links = counts.tags.iter().map(|(tag, count)| {
            let tag_key = Some(key(tag.as_bytes()));
            let is_current = view.tag == tag_key;
            link(counted(tag, *count), View { tag: tag_key, ..view.of_first_rows() }, is_current)
        });
        let links = std::iter::once(all).chain(links);
        add("Tags:", links.take(MAX_LINKS).collect());
    }
    choices
}

fn notes(site: &Site, runs: &Runs) -> Vec<String> {
    let limitation = site.limitation().as_ref().map(|limitation| {
        format!("Changes are looked for every ten seconds, because {limitation}.")
    });
    runs.problem.clone().into_iter().chain(limitation).collect()
}
