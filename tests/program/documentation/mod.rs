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
//! | `python needs: MODULES` | runs the code after that of the page's blocks before it, if Python has these modules |
//! | `sh no-run: REASON`, `python no-run: REASON` | does nothing |
//! | `text` | compares the text with the output of the block before it; numbers, ids and times may differ |
//! | `text sample: REASON` | does nothing |
//! | `toml configs/FILE` | looks for the text in the file |
//! | `toml new: FILE` | writes the file for later commands |
//!
//! Each page has its own directory, with the shipped configurations on a small dataset. In a path, `ID` is the newest run
//! and `OTHER` the one before it.

mod commands;
mod fence;
mod links;
mod output;
mod small;

use std::fs;
use std::path::PathBuf;

/// A test for each page whose commands are run, and the list of these pages.
macro_rules! pages {
    ($($name:ident: $page:literal,)*) => {
        const PAGES: &[&str] = &[$($page),*];
        $(
            #[test]
            fn $name() {
                let problems = commands::check($page, &read($page));
                assert!(problems.is_empty(), "{}", problems.join("\n"));
            }
        )*
    };
}

pages! {
    readme: "README.md",
    augmentation: "docs/guide/augmentation.md",
    guide: "docs/guide/README.md",
    cluster: "docs/guide/cluster.md",
    command_line: "docs/guide/command-line.md",
    comparing: "docs/guide/comparing.md",
    data: "docs/guide/data.md",
    experiments: "docs/guide/experiments.md",
    gpus: "docs/guide/gpus.md",
    interrupted_runs: "docs/guide/interrupted-runs.md",
    layers: "docs/guide/layers.md",
    onnx: "docs/guide/onnx.md",
    performance: "docs/guide/performance.md",
    python: "docs/guide/python.md",
    pytorch: "docs/guide/pytorch.md",
    run_directory: "docs/guide/run-directory.md",
    serve: "docs/guide/serve.md",
    sweeps: "docs/guide/sweeps.md",
    tensorboard: "docs/guide/tensorboard.md",
    verifying: "docs/guide/verifying.md",
    your_images: "docs/guide/your-images.md",
}

/// Pages of which only the links are checked.
const OTHER_PAGES: [&str; 5] = [
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

/// The pages of the guide, without its index.
fn guide_pages() -> impl Iterator<Item = &'static str> {
    PAGES
        .iter()
        .copied()
        .filter(|page| page.starts_with("docs/guide/") && !page.ends_with("README.md"))
}

#[test]
fn links_lead_to_files_and_headings() {
    let pages = PAGES.iter().chain(&OTHER_PAGES);
    let broken: Vec<String> =
        pages.flat_map(|page| links::broken(&root(), page, &read(page))).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_page_of_the_guide_is_tested_and_in_the_index() {
    let index = read("docs/guide/README.md");
    for entry in fs::read_dir(root().join("docs/guide")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let page = format!("docs/guide/{name}");
        assert!(PAGES.contains(&page.as_str()), "{page} has no test");
        assert!(
            name == "README.md" || index.contains(&format!("({name})")),
            "{page} is not in the index"
        );
    }
}

#[test]
fn a_page_of_the_guide_opens_with_a_command() {
    for page in guide_pages() {
        let fences = fence::fences(&read(page));
        let first = fences.first().unwrap_or_else(|| panic!("{page} has no block"));
        assert_eq!(first.language, "sh", "{page}");
    }
}

#[test]
fn the_test_command_of_the_readme_is_the_one_that_ci_runs() {
    assert!(read("README.md").contains("\ncargo test --workspace\n"));
    assert!(read(".ci/run").contains("cargo test --workspace --locked\n"));
}
