use kiln_config::printable;

use super::examination::{Examination, Examined, Health};
use super::finding::{Finding, Severity};

/// The findings, grouped by run or directory, most serious first, each followed by a line of advice. The last line
/// counts the runs by health.
#[must_use]
pub fn text(examination: &Examination) -> String {
    let Examination { runs, directories } = examination;
    let with_findings = |examined: &&Examined| !examined.findings.is_empty();
    let mut reported: Vec<&Examined> =
        directories.iter().chain(runs).filter(with_findings).collect();
    // The sort is stable: equally serious ones stay ordered by path.
    reported.sort_by_key(|examined| examined.findings.first().map(|finding| finding.severity));
    let mut text = String::new();
    for Examined { path, findings, .. } in reported {
        text.push_str(&format!("{}\n", printable(&path.display().to_string())));
        for finding in findings {
            text.push_str(&lines(finding));
        }
    }
    text + &summary(examination)
}

fn lines(finding: &Finding) -> String {
    let Finding { severity, file, problem, advice } = finding;
    let file = if file.is_empty() { String::new() } else { format!("{file}: ") };
    let mut lines =
        format!("  {:<11}  {}\n", severity.as_str(), printable(&format!("{file}{problem}")));
    if !advice.is_empty() {
        lines.push_str(&format!("{:15}{}\n", "", printable(advice)));
    }
    lines
}

fn summary(examination: &Examination) -> String {
    let Examination { runs, directories } = examination;
    let mut counts = Vec::new();
    for health in Health::ALL {
        let number = runs.iter().filter(|run| run.health == health).count();
        if number > 0 {
            counts.push(format!("{number} {}", health.label()));
        }
    }
    let damaged =
        directories.iter().filter(|directory| directory.health <= Health::Unchecked).count();
    let mut about_directories = String::new();
    if damaged > 0 {
        about_directories = format!("; {damaged} sweep.json damaged or unchecked");
    }
    let count = runs.len();
    let mut text = format!("{count} {}", if count == 1 { "run" } else { "runs" });
    if !counts.is_empty() {
        text.push_str(&format!(": {}", counts.join(", ")));
    }
    text.push_str(&about_directories);
    let all = runs.iter().chain(directories).flat_map(|examined| &examined.findings);
    let stale = all.filter(|finding| finding.severity == Severity::Stale).count();
    if stale > 0 {
        text.push_str(&format!("; {stale} stale"));
    }
    let without_sums = runs.iter().filter(|run| run.without_sums).count();
    if without_sums > 0 {
        text.push_str(&format!(
            "; {without_sums} without checksums (from an earlier version of Kiln), only checked for consistency"
        ));
    }
    text + "\n"
}
