use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use kiln_compare::charts::{against_setting, class_recall, effects, metric_curves, setting_grid};
use kiln_compare::page::page;
use kiln_compare::{
    AtEpoch, CompareError, CompareOptions, Comparison, Pair, Ranking, TableOptions, effects_text,
    show_pair, tagged,
};
use kiln_config::{KeyError, KeyIndex};
use kiln_report::chart::{
    Heatmap, effects_chart, heatmap_chart, heatmap_text, overlay_chart, setting_chart,
};
use kiln_store::{files, printable};
use kiln_sweep::{SweepRecord, SweepRecords, declared_race, declared_runs};

use crate::named_run;
use crate::next_step;
use crate::options::GlobalOptions;
use crate::output::{print_styled, status, terminal};

/// The largest number of combinations for which the terminal shows a heatmap. For more, --plot and --html draw one.
const MAX_TERMINAL_CELLS: usize = 200;
/// The largest number of combinations whose curves are in one picture.
const MAX_CURVES: usize = 12;
/// The largest number of combinations in a picture of accuracy by class.
const MAX_CLASS_ROWS: usize = 40;

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// Runs, sweeps, the directory of all runs, or patterns such as 'runs/*/*'
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print the table as CSV, with numbers in full precision
    #[arg(long, group = "format")]
    csv: bool,
    /// Print the table as Markdown
    #[arg(long, group = "format")]
    md: bool,
    /// Print JSON with all settings and results of each run
    #[arg(long, group = "format")]
    json: bool,
    /// Write a page with tables and charts: a single HTML file that works offline
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a chart of the validation accuracy, as an SVG file
    ///
    /// Two differing settings give a heatmap, and one gives a curve over its values. Otherwise the validation accuracy
    /// of each combination is drawn over the epochs. --plot-kind chooses another chart.
    #[arg(long, value_name = "FILE.svg", value_parser = svg_path)]
    plot: Option<PathBuf>,
    /// The kind of chart that --plot writes [default: the one that fits the settings that differ]
    #[arg(long, value_enum, value_name = "KIND", requires = "plot")]
    plot_kind: Option<PlotKind>,
    /// The settings on the axes of the heatmap, named as in the table; a single one gives a heatmap of one column
    #[arg(long, value_name = "ROWS,COLUMNS", value_delimiter = ',')]
    axes: Vec<String>,
    /// The column to sort by, named as in the table, such as "test accuracy"
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
    /// The metric of the validation images that ranks, such as val_loss or val_macro_f1
    #[arg(long, value_name = "METRIC", default_value = kiln_compare::DEFAULT_METRIC)]
    rank_by: String,
    /// The epoch at which the metric is taken
    #[arg(long, value_enum, value_name = "EPOCH", default_value_t = RankAt::Kept)]
    rank_at: RankAt,
    /// The probability, at most, of an error in the answer and the verdicts, each
    #[arg(long, value_name = "LEVEL", default_value_t = 0.05, value_parser = level)]
    level: f64,
    /// Compare each combination with this one, too
    ///
    /// A run's directory or id, or settings such as learning_rate=0.01,hidden.repeat=2.
    #[arg(long, value_name = "RUN")]
    baseline: Option<String>,
    /// The columns to show, which may be any settings of the runs
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    columns: Vec<String>,
    /// Of several sweeps in a directory, compare only the runs of this one: its number or its file
    ///
    /// The sweeps are numbered in the order in which they were first started.
    #[arg(long, value_name = "N|FILE")]
    sweep: Option<String>,
    /// Compare only the runs with this tag; if repeated, only those with all of them
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Show one row per run instead of one per combination
    #[arg(long)]
    all_seeds: bool,
}

/// The epochs of `--rank-at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RankAt {
    /// The epoch whose weights the run keeps and tests
    Kept,
    /// The epoch with the best value
    Best,
    /// The last epoch
    Last,
}

impl From<RankAt> for AtEpoch {
    fn from(at: RankAt) -> Self {
        match at {
            RankAt::Kept => AtEpoch::Kept,
            RankAt::Best => AtEpoch::Best,
            RankAt::Last => AtEpoch::Last,
        }
    }
}

/// The charts that `--plot` can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlotKind {
    /// Validation accuracy over two settings
    Heatmap,
    /// Validation accuracy over the epochs, with the spread over seeds
    Curves,
    /// Validation accuracy over one setting, with the spread over seeds
    Setting,
    /// Accuracy by class, one row per combination
    Classes,
    /// Mean of each value of the settings of a grid, over the other settings
    Effects,
}

pub(crate) fn compare(
    options: &GlobalOptions,
    arguments: &CompareArguments,
) -> anyhow::Result<ExitCode> {
    let paths = arguments.paths.iter().map(|path| named_run::path_of(options, path));
    let paths: Vec<PathBuf> = paths.collect::<anyhow::Result<_>>()?;
    let how = CompareOptions {
        ranking: Ranking::new(&arguments.rank_by, arguments.rank_at.into()),
        baseline: baseline(options, arguments)?,
        level: arguments.level,
    };
    let paths = match &arguments.sweep {
        Some(given) => runs_of_sweep(&paths, given)?,
        None => paths,
    };
    let paths = if arguments.tag.is_empty() { paths } else { tagged(&paths, &arguments.tag)? };
    let mut comparison = Comparison::read(&paths, &how)?;
    propose(&mut comparison, arguments.sweep.as_deref());
    let comparison = comparison;
    let axes = axes(&comparison, &arguments.axes)?;
    let table = TableOptions {
        sort: arguments.sort.clone(),
        columns: arguments.columns.clone(),
        all_seeds: arguments.all_seeds,
    };
    let is_for_programs = arguments.csv || arguments.md || arguments.json;
    let text = if arguments.csv {
        kiln_compare::csv(&comparison, &table)?
    } else if arguments.md {
        kiln_compare::markdown(&comparison, &table)?
    } else if arguments.json {
        kiln_compare::json(&comparison, &table)?
    } else {
        terminal_text(&comparison, &paths, &table, &axes)?
    };
    // Files are written before the table is printed, so that an error is the last line that is shown.
    if let Some(path) = &arguments.html {
        write(options, path, &page(&comparison)?)?;
    }
    if let Some(path) = &arguments.plot {
        write(options, path, &plot(&comparison, &axes, arguments.plot_kind)?)?;
    }
    print_styled(text.trim_end())?;
    // Other programs read the table from standard output, so the notes go to standard error.
    if is_for_programs && !options.quiet {
        status(notes(&comparison, &table).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// The directory of all runs; `None` if they are in several ones.
fn common_directory(comparison: &Comparison) -> Option<PathBuf> {
    let mut directories = comparison.runs().map(|run| run.directory.path().parent());
    let directory = directories.next()??;
    directories.all(|other| other == Some(directory)).then(|| directory.to_owned())
}

/// Proposes what to do next, if all runs are those of one sweep.
fn propose(comparison: &mut Comparison, sweep: Option<&str>) {
    let Some(directory) = common_directory(comparison) else { return };
    let Ok(records) = SweepRecords::read_intact(&directory) else { return };
    let record = match (sweep, records.as_slice()) {
        (Some(given), records) => SweepRecords::select(records, given).ok(),
        (None, [record]) => Some(record.clone()),
        // The runs are those of several sweeps.
        _ => None,
    };
    let (Some(record), Some(run)) = (record, comparison.runs().next()) else { return };
    // The proposed command declares runs of the sweep, so it tells nothing about others.
    let Ok(own) = declared_runs(&directory, sweep.unwrap_or("1")) else { return };
    if !comparison.runs().all(|run| own.iter().any(|path| path == run.directory.path())) {
        return;
    }
    let race = declared_race(&directory, &record, &run.fingerprint, run.validation_rows);
    // If the race of the sweep cannot be determined, nothing is known about what would help.
    if let Ok(race) = race {
        next_step::propose(comparison, &directory, &record, race.as_ref());
    }
}

/// The runs of one sweep in each of these directories.
fn runs_of_sweep(directories: &[PathBuf], given: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut runs = Vec::new();
    for directory in directories {
        if !files::exists(&SweepRecord::path(directory))? {
            let problem =
                format!("--sweep: {} is not the directory of a sweep", directory.display());
            return Err(CompareError::Request(problem).into());
        }
        let own = declared_runs(directory, given)?;
        if own.is_empty() {
            let problem = format!("--sweep {given}: no run of this sweep exists yet");
            return Err(CompareError::Request(problem).into());
        }
        runs.extend(own);
    }
    Ok(runs)
}

/// The baseline as given, or the path of the run that it names.
fn baseline(
    options: &GlobalOptions,
    arguments: &CompareArguments,
) -> anyhow::Result<Option<String>> {
    let Some(given) = &arguments.baseline else { return Ok(None) };
    let path = named_run::path_of(options, Path::new(given))?;
    Ok(Some(path.to_str().unwrap_or(given).to_owned()))
}

/// The table with its notes, followed by a heatmap of two settings or the details of two runs, and by the tables of runs
/// on other data.
fn terminal_text(
    comparison: &Comparison,
    paths: &[PathBuf],
    options: &TableOptions,
    axes: &[&str],
) -> anyhow::Result<String> {
    let terminal = terminal();
    let mut text = table_text(comparison, options)?;
    if let Some(pair) = Pair::of(comparison, paths) {
        text.push_str(&format!("\n{}", show_pair(&pair, terminal)));
    } else if comparison.combinations.len() <= MAX_TERMINAL_CELLS
        && let Some(heatmap) = heatmap(comparison, axes)
    {
        text.push_str(&format!("\n{}", heatmap_text(&heatmap, terminal)));
    }
    for other in &comparison.other_data {
        let heading = format!("other data: {}", printable(&other.data_name()));
        text.push_str(&format!("\n{heading}\n{}", table_text(other, &options.known_to(other))?));
    }
    Ok(text)
}

fn table_text(comparison: &Comparison, options: &TableOptions) -> anyhow::Result<String> {
    let terminal = terminal();
    let mut text = kiln_compare::terminal(comparison, options, terminal)?;
    text.push_str(&terminal.wrap(&notes(comparison, options)));
    let effects = effects_text(comparison, terminal);
    if !effects.is_empty() && !options.all_seeds {
        text.push_str(&format!("\n{effects}"));
    }
    Ok(text)
}

/// The sentences below the table.
fn notes(comparison: &Comparison, options: &TableOptions) -> String {
    if options.all_seeds {
        kiln_compare::run_notes(comparison)
    } else {
        kiln_compare::notes(comparison)
    }
}

/// The keys of the axes that were asked for; without any the settings that differ, where those are two.
fn axes<'a>(comparison: &'a Comparison, asked: &[String]) -> anyhow::Result<Vec<&'a str>> {
    let columns = &comparison.columns;
    if asked.is_empty() {
        let keys = columns.iter().map(|column| column.key.as_str());
        return Ok(if columns.len() == 2 { keys.collect() } else { Vec::new() });
    }
    if asked.len() > 2 {
        let problem = format!("--axes {}: a picture has two axes", asked.join(","));
        return Err(CompareError::Request(problem).into());
    }
    let index = KeyIndex::new(columns.iter().map(|column| column.key.as_str()));
    let find = |asked: &String| {
        index.complete(asked).map_err(|error| {
            let problem = match error {
                KeyError::Unknown { .. } => {
                    let labels: Vec<_> = columns.iter().map(|column| &*column.label).collect();
                    format!(
                        "--axes {asked}: no setting of this name differs; choose from {}",
                        labels.join(", ")
                    )
                }
                KeyError::Ambiguous(keys) => {
                    format!("--axes {asked} is ambiguous: write {}", keys.join(" or "))
                }
            };
            CompareError::Request(problem).into()
        })
    };
    asked.iter().map(find).collect()
}

fn heatmap(comparison: &Comparison, axes: &[&str]) -> Option<Heatmap> {
    let (rows, columns) = (axes.first()?, axes.get(1).copied());
    setting_grid(comparison, rows, columns, &comparison.ranking.measure())
}

/// The SVG text of the requested chart, or of the one that fits the settings that differ: a heatmap for two settings, a
/// curve over the values of a single one, otherwise the curves over the epochs.
fn plot(comparison: &Comparison, axes: &[&str], kind: Option<PlotKind>) -> anyhow::Result<String> {
    let only = comparison.columns.first().map(|column| column.key.as_str());
    let kind = kind.unwrap_or(match (axes.len(), comparison.columns.len()) {
        (2, _) => PlotKind::Heatmap,
        (1, _) | (_, 1) => PlotKind::Setting,
        _ => PlotKind::Curves,
    });
    let chart = match kind {
        PlotKind::Heatmap => heatmap(comparison, axes).map(|heatmap| heatmap_chart(&heatmap)),
        PlotKind::Setting => axes
            .first()
            .copied()
            .or(only)
            .and_then(|key| against_setting(comparison, key))
            .map(|chart| setting_chart(&chart)),
        PlotKind::Classes => {
            class_recall(comparison, MAX_CLASS_ROWS).map(|map| heatmap_chart(&map))
        }
        PlotKind::Effects => effects(comparison).map(|chart| effects_chart(&chart)),
        PlotKind::Curves => metric_curves(comparison, &["val_accuracy", "accuracy"], MAX_CURVES)
            .first()
            .map(overlay_chart),
    };
    chart.ok_or_else(|| {
        anyhow::anyhow!(match kind {
            PlotKind::Heatmap =>
                "a heatmap needs two settings that differ: name them with --axes ROWS,COLUMNS",
            PlotKind::Setting =>
                "this chart needs a numeric setting that differs: name it with --axes SETTING",
            PlotKind::Classes => "nothing to plot: no run has a test report",
            PlotKind::Effects =>
                "effects need a grid of two or more settings, each combination with two or more finished seeds",
            PlotKind::Curves => "nothing to plot: no run has completed an epoch",
        })
    })
}

fn write(options: &GlobalOptions, path: &Path, text: &str) -> anyhow::Result<()> {
    files::write(path, text)?;
    if !options.quiet {
        status(format_args!("wrote {}", path.display()));
    }
    Ok(())
}

/// A significance level.
fn level(argument: &str) -> Result<f64, String> {
    let level = argument.parse().ok().filter(|level| *level > 0.0 && *level < 0.5);
    level.ok_or_else(|| "must be above 0 and below 0.5, such as 0.05".to_owned())
}

/// Accepts only the names of SVG files, so that a mistyped name does not overwrite another kind of file.
fn svg_path(argument: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(argument);
    let is_svg = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
    if is_svg { Ok(path) } else { Err("the file name must end in .svg".into()) }
}
