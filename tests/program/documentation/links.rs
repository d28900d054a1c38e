//! Every relative link and picture of a page leads to a file, and every anchor to a heading.

use std::fs;
use std::path::Path;

/// Returns the links of a page that lead nowhere. `page` is a path from the root of the project.
pub(super) fn broken(root: &Path, page: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let mut in_fence = false;
    for (index, line) in text.lines().enumerate() {
        in_fence ^= line.starts_with("```");
        for target in if in_fence { Vec::new() } else { targets(line) } {
            if !leads_somewhere(root, page, target) {
                broken.push(format!("{page}:{}: broken link: {target}", index + 1));
            }
        }
    }
    broken
}

/// The `TARGET` of each `](TARGET)` in a line.
fn targets(line: &str) -> Vec<&str> {
    let parts = line.split("](").skip(1);
    parts.filter_map(|part| part.split_once(')')).map(|(target, _)| target).collect()
}

fn leads_somewhere(root: &Path, page: &str, target: &str) -> bool {
    if target.contains("://") {
        return true;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let page = root.join(page);
    let file = if path.is_empty() { page } else { page.with_file_name("").join(path) };
    if anchor.is_empty() {
        return file.exists();
    }
    let text = fs::read_to_string(&file).unwrap_or_default();
    headings(&text).iter().any(|heading| heading == anchor)
}

/// The anchors that GitHub gives the headings of a page.
fn headings(text: &str) -> Vec<String> {
    let mut in_fence = false;
    let headings = text.lines().filter(|line| {
        in_fence ^= line.starts_with("```");
        !in_fence && line.starts_with('#')
    });
    headings.map(|line| slug(line.trim_start_matches('#').trim())).collect()
}

fn slug(heading: &str) -> String {
    let lower = heading.to_lowercase().replace(' ', "-");
    lower
        .chars()
        .filter(|character| character.is_alphanumeric() || "-_".contains(*character))
        .collect()
}

#[test]
fn anchors_are_those_of_github() {
    assert_eq!(headings("# The `run` directory, now\n```\n# no\n```\n"), ["the-run-directory-now"]);
}

#[test]
fn links_are_found() {
    assert_eq!(targets("a [b](c.md#d) and ![e](f.png)"), ["c.md#d", "f.png"]);
}
