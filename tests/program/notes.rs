//! Notes and tags of runs: `kiln note`, and what the other commands make of them.

use std::fs;

use crate::processes::{signal, start, wait_until};
use crate::project::{CommandOutput, Project};
use crate::run_state::{Results, has_epochs, run_directories};

#[test]
fn a_note_is_written_replaced_extended_and_removed() {
    let project = Project::new();
    let run = project.train(&[]);
    let file = project.path(&run).join("notes.json");
    let empty = project.kiln_ok(&["note", &run]);
    assert_eq!(empty.stdout, "");
    assert!(empty.stderr.contains("no note and no tags"), "{}", empty.stderr);
    assert!(!file.exists());

    let output = project.kiln_ok(&["note", &run, " overfits after epoch 8 "]);
    assert_eq!(output.stdout, "note           overfits after epoch 8\n");
    let output = project.kiln_ok(&["note", &run, "try dropout", "--append"]);
    assert_eq!(output.stderr, "");
    let both = "note           overfits after epoch 8\n               try dropout\n";
    assert_eq!(output.stdout, both);
    assert!(project.kiln_ok(&["show", &run]).stdout.contains(both));

    let output = project.kiln_ok(&["note", &run, "--tag", "best-so-far", "--tag", "v2"]);
    assert_eq!(output.stdout, format!("tags           best-so-far, v2\n{both}"));
    // Repeating a command changes nothing.
    project.kiln_ok(&["note", &run, "--tag", "v2"]);
    let found = project.read_json(format!("{run}/notes.json"));
    let expected = serde_json::json!({
        "format_version": 1,
        "note": "overfits after epoch 8\ntry dropout",
        "tags": ["best-so-far", "v2"],
    });
    assert_eq!(found, expected);

    // A text that is lost is shown once more.
    let output = project.kiln_ok(&["note", &run, "done"]);
    let replaced = "replaced the note:\noverfits after epoch 8\ntry dropout\n";
    assert_eq!(output.stderr, replaced);
    let output = project.kiln_ok(&["note", &run, "--remove", "--untag", "v2"]);
    assert_eq!(output.stderr, "removed the note:\ndone\n");
    assert_eq!(output.stdout, "tags           best-so-far\n");
    project.kiln_ok(&["note", &run, "--untag", "best-so-far"]);
    assert!(!file.exists(), "no file without content");
}

#[test]
fn wrong_notes_and_tags_are_refused() {
    let project = Project::new();
    let run = project.train(&["epochs=1"]);
    for (arguments, status, problem) in [
        (&["--tag", "two words"][..], 2, "` ` is not allowed in it"),
        (&["--tag", "<script>"], 2, "`<` is not allowed in it"),
        (&["--tag", ""], 2, "it is empty"),
        (&["  "], 2, "it is empty"),
        (&["--append"], 2, "required"),
        (&["text", "--remove"], 2, "cannot be used with"),
        (&["--untag", "unknown"], 1, "the run does not have the tag `unknown`"),
        (&[&"x".repeat(20_000)], 1, "the note has 20000 bytes; at most 16384 are allowed"),
    ] {
        let output = project.kiln(&[&["note", &run], arguments].concat());
        assert_eq!(output.status, status, "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(problem), "{arguments:?}: {}", output.stderr);
    }
    assert!(!project.path(&run).join("notes.json").exists());
    let output = project.kiln(&["note", "runs/columns/unknown", "text"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("does not exist"), "{}", output.stderr);
}

#[test]
fn tags_select_runs() {
    let project = Project::new();
    let run = |name: &str, options: &[&str]| {
        let arguments = [&["run", "experiment.toml", "epochs=1", name][..], options].concat();
        project.kiln_ok(&arguments).last_line()
    };
    let first = run("seed=1", &["--tag", "a", "--tag", "b", "--note", "the first one"]);
    let second = run("seed=2", &["--tag", "b"]);
    let third = run("seed=3", &[]);
    let id = |run: &str| run.rsplit('/').next().unwrap().to_owned();

    let listed = project.kiln_ok(&["ls", "runs/columns"]);
    for text in ["tags", "a, b", "the first one"] {
        assert!(listed.stdout.contains(text), "{text}: {}", listed.stdout);
    }
    let ids = |tags: &[&str]| -> Vec<String> {
        let listed = project.kiln_ok(&[&["ls", "--json"], tags].concat()).json();
        let runs = listed["groups"][0]["runs"].as_array().unwrap().clone();
        runs.iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&[]), [id(&first), id(&second), id(&third)]);
    assert_eq!(ids(&["--tag", "b"]), [id(&first), id(&second)]);
    assert_eq!(ids(&["--tag", "b", "--tag", "a"]), [id(&first)]);

    let compared = project.kiln_ok(&["compare", "runs", "--tag", "b", "--json"]).json();
    let runs = compared["combinations"][0]["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0]["tags"], serde_json::json!(["a", "b"]));
    assert_eq!(runs[0]["note"], "the first one");
    assert_eq!(runs[1]["note"], serde_json::Value::Null);
    let csv = project.kiln_ok(&["compare", "runs", "--all-seeds", "--csv"]).stdout;
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].ends_with(",tags,note"), "{csv}");
    assert!(lines[1].ends_with(",\"a, b\",the first one"), "{csv}");
    assert!(lines[2].ends_with(",b,"), "{csv}");
    assert!(lines[3].ends_with(",,"), "{csv}");
    let table = project.kiln_ok(&["compare", "runs", "--columns", "tags,note"]).stdout;
    assert!(table.contains("a, b  the first one"), "{table}");

    for command in [["ls", "--tag"], ["compare", "--tag"]] {
        let arguments = [command[0], "runs", command[1], "c"];
        let output = project.kiln(&arguments);
        assert_eq!(output.status, 2, "{}", output.stderr);
        assert!(
            output.stderr.contains("no run has the tag `c`; the tags of these runs are a, b"),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn notes_survive_everything_that_happens_to_a_run() {
    let project = Project::new();
    let reference = project.train(&["epochs=3"]);
    let child = start(
        &project,
        &["run", "experiment.toml", "epochs=100000", "name=noted", "--tag", "long"],
    );
    let mut run = String::new();
    wait_until("two epochs", || {
        let runs = run_directories(&project.path("runs/noted"));
        let started = runs.iter().find(|run| has_epochs(run, 2));
        if let Some(path) = started {
            run = format!("runs/noted/{}", path.file_name().unwrap().to_string_lossy());
        }
        started.is_some()
    });
    // While the run trains.
    for number in 0..20 {
        project.kiln_ok(&["note", &run, &format!("note {number}")]);
    }
    signal(child.id(), "-INT");
    assert_eq!(CommandOutput::from(child.wait_with_output().unwrap()).status, 130);
    let expected = "tags           long\nnote           note 19\n";
    let is_noted = |run: &str| assert_eq!(project.kiln_ok(&["note", run]).stdout, expected);
    is_noted(&run);

    let finished = project.train(&["epochs=3", "name=finished", "--tag", "long"]);
    project.kiln_ok(&["note", &finished, "note 19"]);
    let results = Results::of(&project.path(&finished));
    results.assert_same(&Results::of(&project.path(&reference)), "a note changes no result");
    project.kiln_ok(&["verify", &finished]);
    project.kiln_ok(&["clean", &finished, "--yes"]);
    project.kiln_ok(&["doctor", &finished]);
    is_noted(&finished);
    // Changing the note of a finished run damages nothing.
    project.kiln_ok(&["note", &finished, "note 20"]);
    let doctor = project.kiln_ok(&["doctor", &finished]);
    assert!(!doctor.stdout.contains("notes.json"), "{}", doctor.stdout);
}

#[test]
fn hostile_notes_reach_no_terminal_and_no_markup() {
    let project = Project::new();
    let run = project.train(&["epochs=1"]);
    let hostile =
        "=cmd|'/c calc'!A1 \u{1b}[31m<script>alert(1)</script> \u{202e}evil |x|\u{7}\nsecond";
    project.kiln_ok(&["note", &run, hostile]);
    for arguments in [
        &["note", &run][..],
        &["show", &run],
        &["ls", "runs/columns"],
        &["ls", "runs/columns", "--json"],
        &["compare", &run],
        &["compare", &run, "--csv"],
        &["compare", &run, "--md"],
        &["compare", &run, "--json"],
    ] {
        let output = project.kiln_ok(arguments);
        let unprintable = |c: char| c != '\n' && kiln_store::is_unprintable(c);
        assert!(!output.stdout.contains(unprintable), "{arguments:?}: {}", output.stdout);
        assert!(output.stdout.contains("calc"), "{arguments:?}: {}", output.stdout);
    }
    let csv = project.kiln_ok(&["compare", &run, "--csv"]).stdout;
    assert!(csv.contains("'=cmd"), "no formula for a spreadsheet: {csv}");
    let markdown = project.kiln_ok(&["compare", &run, "--md"]).stdout;
    assert!(!markdown.contains("<script>"), "{markdown}");
    // JSON keeps the text.
    let json = project.kiln_ok(&["compare", &run, "--json"]).json();
    assert_eq!(json["combinations"][0]["runs"][0]["note"], hostile);
}

#[test]
fn a_damaged_file_of_notes_is_reported_and_harmless() {
    let project = Project::new();
    let run = project.train(&["epochs=1"]);
    for (text, problem) in [
        ("{", "line 1"),
        ("{\"format_version\": 9}", "9"),
        ("{\"format_version\": 1, \"tags\": [\"<b>\"]}", "cannot be a tag"),
        ("{\"format_version\": 1, \"note\": \" \"}", "the note is empty"),
    ] {
        project.write(format!("{run}/notes.json"), text);
        for arguments in [["note", &run], ["show", &run], ["doctor", &run], ["ls", "runs/columns"]]
        {
            let output = project.kiln(&arguments);
            output.assert_no_panic(text);
            if arguments[0] != "ls" {
                assert_eq!(output.status, 1, "{arguments:?} {text}");
                let texts = format!("{}{}", output.stdout, output.stderr);
                assert!(texts.contains("notes.json"), "{arguments:?} {texts}");
                assert!(texts.contains(problem), "{arguments:?} {texts}");
            }
        }
        // No result depends on it.
        project.kiln_ok(&["verify", &run]);
        let compared = project.kiln_ok(&["compare", &run]).stdout;
        assert!(compared.contains("Without note and tags: "), "{compared}");
        assert_eq!(project.kiln(&["compare", &run, "--tag", "b"]).status, 1);
    }
    fs::remove_file(project.path(&run).join("notes.json")).unwrap();
    project.kiln_ok(&["doctor", &run]);
}
