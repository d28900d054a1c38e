//! The output of `kiln sweep` on a terminal of 80 columns. `script` of util-linux provides the terminal.

use std::process::{Command, Stdio};

use crate::project::Project;

/// Runs `kiln` on a terminal and returns the lines that it draws, without control sequences; `None` without `script`.
fn lines_on_terminal(project: &Project, columns: usize, arguments: &str) -> Option<Vec<String>> {
    let kiln = env!("CARGO_BIN_EXE_kiln");
    let command = format!("stty rows 24 cols {columns}; exec {kiln} {arguments}");
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm").env("NO_COLOR", "1");
    let output = script.current_dir(project.path(".")).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            // ESC [ … letter
            '\u{1b}' => drop(characters.by_ref().skip(1).find(char::is_ascii_alphabetic)),
            '\r' | '\n' => lines.push(String::new()),
            character => {
                // The live lines are filled with spaces, so that the terminal itself goes to the next line. A word that
                // does not fit stays in the line, and makes it too long.
                let line = lines.last().unwrap();
                if line.chars().count() == columns && line.ends_with(' ') {
                    lines.push(String::new());
                }
                lines.last_mut().unwrap().push(character);
            }
        }
    }
    Some(lines.into_iter().map(|line| line.trim_end().to_owned()).collect())
}

fn assert_fit(lines: &[String], columns: usize) {
    for line in lines {
        // All characters are one column wide here.
        assert!(line.chars().count() <= columns, "{line:?}\nin\n{}", lines.join("\n"));
    }
}

const AXES: &str = "'optimizer={type=\"sgd\",learning_rate=0.3},{type=\"adam\",learning_rate=0.01}' \
     hidden.activation=relu,tanh seed=1,2 epochs=3";

#[test]
fn lines_of_a_sweep_fit_into_80_columns() {
    let project = Project::new();
    let sweep = format!("sweep experiment.toml {AXES} --jobs=2");
    let Some(lines) = lines_on_terminal(&project, 80, &format!("{sweep} --dry-run")) else {
        return;
    };
    assert_fit(&lines, 80);
    let table = lines.join("\n");
    for part in ["activation", "seed", "estimate", "to do", "8 runs, 8 to do: about "] {
        assert!(table.contains(part), "`{part}` is not in\n{table}");
    }
    let lines = lines_on_terminal(&project, 80, &sweep).unwrap();
    assert_fit(&lines, 80);
    let text = lines.join("\n");
    // The settings are long, so that the result of each run is on a second line, complete.
    assert_eq!(text.matches("  finished").count(), 8, "{text}");
    for part in ["val_accuracy 0.", "8 runs: 8 finished; in ", "best by validation:"] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    let race = format!("sweep experiment.toml {AXES} --race");
    assert_fit(&lines_on_terminal(&project, 80, &race).unwrap(), 80);
    assert_fit(&lines_on_terminal(&project, 80, &format!("{race} --dry-run")).unwrap(), 80);
}
