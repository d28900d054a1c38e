//! Reading configurations and overrides, and the messages for invalid ones.

use kiln_config::{ConfigError, Document, Override, Table};

kiln_config::keywords! {
    /// A test enum.
    pub enum Kind as "activation" {
        /// The first keyword.
        Relu = "relu",
        /// The second keyword.
        Gelu = "gelu",
    }
}

#[derive(Debug, PartialEq)]
struct Layer {
    name: Option<String>,
    units: u64,
    activation: Kind,
}

#[derive(Debug, PartialEq)]
struct Experiment {
    rate: f64,
    layers: Vec<Layer>,
}

impl kiln_config::FromValue for Layer {
    fn from_value(value: &kiln_config::Value) -> Result<Self, ConfigError> {
        value.read_table(|table| {
            Ok(Self {
                name: table.optional("name")?,
                units: table.required("units")?,
                activation: table.default("activation", Kind::Relu)?,
            })
        })
    }
}

fn read(table: &mut Table<'_>) -> Result<Experiment, ConfigError> {
    Ok(Experiment {
        rate: table.checked("rate", 0.01, "a number above 0", |rate| *rate > 0.0)?,
        layers: table.default("layers", Vec::new())?,
    })
}

const GOOD: &str = r#"rate = 0.1
layers = [
  { units = 3, activation = "gelu" },
  { units = 4, name = "hidden" },
]
"#;

fn error(text: &str) -> String {
    Document::parse("experiment.toml", text)
        .and_then(|document| document.read(read))
        .expect_err("the text is invalid")
        .to_string()
}

fn with(overrides: &[&str]) -> Result<Experiment, ConfigError> {
    let known = ["rate", "layers.0.units", "layers.1.units", "layers.hidden.units", "other.rates"];
    let known: Vec<String> = known.into_iter().map(String::from).collect();
    let mut document = Document::parse("experiment.toml", GOOD)?;
    for change in overrides {
        document.apply(&Override::parse(change)?, &known)?;
    }
    document.read(read)
}

fn override_error(change: &str) -> String {
    with(&[change]).expect_err("the override is invalid").to_string()
}

#[test]
fn a_valid_document_is_read() {
    let experiment = with(&[]).expect("the document is valid");
    assert_eq!(experiment.rate, 0.1);
    assert_eq!(experiment.layers[0], Layer { name: None, units: 3, activation: Kind::Gelu });
    assert_eq!(experiment.layers[1].activation, Kind::Relu);
}

#[test]
fn an_error_shows_file_line_and_caret() {
    let expected = "\
error: expected a whole number, 0 or more, found the number -3
 --> experiment.toml:3:13
  |
3 |   { units = -3, activation = \"gelu\" },
  |             ^^ expected a whole number, 0 or more";
    assert_eq!(error(&GOOD.replace("units = 3", "units = -3")), expected);
}

#[test]
fn messages_say_what_is_wrong_and_suggest_similar_keys() {
    for (text, wanted) in [
        ("ratee = 1", "did you mean `rate`?"),
        ("nothing_like_it = 1", "valid keys: layers, rate"),
        ("layers = [{ unit = 3 }]", "did you mean `units`?"),
        ("layers = [{ activation = \"relu\" }]", "the key `units` is missing"),
        ("layers = [{ units = 3, activation = \"rellu\" }]", "did you mean \"relu\"?"),
        ("layers = [{ units = 3, activation = 3 }]", "valid values: \"relu\", \"gelu\""),
        ("rate = \"fast\"", "expected a number, found the string \"fast\""),
        ("rate = nan", "expected a number"),
        ("rate = -1", "expected a number above 0"),
        ("rate = 1e999", "too large"),
        ("layers = 3", "expected a list"),
        ("layers = [3]", "expected a table"),
        ("rate = 2020-01-01", "dates and times are not supported"),
        ("rate = ", "invalid TOML"),
        ("rate = 1\nrate = 2", "experiment.toml:2"),
    ] {
        let shown = error(text);
        assert!(shown.contains(wanted), "{text}\n{shown}");
        assert!(shown.contains("experiment.toml:"), "{text}\n{shown}");
    }
}

#[test]
fn the_key_of_an_override_is_any_unambiguous_end() {
    assert_eq!(with(&["rate=0.5"]).map(|read| read.rate).ok(), Some(0.5));
    assert_eq!(with(&["rate=1"]).map(|read| read.rate).ok(), Some(1.0));
    let units = |changes: &[&str]| with(changes).map(|read| read.layers[1].units).ok();
    assert_eq!(units(&["hidden.units=9"]), Some(9));
    assert_eq!(units(&["layers.1.units=8"]), Some(8));
    let activation = with(&["layers.0.activation=relu"]).map(|read| read.layers[0].activation);
    assert_eq!(activation.ok(), Some(Kind::Relu));
    assert_eq!(with(&["layers=[]"]).map(|read| read.layers.len()).ok(), Some(0));
}

/// `rate` is a table here and the end of a key of another table.
#[test]
fn a_key_that_is_also_a_table_is_told_apart_by_its_value() {
    let known = ["rate.high", "other.rate"].map(String::from);
    let path = |change: &str| {
        let document = Document::parse("experiment.toml", "").expect("valid");
        document.complete(&Override::parse(change).expect("valid"), &known).expect("known")
    };
    assert_eq!(path("rate=3"), "other.rate");
    assert_eq!(path("rate={high=3}"), "rate");
    assert_eq!(path("high=3"), "rate.high");
}

#[test]
fn errors_of_overrides_point_into_the_command_line() {
    for (change, wanted) in [
        ("units=3", "`units` is ambiguous"),
        ("units=3", "one of layers.0.units, layers.hidden.units"),
        ("rte=3", "did you mean `rate`?"),
        ("zzz=3", "unknown key `zzz`"),
        ("rate", "missing value for `rate`"),
        ("rate=", "missing value for `rate`"),
        ("=3", "missing key"),
        ("rate=[1,", "not a TOML value"),
        ("rate=fast", "expected a number, found the string \"fast\""),
        ("hidden.units=-1", "command line:1:14"),
        ("layers.7.units=1", "the list has no element `7`"),
        ("layers.hiden.units=1", "by name: hidden"),
        ("rate.x=1", "`rate.x`: the number 0.1 has no key `x`"),
        ("layers=[{units=-2}]", "command line:1:16"),
    ] {
        let shown = override_error(change);
        assert!(shown.contains(wanted), "{change}\n{shown}");
        assert!(shown.contains("command line"), "{change}\n{shown}");
    }
}

#[test]
fn commas_outside_brackets_braces_and_quotes_separate_values() {
    let values = |argument: &str| {
        let list = Override::parse_list(argument).unwrap_or_else(|error| panic!("{error}"));
        list.iter().map(|change| change.value().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(values("key=1,2.50,1e-3"), ["1", "2.5", "0.001"]);
    assert_eq!(values("key=[1,[2,3]],[]"), ["[1, [2, 3]]", "[]"]);
    assert_eq!(values(r#"key={a="x,y",b=[1]},{}"#), [r#"{a = "x,y", b = [1]}"#, "{}"]);
    assert_eq!(
        values(r#"key="a\\",b,'c\',"d\",e""#),
        [r#""a\\""#, r#""b""#, r#""c\\""#, r#""d\",e""#]
    );
    for (argument, wanted) in [
        ("rate=0.1,", "command line:1:10"),
        ("rate=,0.1", "a value is missing"),
        ("rate=0.1,[2", "not a TOML value"),
        ("rate=0.1,0.2,=", "command line:1:14"),
    ] {
        let error =
            Override::parse_list(argument).expect_err("the argument is invalid").to_string();
        assert!(error.contains(wanted), "{argument}\n{error}");
    }
}

#[test]
fn a_displayed_value_reads_back_as_the_same_value() {
    let text = r#"a = "quote\" \\ line\nbreak \u007f \tü"
b = [1, -2, 0.1, 1e300, true, "", []]
c = { plain = 1, "with space" = 2, "" = { deep = [{ x = "y" }] } }
"#;
    let document = Document::parse("values.toml", text).expect("the document is valid");
    for key in ["a", "b", "c"] {
        let value = document.get(key).expect("the key exists");
        let written = format!("again = {value}");
        assert_eq!(written.lines().count(), 1, "{written}");
        let again = Document::parse("again.toml", &written).unwrap_or_else(|e| panic!("{e}"));
        assert!(again.get("again").is_some_and(|again| again.is_same(value)), "{written}");
    }
}

#[test]
fn is_same_ignores_the_order_of_keys_and_number_types() {
    let document = Document::parse(
        "values.toml",
        "a = [1, 1.0, 2, \"1\", true, [1], {x = 1, y = 2}, {y = 2.0, x = 1}, {x = 1}]",
    )
    .expect("the document is valid");
    let items = document.get("a").and_then(|list| list.items().ok()).expect("a list");
    let same: Vec<(usize, usize)> = (0..items.len())
        .flat_map(|left| (left + 1..items.len()).map(move |right| (left, right)))
        .filter(|(left, right)| items[*left].is_same(&items[*right]))
        .collect();
    assert_eq!(same, [(0, 1), (6, 7)]);
}

#[test]
fn the_error_for_an_unreadable_file_names_it() {
    for path in ["/nonexistent/experiment.toml", "/"] {
        let error = Document::open(path.as_ref()).expect_err("the path cannot be read");
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn error_at_finds_the_place_of_a_path() {
    let document = Document::parse("experiment.toml", GOOD).expect("the document is right");
    let line = |path: &str| document.error_at(path, "wrong").place().map(kiln_config::Place::line);
    assert_eq!(line("rate"), Some(1));
    assert_eq!(line("layers.1.units"), Some(4));
    assert_eq!(line("layers.hidden.units"), Some(4));
    assert_eq!(line("layers.hidden.not_written"), Some(4));
    assert_eq!(line("not_written"), None);
}
