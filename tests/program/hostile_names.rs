//! Names of runs and sweeps that would lead out of the runs directory, hide in it, or control a terminal.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::project::{CommandOutput, Project};

/// How many names are tried: those of [`LISTED`], a few very long ones, and random ones.
const NAMES: usize = 200;

/// The runs directory. It is nested, so that a name with many `..` leads to a path inside the project, which the test checks.
const RUNS: &str = "a/b/c/runs";

const LISTED: &[&str] = &[
    "",
    ".",
    "..",
    "../x",
    "../../x",
    "../../../../x",
    "x/..",
    "x/../../y",
    "./x",
    "/",
    "//x",
    "/x",
    "x/",
    "x/y",
    "x\\y",
    "..\\x",
    "\\\\host\\x",
    "C:",
    "C:\\x",
    "c:x",
    "~",
    "~root",
    "$HOME",
    "`id`",
    "$(id)",
    ";id",
    "a|b",
    "a&b",
    "a>b",
    "a<b",
    "*",
    "?",
    "[x]",
    "{a,b}",
    "%00",
    "%2e%2e%2f",
    "..%2fx",
    "\0",
    "x\0y",
    "\n",
    "x\ny",
    "\r",
    "x\rerror: y",
    "\t",
    "\u{7f}",
    "\u{1b}[31m",
    "\u{1b}]0;title\u{7}",
    "\u{1b}[2J",
    "\u{9b}31m",
    "\u{85}",
    "\u{8}\u{8}",
    "\u{202e}txt",
    "\u{2066}x",
    "\u{200b}",
    "\u{feff}x",
    "\u{2028}",
    "\u{a0}",
    "x\u{301}",
    "\u{ff0f}x",
    "\u{2215}x",
    "\u{2044}x",
    "\u{ff0e}\u{ff0e}",
    "\u{2025}",
    "\u{1f525}",
    "\u{10ffff}",
    "\u{e000}",
    "\u{fffd}",
    "CON",
    "con.txt",
    "NUL",
    "aux",
    "COM1",
    "LPT1",
    ".hidden",
    ".sweep",
    ".git",
    "-",
    "--",
    "-rf",
    "--help",
    "--runs=/",
    "run.json",
    "config.toml",
    "report.json",
    " ",
    " x",
    "x ",
    "x.",
    "...",
    "a b",
    "\"",
    "\"\"\"",
    "'",
    "'''",
    "#",
    "a#b",
    "a=b",
    "=",
    "<script>",
    "&amp;",
    "null",
    "true",
    "nan",
    "1e999",
    "__proto__",
    "\u{130}",
    "\u{df}",
    "Übung",
    "実験",
    "x",
    "7",
    "a.b-c_d",
];

fn names(project: &Project) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = LISTED.iter().map(|name| (*name).to_owned()).collect();
    names.insert("x".repeat(101));
    names.insert("é".repeat(51));
    names.insert("x".repeat(100_000));
    names.insert(project.path("escape").display().to_string());
    let pieces = [
        "..", "/", "\\", ".", "-", "x", "\u{1b}", "\n", "\u{202e}", "é", "\u{9b}", " ", ":",
        "\u{200d}", "🔥", "\0", "~", "%",
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    while names.len() < NAMES {
        let length = 1 + rng.next_u64() % 6;
        let piece = |_| pieces[rng.next_u64() as usize % pieces.len()];
        names.insert((0..length).map(piece).collect());
    }
    names
}

/// A TOML string that contains any text, with every character escaped.
fn quoted(text: &str) -> String {
    let escaped: String =
        text.chars().map(|character| format!("\\U{:08X}", u32::from(character))).collect();
    format!("\"{escaped}\"")
}

/// Asserts that the output contains nothing that controls a terminal, and no panic.
pub(crate) fn assert_printable(output: &CommandOutput, what: &str) {
    for text in [&output.stdout, &output.stderr] {
        let control = text.chars().find(|c| kiln_store::is_unprintable(*c) && *c != '\n');
        assert_eq!(control, None, "{what:?}: {text:?}");
        assert!(!text.contains("panicked"), "{what:?}: {text}");
    }
}

/// The paths that have been created since `before`, which is sorted.
fn added(project: &Project, before: &[PathBuf]) -> Vec<PathBuf> {
    project.listing().into_iter().filter(|path| before.binary_search(path).is_err()).collect()
}

fn is_in_runs(project: &Project, path: &Path) -> bool {
    // The listing starts from `./`, and contains the parents of the runs directory.
    let runs = project.path(format!("./{RUNS}"));
    path.starts_with(&runs) || runs.starts_with(path)
}

#[test]
fn no_name_leads_out_of_the_runs_directory() {
    let project = Project::new();
    let mut allowed = 0;
    for name in names(&project) {
        let before = project.listing();
        let named = format!("name={}", quoted(&name));
        // The system limits the length of an argument, so a very long name is passed without escapes.
        let named = if named.len() > 100_000 { format!("name={name}") } else { named };
        let output = project.kiln(&["run", "experiment.toml", "epochs=1", "--runs", RUNS, &named]);
        assert_printable(&output, &name);
        let added = added(&project, &before);
        match output.status {
            0 => {
                allowed += 1;
                let outside: Vec<_> =
                    added.iter().filter(|path| !is_in_runs(&project, path)).collect();
                assert!(outside.is_empty(), "{name:?} created {outside:?}");
                assert!(
                    project.path(RUNS).join(&name).is_dir(),
                    "{name:?} must be the name of the directory"
                );
            }
            2 => assert!(added.is_empty(), "{name:?} created {added:?}"),
            status => panic!("{name:?}: status {status}: {}", output.stderr),
        }
        let text = format!("name = {}\nexperiment = \"experiment.toml\"\n", quoted(&name));
        project.write("sweep.toml", text);
        let before = project.listing();
        // If the name is valid, an invalid axis makes the sweep fail, so that it does not train.
        let axis = if output.status == 0 { "nothing=1" } else { "seed=1" };
        let swept = project.kiln(&["sweep", "sweep.toml", axis, "--runs", RUNS]);
        assert_printable(&swept, &name);
        assert_eq!(swept.status, 2, "{name:?}: {}", swept.stderr);
        let says_name = swept.stderr.contains("this name cannot be used");
        assert_eq!(says_name, output.status == 2, "{name:?}: {}", swept.stderr);
        assert_eq!(project.listing(), before, "{name:?}");
    }
    assert!((5..40).contains(&allowed), "{allowed} names are allowed");
}

#[test]
fn no_path_controls_the_terminal() {
    let project = Project::new();
    let before = project.listing();
    for name in names(&project) {
        // Skip names that cannot be an argument, that are options, and that exist, such as `..` and `/`.
        let exists = project.path(&name).exists();
        if name.contains('\0') || name.len() > 1000 || name.starts_with("--") || exists {
            continue;
        }
        for command in ["show", "compare", "run", "summary"] {
            let output = project.kiln(&[command, &name]);
            assert_printable(&output, &name);
            assert!(matches!(output.status, 1 | 2), "{command} {name:?}: {}", output.stderr);
        }
    }
    assert_eq!(project.listing(), before);
}
