//! Untrusted text: memory and time are limited, and messages have no control characters.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::fs::{self, File};

use kiln_config::{
    ConfigError, Document, MAX_BYTES, Override, Unreadable, is_unprintable, nearest, parse_toml,
    printable, read_bytes, read_text,
};

fn assert_no_controls(error: &ConfigError) {
    let shown = error.render(false);
    assert_eq!(shown.chars().find(|c| is_unprintable(*c) && *c != '\n'), None, "{shown:?}");
    // With color, the only escape sequences are those of the renderer: SGR, which ends with `m`.
    let colored = error.render(true);
    let sequences = colored.split('\u{1b}').skip(1);
    for sequence in sequences {
        let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        assert_eq!(&sequence[end..=end], "m", "{colored:?}");
    }
}

fn key_error(text: &str) -> ConfigError {
    let document = Document::parse("a\u{1b}]0;x\u{7}b.toml", text).unwrap();
    document.read(|table| table.default("known", 1_usize)).unwrap_err()
}

#[test]
fn errors_escape_control_characters() {
    let controls = "\u{9b}2J\u{85}\u{202e}";
    let errors = [
        key_error(&format!("known = \"{controls}\" # {controls}")),
        key_error(&format!("\"{controls}\\u001b[2J\\n\" = 1")),
        key_error("known = 1\r\nunknown = 2\r\n"),
        Document::parse("x", "a = \u{1b}[2J").unwrap_err(),
        Document::parse("x", "a = 1\u{0}").unwrap_err(),
        Override::parse(&format!("{controls}=\u{1b}[31m")).unwrap_err(),
        ConfigError::new(controls).expected(controls).help("\u{1b}\n").note("\u{1b}"),
    ];
    errors.iter().for_each(assert_no_controls);
    assert!(errors[0].to_string().contains("a\\u{1b}]0;x\\u{7}b.toml:1:9"), "{}", errors[0]);
}

#[test]
fn a_caret_is_in_the_right_column_after_replaced_characters() {
    let error = key_error("# \u{9b}\u{9b}\u{9b}\n\"\u{9b}\" = 1");
    let shown = error.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.iter().any(|line| line.ends_with("2 | \"\u{fffd}\" = 1")), "{shown}");
    assert!(lines.iter().any(|line| line.ends_with("| ^^^")), "{shown}");
}

#[test]
fn printable_keeps_text_and_escapes_control_characters() {
    assert_eq!(printable("T-shirt/top 帽子 é"), "T-shirt/top 帽子 é");
    assert_eq!(
        printable("a\u{1b}\n\t\u{7f}\u{9b}\u{202e}\u{2066}\u{2028}\u{200f}"),
        "a\\u{1b}\\u{a}\\u{9}\\u{7f}\\u{9b}\\u{202e}\\u{2066}\\u{2028}\\u{200f}"
    );
}

#[test]
fn nesting_is_limited() {
    for text in [
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a = ".repeat(100_000)),
        format!("a{} = 1", ".a".repeat(100_000)),
        format!("[a{}]", ".a".repeat(100_000)),
    ] {
        assert_no_controls(&Document::parse("deep.toml", &text).unwrap_err());
    }
    let mut document = Document::parse("x.toml", "data = { source = \"x\" }").unwrap();
    let known = document.paths();
    let deep = Override::parse(&format!("data{}=1", ".a".repeat(60_000))).unwrap();
    let error = document.apply(&deep, &known).unwrap_err();
    assert!(error.message().contains("at most 80 steps"), "{error}");
}

#[test]
fn the_number_of_keys_and_the_length_of_paths_are_limited() {
    let many: String = (0..20_001).map(|index| format!("k{index} = 1\n")).collect();
    let error = parse_toml(&many).unwrap_err();
    assert_eq!(error.message, "more than 20000 keys and tables");
    let tables = format!("a = [{}]", "{},".repeat(20_001));
    assert!(parse_toml(&tables).is_err());
    let long = format!("{} = 1", "k".repeat(1001));
    let error = Document::parse("x.toml", &long).unwrap_err();
    assert!(error.to_string().contains("the path of this key has 1001 bytes"), "{error}");
    let nested = format!("[{}]\nb = 1", vec!["k".repeat(100); 10].join("."));
    let error = parse_toml(&nested).unwrap_err();
    assert!(error.message.starts_with("the path of this key has 1009 bytes"), "{}", error.message);
    // Elements that are not tables do not count.
    assert!(parse_toml(&format!("a = [{}]", "1,".repeat(100_000))).is_ok());
}

#[test]
fn the_number_of_paths_does_not_grow_exponentially_with_nesting() {
    let text = format!("a = {}1{}", "[{name = \"x\", a = ".repeat(20), "}]".repeat(20));
    let document = Document::parse("x.toml", &text).unwrap();
    let paths = document.paths();
    assert!(paths.len() < 500, "{} paths", paths.len());
    assert!(paths.contains(&format!("a{}", ".x.a".repeat(20))));
    assert!(paths.contains(&format!("a.0.a.x.a.0.a.0.a{}", ".x.a".repeat(16))));
}

#[test]
fn long_texts_are_similar_to_none() {
    let long = "x".repeat(1 << 20);
    assert_eq!(nearest(&long, [long.as_str(), "seed"]), None);
    assert_eq!(nearest("sede", [long.as_str(), "seed"]), Some("seed"));
}

#[test]
fn only_ordinary_files_up_to_the_limit_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("ten"), b"0123456789").unwrap();
    assert_eq!(read_text(&path("ten"), 10).unwrap(), "0123456789");
    assert!(matches!(read_bytes(&path("ten"), 9), Err(Unreadable::TooLarge { max_bytes: 9 })));
    fs::write(path("latin"), b"a\nb\n\xe9").unwrap();
    assert!(matches!(read_text(&path("latin"), 10), Err(Unreadable::NotText { line: 3 })));
    assert!(matches!(read_bytes(directory.path(), 10), Err(Unreadable::NotAFile("a directory"))));
    assert!(matches!(read_bytes(&path("none"), 10), Err(Unreadable::Io(_))));
    File::create(path("huge.toml")).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(read_bytes(&path("huge.toml"), 10), Err(Unreadable::TooLarge { .. })));
    let error = Document::open(&path("huge.toml")).unwrap_err();
    assert!(error.to_string().contains("larger than 1 MiB"), "{error}");
    fs::write(path("full.toml"), "#".repeat(MAX_BYTES as usize)).unwrap();
    assert!(Document::open(&path("full.toml")).is_ok());
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(path("ten"), path("link")).unwrap();
        let link = read_bytes(&path("link"), 10);
        assert!(matches!(link, Err(Unreadable::NotAFile("a symbolic link"))));
        let device = read_bytes("/dev/zero".as_ref(), 10);
        assert!(matches!(device, Err(Unreadable::NotAFile("a pipe or a device"))));
        let error = Document::open("/dev/zero".as_ref()).unwrap_err();
        assert!(error.to_string().contains("larger than 1 MiB"), "{error}");
    }
}
