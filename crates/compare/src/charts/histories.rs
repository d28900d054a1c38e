use kiln_report::chart::{Overlay, OverlayCurve, OverlayPoint};
use kiln_store::{History, grouped};

use crate::comparison::Comparison;

use super::labels::run_words;

/// A curve with more epochs than this shows every n-th epoch and the last one.
pub const MAX_POINTS: usize = 200;

/// Metrics of the best combinations' runs over the epochs, with one chart for each metric that a run has. At most
/// `most` runs are drawn; the notes say so if there are more.
#[must_use]
pub fn metric_curves(comparison: &Comparison, metrics: &[&str], most: usize) -> Vec<Overlay> {
    let mut groups = Vec::new();
    let mut overlays: Vec<Vec<OverlayCurve>> = vec![Vec::new(); metrics.len()];
    let (mut drawn, mut without, mut cut) = (0, 0, 0);
    for combination in &comparison.combinations {
        // Combinations are drawn completely or not at all, so that the seeds of each can be compared. Only the first one
        // is cut if it has too many runs.
        if cut > 0 || (drawn + combination.runs.len() > most && drawn > 0) {
            cut += combination.runs.len();
            continue;
        }
        let group = groups.len();
        let mut any = false;
        for run in combination.runs.iter().take(most) {
            let history = run.directory.read_history().unwrap_or_default();
            let is_empty = history.rows.is_empty();
            drawn += usize::from(!is_empty);
            without += usize::from(is_empty);
            for (metric, curves) in metrics.iter().zip(&mut overlays) {
                let points = points(&history, metric);
                if !points.is_empty() {
                    any = true;
                    let words = run_words(comparison, combination, run);
                    curves.push(OverlayCurve { group, words, points });
                }
            }
        }
        if any {
            groups.push(combination.label(&comparison.columns));
        }
    }
    let mut note = if cut > 0 {
        let all = grouped((drawn + without + cut) as u64);
        format!("the {drawn} best of {all} runs by validation, one color per combination")
    } else {
        "one line per run, one color per combination".to_owned()
    };
    if without > 0 {
        note = format!("{note}; {without} without a completed epoch");
    }
    let overlay = |(metric, curves): (&&str, Vec<OverlayCurve>)| Overlay {
        title: format!("{metric} over the epochs"),
        note: note.clone(),
        metric: (*metric).to_owned(),
        groups: groups.clone(),
        curves,
    };
    let with_curves = metrics.iter().zip(overlays).filter(|(_, curves)| !curves.is_empty());
    with_curves.map(overlay).collect()
}

/// The values of a metric; empty if no epoch has one.
fn points(history: &History, metric: &str) -> Vec<OverlayPoint> {
    if history.rows.iter().all(|row| row.metric(metric).is_none()) {
        return Vec::new();
    }
    let step = history.rows.len().div_ceil(MAX_POINTS).max(1);
    let last = history.rows.len().saturating_sub(1);
    let rows = history.rows.iter().enumerate();
    rows.filter(|(index, _)| index % step == 0 || *index == last)
        .map(|(_, row)| OverlayPoint { epoch: row.epoch, value: row.metric(metric) })
        .collect()
}
