//! Names that would leave the runs, hide in them, or take over a terminal.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::world::{Ran, World};

/// How many names are tried, the written ones first.
const NAMES: usize = 200;

/// Where runs may be left, deep enough that a name that climbs is seen.
const RUNS: &str = "a/b/c/runs";

const WRITTEN: &[&str] = &[
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

/// The written names, one of too many bytes, one of the world's own directory, and drawn ones up to [`NAMES`].
fn names(world: &World) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = WRITTEN.iter().map(|name| (*name).to_owned()).collect();
    names.insert("x".repeat(101));
    names.insert("é".repeat(51));
    names.insert("x".repeat(100_000));
    names.insert(world.path("escape").display().to_string());
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

/// Text between quotes as TOML reads it back, whatever it is.
fn quoted(text: &str) -> String {
    let escaped: String =
        text.chars().map(|character| format!("\\U{:08X}", u32::from(character))).collect();
    format!("\"{escaped}\"")
}

/// Nothing that a terminal obeys.
pub(crate) fn assert_tame(ran: &Ran, what: &str) {
    for output in [&ran.stdout, &ran.stderr] {
        let wild = output.chars().find(|c| kiln_store::is_unprintable(*c) && *c != '\n');
        assert_eq!(wild, None, "{what:?}: {output:?}");
        assert!(!output.contains("panicked"), "{what:?}: {output}");
    }
}

/// What there is now and was not there before.
fn added(world: &World, before: &[PathBuf]) -> Vec<PathBuf> {
    world.listing().into_iter().filter(|path| before.binary_search(path).is_err()).collect()
}

fn is_in_runs(world: &World, path: &Path) -> bool {
    let above = world.path(&format!("./{RUNS}"));
    path.starts_with(&above) || above.starts_with(path)
}

#[test]
fn no_name_of_a_run_or_sweep_leaves_the_runs() {
    let world = World::new();
    let mut allowed = 0;
    for name in names(&world) {
        let before = world.listing();
        let named = format!("name={}", quoted(&name));
        // A long text as it is: an argument has an end.
        let named = if named.len() > 100_000 { format!("name={name}") } else { named };
        let ran = world.kiln(&["run", "experiment.toml", "epochs=1", "--runs", RUNS, &named]);
        assert_tame(&ran, &name);
        let added = added(&world, &before);
        match ran.status {
            0 => {
                allowed += 1;
                let outside: Vec<_> =
                    added.iter().filter(|path| !is_in_runs(&world, path)).collect();
                assert!(outside.is_empty(), "{name:?} left {outside:?}");
                assert!(world.path(RUNS).join(&name).is_dir(), "{name:?} is the directory's name");
            }
            2 => assert!(added.is_empty(), "{name:?} left {added:?}"),
            status => panic!("{name:?}: status {status}: {}", ran.stderr),
        }
        let text = format!("name = {}\nexperiment = \"experiment.toml\"\n", quoted(&name));
        world.write("sweep.toml", text);
        let before = world.listing();
        // An axis that is wrong, too, where the name is right: the name alone is asked about.
        let axis = if ran.status == 0 { "nothing=1" } else { "seed=1" };
        let swept = world.kiln(&["sweep", "sweep.toml", axis, "--runs", RUNS]);
        assert_tame(&swept, &name);
        assert_eq!(swept.status, 2, "{name:?}: {}", swept.stderr);
        let says_name = swept.stderr.contains("this name cannot be used");
        assert_eq!(says_name, ran.status == 2, "{name:?}: {}", swept.stderr);
        assert_eq!(world.listing(), before, "{name:?}");
    }
    assert!((5..40).contains(&allowed), "{allowed} names are allowed");
}

#[test]
fn no_path_takes_over_the_terminal() {
    let world = World::new();
    let before = world.listing();
    for name in names(&world) {
        // What no command line can hold, is an option, or is there: `..` and `/` are what they are.
        let is_there = world.path(&name).exists();
        if name.contains('\0') || name.len() > 1000 || name.starts_with("--") || is_there {
            continue;
        }
        for command in ["show", "compare", "run", "summary"] {
            let ran = world.kiln(&[command, &name]);
            assert_tame(&ran, &name);
            assert!(matches!(ran.status, 1 | 2), "{command} {name:?}: {}", ran.stderr);
        }
    }
    assert_eq!(world.listing(), before);
}
