use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use kiln_report::chart::compared::{Measure, against_setting, metric_curves, setting_grid};
use kiln_report::chart::{heatmap_chart, heatmap_text, overlay_chart, setting_chart};
use kiln_report::compare::{self, Comparison, Pair, TableOptions, show_pair};
use kiln_report::page::page;
use kiln_report::{Terminal, files};

use crate::arguments::Arguments;
use crate::{complain, say, terminal};

/// The most combinations that are shown as a heatmap as well; more are a picture's or the page's.
const MOST_CELLS: usize = 200;
/// The most runs whose curves are drawn in one picture.
const MOST_CURVES: usize = 12;

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

/// Sets runs side by side. Files are written first, so that a line that says where they are is not followed by an error.
pub(crate) fn compare(
    arguments: &Arguments,
    options: &CompareArguments,
) -> anyhow::Result<ExitCode> {
    let comparison = Comparison::read(&options.paths, options.baseline.as_deref())?;
    let notes = compare::notes(&comparison);
    let table = TableOptions {
        sort: options.sort.clone(),
        columns: options.columns.clone(),
        all_seeds: options.all_seeds,
    };
    let is_for_programs = options.csv || options.md || options.json;
    let text = if options.csv {
        compare::csv(&comparison, &table)?
    } else if options.md {
        compare::markdown(&comparison, &table)?
    } else if options.json {
        compare::json(&comparison, &table)?
    } else {
        in_terminal(&comparison, &table, &notes, terminal())?
    };
    if let Some(path) = &options.html {
        write(arguments, path, &page(&comparison)?)?;
    }
    if let Some(path) = &options.plot {
        write(arguments, path, &plot(&comparison)?)?;
    }
    say(text.trim_end())?;
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
    notes: &str,
    terminal: Terminal,
) -> anyhow::Result<String> {
    let mut text = compare::terminal(comparison, options, terminal)?;
    text.push_str(notes);
    if let Some(pair) = Pair::of(comparison) {
        text.push_str(&format!("\n{}", show_pair(&pair, terminal)));
    } else if let [rows, columns] = comparison.columns.as_slice()
        && comparison.combinations.len() <= MOST_CELLS
        && let Some(heatmap) =
            setting_grid(comparison, &rows.key, Some(&columns.key), Measure::BestValidation)
    {
        text.push_str(&format!("\n{}", heatmap_text(&heatmap, terminal)));
    }
    Ok(text)
}

/// The picture that fits what differs: a heatmap for two settings, a line over the numbers of one, else the curves.
fn plot(comparison: &Comparison) -> anyhow::Result<String> {
    let picture = match comparison.columns.as_slice() {
        [rows, columns] => {
            setting_grid(comparison, &rows.key, Some(&columns.key), Measure::BestValidation)
                .map(|heatmap| heatmap_chart(&heatmap))
        }
        [only] => against_setting(comparison, &only.key).map(|chart| setting_chart(&chart)),
        _ => None,
    };
    let curves = || {
        let overlays = metric_curves(comparison, &["val_accuracy", "accuracy"], MOST_CURVES);
        overlays.first().map(overlay_chart)
    };
    picture
        .or_else(curves)
        .ok_or_else(|| anyhow::anyhow!("no run has an epoch yet, so there is nothing to plot"))
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
