use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use kiln_compare::charts::{Measure, against_setting, class_recall, metric_curves, setting_grid};
use kiln_compare::page::page;
use kiln_compare::{Column, CompareError, Comparison, Pair, TableOptions, show_pair};
use kiln_report::chart::{Heatmap, heatmap_chart, heatmap_text, overlay_chart, setting_chart};
use kiln_store::files;

use crate::arguments::Arguments;
use crate::{complain, say_styled, terminal};

/// The most combinations that are shown as a heatmap as well; more are a picture's or the page's.
const MOST_CELLS: usize = 200;
/// The most runs whose curves are drawn in one picture.
const MOST_CURVES: usize = 12;

/// The most combinations whose classes are drawn in one picture.
const MOST_CLASS_ROWS: usize = 40;

#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// Runs, sweeps, the directory of all runs, or patterns such as 'runs/*/*'
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print CSV, with all digits
    #[arg(long, group = "format")]
    csv: bool,
    /// Print a table in Markdown
    #[arg(long, group = "format")]
    md: bool,
    /// Print JSON, with everything that is known of each run
    #[arg(long, group = "format")]
    json: bool,
    /// Write a page with tables and pictures that stands alone as a file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a picture: validation accuracy by the settings that differ, or over the epochs
    #[arg(long, value_name = "FILE.svg", value_parser = svg_path)]
    plot: Option<PathBuf>,
    /// Which picture: by default the one that fits what differs
    #[arg(long, value_enum, value_name = "KIND", requires = "plot")]
    plot_kind: Option<PlotKind>,
    /// The two settings of the heatmap, rows and columns, as they are headed; of one setting, a single column
    #[arg(long, value_name = "ROWS,COLUMNS", value_delimiter = ',')]
    axes: Vec<String>,
    /// The column to sort by, as it is headed: "test accuracy", learning_rate
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
    /// What the others are held against: a run's directory or id, or settings such as
    /// learning_rate=0.01,hidden.repeat=2 [default: the best by validation]
    #[arg(long, value_name = "RUN")]
    baseline: Option<String>,
    /// The columns to show; any setting of the runs can be one
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',')]
    columns: Vec<String>,
    /// One row a run, and not one a combination of settings
    #[arg(long)]
    all_seeds: bool,
}

/// The pictures of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlotKind {
    /// Validation accuracy over two settings
    Heatmap,
    /// Validation accuracy of every run over the epochs
    Curves,
    /// Validation accuracy against the first of the axes, with the seeds' spread
    Setting,
    /// Accuracy by class, a row a combination
    Classes,
}

/// Sets runs side by side. Files are written first, so that a line that says where they are is not followed by an error.
pub(crate) fn compare(
    arguments: &Arguments,
    options: &CompareArguments,
) -> anyhow::Result<ExitCode> {
    let comparison = Comparison::read(&options.paths, options.baseline.as_deref())?;
    let axes = axes(&comparison, &options.axes)?;
    let notes = kiln_compare::notes(&comparison);
    let table = TableOptions {
        sort: options.sort.clone(),
        columns: options.columns.clone(),
        all_seeds: options.all_seeds,
    };
    let is_for_programs = options.csv || options.md || options.json;
    let text = if options.csv {
        kiln_compare::csv(&comparison, &table)?
    } else if options.md {
        kiln_compare::markdown(&comparison, &table)?
    } else if options.json {
        kiln_compare::json(&comparison, &table)?
    } else {
        in_terminal(&comparison, &table, &axes, &notes)?
    };
    if let Some(path) = &options.html {
        write(arguments, path, &page(&comparison)?)?;
    }
    if let Some(path) = &options.plot {
        write(arguments, path, &plot(&comparison, &axes, options.plot_kind)?)?;
    }
    say_styled(text.trim_end())?;
    // What goes to a file or another program is the table and no more.
    if is_for_programs && !arguments.quiet {
        complain(notes.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// The table, what must be known of it, and a closer look: at two settings, or at two runs.
fn in_terminal(
    comparison: &Comparison,
    options: &TableOptions,
    axes: &[&str],
    notes: &str,
) -> anyhow::Result<String> {
    let terminal = terminal();
    let table = kiln_compare::terminal(comparison, options, terminal)?;
    let mut text = wrapped(&(table + notes), terminal.width);
    if let Some(pair) = Pair::of(comparison) {
        text.push_str(&format!("\n{}", show_pair(&pair, terminal)));
    } else if comparison.combinations.len() <= MOST_CELLS
        && let Some(heatmap) = heatmap(comparison, axes)
    {
        text.push_str(&format!("\n{}", heatmap_text(&heatmap, terminal)));
    }
    Ok(text)
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
    let labels = || columns.iter().map(|column| column.label.as_str()).collect::<Vec<_>>();
    let find = |asked: &String| {
        let ending = format!(".{asked}");
        let is_it = |column: &&Column| column.label == *asked || column.key == *asked;
        let ends_so = |column: &&Column| column.key.ends_with(&ending);
        let by_end = match columns.iter().filter(ends_so).collect::<Vec<_>>().as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        let column = columns.iter().find(is_it).or(by_end).map(|column| column.key.as_str());
        column.ok_or_else(|| {
            let problem = format!(
                "--axes {asked}: no setting of that name differs; those that do are {}",
                labels().join(", ")
            );
            CompareError::Request(problem).into()
        })
    };
    asked.iter().map(find).collect()
}

fn heatmap(comparison: &Comparison, axes: &[&str]) -> Option<Heatmap> {
    let (rows, columns) = (axes.first()?, axes.get(1).copied());
    setting_grid(comparison, rows, columns, Measure::BestValidation)
}

/// The picture that was asked for, or that fits what differs: a heatmap for two settings, a line over the numbers of
/// one, else the curves.
fn plot(comparison: &Comparison, axes: &[&str], kind: Option<PlotKind>) -> anyhow::Result<String> {
    let only = comparison.columns.first().map(|column| column.key.as_str());
    let kind = kind.unwrap_or(match (axes.len(), comparison.columns.len()) {
        (2, _) => PlotKind::Heatmap,
        (1, _) | (_, 1) => PlotKind::Setting,
        _ => PlotKind::Curves,
    });
    let picture = match kind {
        PlotKind::Heatmap => heatmap(comparison, axes).map(|heatmap| heatmap_chart(&heatmap)),
        PlotKind::Setting => axes
            .first()
            .copied()
            .or(only)
            .and_then(|key| against_setting(comparison, key))
            .map(|chart| setting_chart(&chart)),
        PlotKind::Classes => {
            class_recall(comparison, MOST_CLASS_ROWS).map(|map| heatmap_chart(&map))
        }
        PlotKind::Curves => metric_curves(comparison, &["val_accuracy", "accuracy"], MOST_CURVES)
            .first()
            .map(overlay_chart),
    };
    picture.ok_or_else(|| {
        anyhow::anyhow!(match kind {
            PlotKind::Heatmap => "a heatmap needs settings: --axes names two that differ",
            PlotKind::Setting =>
                "this picture needs a setting of numbers that differs: --axes names one",
            PlotKind::Classes => "no run was tested, so there is nothing to plot",
            PlotKind::Curves => "no run has an epoch yet, so there is nothing to plot",
        })
    })
}

/// Lines broken at spaces to fit the terminal.
fn wrapped(text: &str, width: u16) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let mut room = usize::from(width);
        for (place, word) in line.split(' ').enumerate() {
            let length = word.chars().count();
            if place > 0 && length + 1 > room {
                lines.push('\n');
                room = usize::from(width);
            } else if place > 0 {
                lines.push(' ');
                room -= 1;
            }
            lines.push_str(word);
            room = room.saturating_sub(length);
        }
        lines.push('\n');
    }
    lines
}

fn write(arguments: &Arguments, path: &Path, text: &str) -> anyhow::Result<()> {
    files::write(path, text)?;
    if !arguments.quiet {
        complain(format_args!("wrote {}", path.display()));
    }
    Ok(())
}

/// Another kind of file is more likely to be a slip than a wish.
fn svg_path(argument: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(argument);
    let is_svg = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"));
    if is_svg { Ok(path) } else { Err("the picture is an SVG: the name must end in .svg".into()) }
}
