//! The documentation is correct: the commands that README.md and the guide show are run, their output is compared with
//! the output that the pages show, and all links are followed.
//!
//! The word after a block's language says what the test does with it:
//!
//! | block | the test |
//! |---|---|
//! | `sh` | runs the commands; they must succeed |
//! | `sh fails` | runs the commands; they must fail |
//! | `sh killed` | runs the commands; the program is killed during training |
//! | `sh no-run: REASON`, `python no-run: REASON` | does nothing |
//! | `text` | compares the text with the output of the block before it; numbers, ids and times may differ |
//! | `text sample: REASON` | does nothing |
//! | `toml configs/FILE` | compares the text with the file |
//! | `toml new: FILE` | writes the file for later commands |
//!
//! Each page has its own directory, with the shipped configurations on a small dataset. `ID` in a path is the newest run.

mod commands;
mod fence;
mod links;
mod output;
mod small;

use std::fs;
use std::path::{Path, PathBuf};

/// Pages whose links are checked, besides the guide.
const PAGES: [&str; 6] = [
    "README.md",
    "ARCHITECTURE.md",
    "RELIABILITY.md",
    "CHANGELOG.md",
    "docs/README.md",
    "data/fashion-mnist/README.md",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The pages of the guide, as paths from the root.
fn guide() -> Vec<String> {
    let entries = fs::read_dir(root().join("docs/guide")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> = names.map(|name| format!("docs/guide/{name}")).collect();
    pages.sort();
    assert!(pages.len() > 5, "{pages:?}");
    pages
}

#[test]
fn the_commands_of_the_documentation_work() {
    let pages = [vec!["README.md".to_owned()], guide()].concat();
    let problems: Vec<String> = std::thread::scope(|scope| {
        let check = |page| scope.spawn(move || commands::check(page, &read(page)));
        let checks: Vec<_> = pages.iter().map(|page| check(page.as_str())).collect();
        checks.into_iter().flat_map(|check| check.join().unwrap()).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn links_lead_to_files_and_headings() {
    let pages = PAGES.iter().map(|page| (*page).to_owned()).chain(guide());
    let broken: Vec<String> =
        pages.flat_map(|page| links::broken(&root(), &page, &read(&page))).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_index_of_the_guide_lists_every_page() {
    let index = read("docs/guide/README.md");
    for page in guide().iter().filter(|page| !page.ends_with("/README.md")) {
        let name = Path::new(page).file_name().unwrap().to_str().unwrap();
        assert!(index.contains(&format!("({name})")), "{page} is not in docs/guide/README.md");
    }
}

#[test]
fn a_page_of_the_guide_opens_with_a_command() {
    for page in guide().iter().filter(|page| !page.ends_with("/README.md")) {
        let fences = fence::fences(&read(page));
        let first = fences.first().unwrap_or_else(|| panic!("{page} has no block"));
        assert_eq!(first.language, "sh", "{page}");
    }
}

#[test]
fn the_test_command_of_the_readme_is_the_one_that_ci_runs() {
    assert!(read("README.md").contains("\ncargo test --workspace"));
    assert!(read(".ci/run").contains("cargo test --workspace --locked\n"));
}
