//! The page of one run, and its files.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{Read, Seek};
use std::path::Path;

use askama::Template;
use kiln_compare::Stamp;
use kiln_compare::page::{LIVE_STYLE, SCRIPT, STYLE};
use kiln_report::chart::{self, confusion_chart, history_chart, inline};
use kiln_report::{Fact, RunContent, SettingsLine, TextTable};
use kiln_store::{RunDirectory, Status, grouped, quoted};

use crate::page::Page;
use crate::site::{Site, above, key_of};

/// The largest file that is sent.
const MAX_FILE: u64 = 64 << 20;

/// The files of a run that can be requested: all except the weights and the drawings, which the page has already.
const FILES: [&str; 10] = [
    "config.toml",
    "run.json",
    "splits.csv",
    "history.csv",
    "report.md",
    "report.json",
    "predictions.csv",
    "log.jsonl",
    MISTAKES,
    FILTERS,
];
const MISTAKES: &str = "mistakes.png";
const FILTERS: &str = "filters.png";

/// The first bytes of every PNG file.
const PNG: &[u8; 8] = b"\x89PNG\r\n\x1a\n";

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage<'a> {
    state: &'a str,
    key: &'a str,
    chart_style: &'static str,
    style: &'static str,
    live_style: &'static str,
    script: &'static str,
    version: &'static str,
    name: String,
    id: String,
    /// The directory of the run, as the user named the directory above it.
    path: String,
    back: String,
    group: String,
    /// Why the run cannot be read.
    problem: Option<String>,
    content: Option<Content>,
    files: Vec<File>,
}

/// What the page shows of a run that can be read.
struct Content {
    status: String,
    progress: Option<Progress>,
    tags: Option<String>,
    /// The lines of the user's note.
    note: Vec<String>,
    warnings: Vec<String>,
    damaged: Vec<String>,
    result: Vec<String>,
    confused: Vec<String>,
    curves: Option<String>,
    epochs: Option<TextTable>,
    classes: Option<TextTable>,
    confusion: Option<String>,
    mistakes: Option<String>,
    filters: Option<String>,
    settings: Vec<SettingsLine>,
    facts: Vec<(&'static str, String)>,
    commands: Vec<(&'static str, String)>,
}

struct Progress {
    epochs: usize,
    planned: usize,
    words: String,
}

struct File {
    name: &'static str,
    holds: &'static str,
}

/// A picture of a run, which changes its address when its content changes.
fn picture(key: &str, run: &Path, name: &str) -> Option<String> {
    let file = fs::symlink_metadata(run.join(name)).ok().filter(fs::Metadata::is_file)?;
    let mut hasher = DefaultHasher::new();
    (file.len(), file.modified().ok()).hash(&mut hasher);
    Some(format!("/run/{key}/{name}?{:016x}", hasher.finish()))
}

/// The state of a run: two pages with the same one are the same. `None` if there is no such run.
pub(crate) fn state(site: &Site, key: &str) -> Option<String> {
    let runs = site.runs();
    let (path, known) = runs.by_key(key).filter(|(path, _)| site.contains(path))?;
    let mut hasher = DefaultHasher::new();
    Stamp::of(path).hash(&mut hasher);
    (known.is_alive(), picture(key, path, MISTAKES), picture(key, path, FILTERS)).hash(&mut hasher);
    Some(site.state(format_args!("{:016x}", hasher.finish())))
}

/// Renders the page of a run; `None` if there is no such run.
pub(crate) fn render(site: &Site, key: &str) -> Option<Result<Page, askama::Error>> {
    let state = state(site, key)?;
    let (path, is_alive, planned) = {
        let runs = site.runs();
        let (path, known) = runs.by_key(key)?;
        (path.to_owned(), known.is_alive(), known.planned_epochs())
    };
    let run = RunDirectory::at(&path);
    let read = RunContent::read(&run);
    let (problem, content) = match read {
        Ok(content) => (None, Some(Content::new(&run, key, content, is_alive, planned))),
        Err(error) => (Some(error.to_string()), None),
    };
    let (name, id) = match &content {
        Some((name, id, _)) => (name.clone(), id.clone()),
        None => (String::new(), run.id()),
    };
    let group = above(&path);
    let is_there = |name: &str| path.join(name).is_file();
    let files = RunDirectory::FILES.iter().filter(|file| FILES.contains(&file.name));
    let files = files.filter(|file| is_there(file.name));
    let page = RunPage {
        state: &state,
        key,
        chart_style: chart::style(),
        style: STYLE,
        live_style: LIVE_STYLE,
        script: SCRIPT,
        version: env!("CARGO_PKG_VERSION"),
        name,
        id,
        path: path.to_string_lossy().into_owned(),
        back: format!("/?in={}", key_of(group)),
        group: group.to_string_lossy().into_owned(),
        problem,
        content: content.map(|(_, _, content)| content),
        files: files.map(|file| File { name: file.name, holds: file.holds }).collect(),
    };
    Some(page.render().map(|html| Page { state: state.clone(), html: html.into() }))
}

impl Content {
    /// The name and the id of a run, and what the page shows of it.
    fn new(
        run: &RunDirectory,
        key: &str,
        content: RunContent,
        is_alive: bool,
        planned: Option<usize>,
    ) -> (String, String, Self) {
        let record = &content.record;
        let status = match record.status {
            Status::Running if is_alive => "running".to_owned(),
            Status::Running => "killed: marked as running, but no process works on it".to_owned(),
            _ => content.ending.clone(),
        };
        let epochs = content.history.as_ref().map_or(0, |history| history.rows.len());
        let progress = planned.filter(|_| is_alive).map(|planned| Progress {
            epochs,
            planned: planned.max(epochs),
            words: format!("epoch {} of {}", grouped(epochs as u64), grouped(planned as u64)),
        });
        let (warnings, facts): (Vec<_>, Vec<_>) =
            content.facts.iter().cloned().partition(|fact| fact.label.ends_with("warning"));
        // Tags and note are the last ones; further lines of the note have no label.
        let is_of_user = |fact: &Fact| matches!(fact.label, "tags" | "note");
        let facts_end = facts.iter().position(is_of_user).unwrap_or(facts.len());
        let (facts, of_user) = facts.split_at(facts_end);
        let (tags, note): (Vec<_>, Vec<_>) =
            of_user.iter().cloned().partition(|fact| fact.label == "tags");
        let kept = content.report.as_ref().map(|report| report.epoch);
        let title = format!("{} {}", record.name, record.id);
        let history = content.history.as_ref().filter(|history| !history.rows.is_empty());
        let matrix = content.report.as_ref().filter(|report| !report.confusion.is_empty());
        let matrix = matrix.map(|report| {
            let classes: Vec<String> =
                report.per_class.iter().map(|class| class.class.clone()).collect();
            inline(&confusion_chart(&title, &classes, &report.confusion))
        });
        let is_tested = content.report.is_some();
        let shown = Self {
            status,
            progress,
            tags: tags.into_iter().next().map(|fact| fact.text),
            note: note.into_iter().map(|fact| fact.text).collect(),
            warnings: warnings.into_iter().map(|fact| fact.text).collect(),
            damaged: content.damaged.iter().map(|(_, error)| error.to_string()).collect(),
            result: content.result(),
            confused: content.confused(),
            curves: history.map(|history| inline(&history_chart(&title, history, kept))),
            epochs: content.epochs(),
            classes: content.classes(),
            confusion: matrix,
            mistakes: picture(key, run.path(), MISTAKES).filter(|_| is_tested),
            filters: picture(key, run.path(), FILTERS).filter(|_| is_tested),
            settings: content.settings,
            facts: facts.iter().map(|fact| (fact.label, fact.text.clone())).collect(),
            commands: commands(run, record.status, is_alive),
        };
        (content.record.name, content.record.id, shown)
    }
}

/// What the reader can do with the run in a terminal.
fn commands(run: &RunDirectory, status: Status, is_alive: bool) -> Vec<(&'static str, String)> {
    let path = run.path().to_string_lossy();
    // Without the prefix, a relative path could be taken for an option.
    let prefix = if path.starts_with('-') { "./" } else { "" };
    let path = quoted(&format!("{prefix}{path}")).to_string();
    match status {
        _ if is_alive => Vec::new(),
        Status::Finished => vec![
            ("To classify images with it:", format!("kiln predict {path} IMAGE")),
            ("To check that it reproduces its results:", format!("kiln verify {path}")),
        ],
        Status::Running | Status::Interrupted | Status::Failed => {
            vec![("To resume it:", format!("kiln resume {path}"))]
        }
        Status::Diverged | Status::Pruned => {
            vec![("To show it in a terminal:", format!("kiln show {path}"))]
        }
    }
}

/// A file of a run, which is read while it is sent.
pub(crate) struct SentFile {
    pub(crate) is_png: bool,
    pub(crate) file: fs::File,
    pub(crate) length: u64,
}

/// A file of a run; `None` if there is no such run or file, or if it cannot be sent.
pub(crate) fn file(site: &Site, key: &str, name: &str) -> Option<SentFile> {
    // The name of the list, not that of the request, becomes part of a path.
    let name = FILES.iter().find(|known| **known == name)?;
    let run = site.runs().by_key(key)?.0.to_owned();
    if !site.contains(&run) {
        return None;
    }
    let (mut file, length) = kiln_config::open_file(&run.join(name)).ok()?;
    let is_png = name.ends_with(".png");
    if is_png {
        let mut start = [0; PNG.len()];
        file.read_exact(&mut start).ok().filter(|()| start == *PNG)?;
        file.rewind().ok()?;
    }
    (length <= MAX_FILE).then_some(SentFile { is_png, file, length })
}
