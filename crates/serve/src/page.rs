//! The page of the comparison.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use kiln_compare::page::{Choice, Link, LivePage, live_page};
use kiln_compare::{CompareError, RunSummary};
use kiln_store::grouped;

use crate::access::parameter;
use crate::site::{Runs, Site, above, key, key_of};

/// The largest number of rows of a table, unless the reader asks for all.
const MAX_ROWS: usize = 1_000;
/// The largest number of directories and datasets to choose from.
const MAX_LINKS: usize = 200;

/// The part of the runs that a page shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct View {
    /// The key of a directory.
    group: Option<String>,
    /// The key of a dataset.
    data: Option<String>,
    all_rows: bool,
}

/// A rendered page.
pub(crate) struct Page {
    /// Two pages with the same state are the same.
    pub(crate) state: String,
    pub(crate) html: Bytes,
}

impl View {
    pub(crate) fn parse(query: &str) -> Self {
        let key = |name| parameter(query, name).map(str::to_owned);
        Self {
            group: key("in"),
            data: key("data"),
            all_rows: parameter(query, "rows") == Some("all"),
        }
    }

    fn address(&self) -> String {
        let group = self.group.iter().map(|key| format!("in={key}"));
        let data = self.data.iter().map(|key| format!("data={key}"));
        let rows = self.all_rows.then(|| "rows=all".to_owned());
        let parts: Vec<String> = group.chain(data).chain(rows).collect();
        if parts.is_empty() { "/".to_owned() } else { format!("/?{}", parts.join("&")) }
    }
}

/// Renders a comparison; `None` if there is no such directory or dataset.
pub(crate) fn comparison(site: &Site, view: &View) -> Option<Result<Page, CompareError>> {
    let runs = site.runs();
    let state = site.state(format_args!("{}-{}", site.version(), key(view.address().as_bytes())));
    let group = match &view.group {
        Some(wanted) => Some(runs.groups.keys().find(|path| key_of(path) == *wanted)?),
        None => None,
    };
    let datasets = datasets(&runs, group);
    if view.data.as_ref().is_some_and(|wanted| !datasets.contains_key(wanted)) {
        return None;
    }
    let is_in_group = |path: &Path| group.is_none_or(|group| above(path) == group);
    let is_of_data = |run: Option<&RunSummary>| match (&view.data, run) {
        (None, _) => true,
        (Some(wanted), run) => run.is_some_and(|run| key(run.fingerprint.as_bytes()) == *wanted),
    };
    let left_out = runs.left_out.iter().filter(|skipped| {
        group.is_none_or(|group| skipped.path.starts_with(group)) && view.data.is_none()
    });
    let left_out = left_out.cloned().collect();
    let is_included = |path: &Path, run: Option<&RunSummary>| is_in_group(path) && is_of_data(run);
    let comparison = runs.known.compare(is_included, left_out, &site.ranking, site.level);
    let shown = comparison.runs().next().map(|run| key(run.fingerprint.as_bytes()));
    let live = LivePage {
        state: state.clone(),
        known: &runs.known,
        address: &|run| Some(format!("/run/{}", key_of(run.directory.path()))),
        choices: choices(site, &runs, view, &datasets, shown.as_ref()),
        notes: notes(site, &runs),
        max_rows: if view.all_rows { usize::MAX } else { MAX_ROWS },
        all_rows: View { all_rows: true, ..view.clone() }.address(),
    };
    let html = live_page(&comparison, &live);
    Some(html.map(|html| Page { state, html: html.into() }))
}

/// The names of the datasets in a directory and their numbers of runs, by their keys.
fn datasets(runs: &Runs, group: Option<&PathBuf>) -> BTreeMap<String, (String, usize)> {
    let mut datasets: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for (path, run) in runs.known.iter() {
        if group.is_some_and(|group| above(path) != group) {
            continue;
        }
        let Ok(run) = run.summary() else { continue };
        let name = || {
            let start: String = run.fingerprint.chars().take(8).collect();
            (format!("{} {start}", run.dataset), 0)
        };
        datasets.entry(key(run.fingerprint.as_bytes())).or_insert_with(name).1 += 1;
    }
    datasets
}

/// The directories and the datasets to choose from, if there are several.
fn choices(
    site: &Site,
    runs: &Runs,
    view: &View,
    datasets: &BTreeMap<String, (String, usize)>,
    shown: Option<&String>,
) -> Vec<Choice> {
    let mut choices = Vec::new();
    let counted = |name: &str, count: usize| format!("{name} ({})", grouped(count as u64));
    if runs.groups.len() > 1 {
        let all = Link {
            text: counted("all", runs.groups.values().sum()),
            address: View::default().address(),
            is_current: view.group.is_none(),
        };
        let group = |(path, count): (&PathBuf, &usize)| {
            let name = path.strip_prefix(&site.path).unwrap_or(path).to_string_lossy();
            let name = if name.is_empty() { "here".into() } else { name };
            let group = Some(key_of(path));
            let is_current = view.group == group;
            let address = View { group, ..View::default() }.address();
            Link { text: counted(&name, *count), address, is_current }
        };
        let links = std::iter::once(all).chain(runs.groups.iter().map(group)).take(MAX_LINKS);
        choices.push(Choice { title: "Directories:".to_owned(), links: links.collect() });
    }
    if datasets.len() > 1 {
        let links = datasets.iter().take(MAX_LINKS).map(|(key, (name, count))| Link {
            text: counted(name, *count),
            address: View { data: Some(key.clone()), all_rows: false, ..view.clone() }.address(),
            is_current: shown == Some(key),
        });
        choices.push(Choice { title: "Data:".to_owned(), links: links.collect() });
    }
    choices
}

fn notes(site: &Site, runs: &Runs) -> Vec<String> {
    let limitation = site.limitation().as_ref().map(|limitation| {
        format!("Changes are looked for every ten seconds, because {limitation}.")
    });
    runs.problem.clone().into_iter().chain(limitation).collect()
}
