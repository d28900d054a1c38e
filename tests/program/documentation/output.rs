//! Compares the output that a page shows with what the program printed.

/// Whether the shown lines equal the printed ones after masking. A shown line `…` matches any number of lines, and `…`
/// within a line matches any text.
pub(super) fn matches(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (masked_lines(shown), masked_lines(printed));
    lines_match(&shown, &printed)
}

fn lines_match(shown: &[String], printed: &[String]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "…" => {
            (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..]))
        }
        (Some((first, rest)), Some((line, lines))) => {
            line_matches(first, line) && lines_match(rest, lines)
        }
        _ => false,
    }
}

fn line_matches(shown: &str, mut printed: &str) -> bool {
    let Some((head, rest)) = shown.split_once('…') else { return shown == printed };
    let Some(after_head) = printed.strip_prefix(head) else { return false };
    printed = after_head;
    let mut parts: Vec<&str> = rest.split('…').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = printed.split_once(part) else { return false };
        printed = after;
    }
    printed.ends_with(tail)
}

/// The lines that are not blank, with `#` in place of numbers, run ids and durations, and one space for several.
pub(super) fn masked_lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| {
        let words: Vec<String> = line.split_whitespace().map(masked_word).collect();
        // A duration may have more parts on a slower machine.
        let line = words.join(" ");
        line.replace("# h # min", "# s").replace("# min # s", "# s").replace("# min", "# s")
    });
    lines.filter(|line| !line.is_empty()).collect()
}

fn masked_word(word: &str) -> String {
    let parts = word
        .split('/')
        .map(|part| if is_hash(part) { "#".to_owned() } else { masked_numbers(part) });
    parts.collect::<Vec<_>>().join("/")
}

/// The id of a run in a sweep.
fn is_hash(text: &str) -> bool {
    text.len() == 12 && text.chars().all(|character| character.is_ascii_hexdigit())
}

/// `#` for each number, with its sign, separators and exponent; one `─` for a rule of any length.
fn masked_numbers(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        if character.is_ascii_digit() {
            while masked.ends_with(['-', '+', '−']) {
                masked.pop();
            }
            if !masked.ends_with('#') {
                masked.push('#');
            }
        } else if ".,:-".contains(character)
            && masked.ends_with('#')
            && rest.peek().is_some_and(char::is_ascii_digit)
        {
            // Part of the number.
        } else if !(character == '─' && masked.ends_with('─')) {
            masked.push(character);
        }
    }
    masked
}

#[test]
fn numbers_ids_and_rules_are_masked() {
    let masked = |text| masked_lines(text).join("|");
    assert_eq!(masked("Epoch  1/10  1719 steps in 0.3 s"), "Epoch #/# # steps in # s");
    assert_eq!(masked("runs/rates/07f5f2cfbd45"), "runs/rates/#");
    assert_eq!(masked("runs/a/20261125-014202\n\n─────"), "runs/a/#|─");
    assert_eq!(masked("took 1 min 24 s, -0.003 [-0.1, 0.2]"), "took # s, # [#, #]");
    assert_eq!(masked("235,500 by -4.51e-4"), "# by #e#");
}

#[test]
fn an_ellipsis_matches_lines_or_text() {
    assert!(matches("one\n…\nlast 2", "one\ntwo\nthree\nlast 3\n"));
    assert!(matches("a … c", "a b c"));
    assert!(!matches("one\nlast", "one\ntwo\nlast"));
    assert!(!matches("one\n…\nlast", "one\ntwo"));
    assert!(!matches("a … c", "a b"));
}
