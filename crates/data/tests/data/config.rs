//! Reading and writing the `[data]` table.

use kiln_config::{ConfigError, Document};
use kiln_data::{DataConfig, SplitSize};

fn read(text: &str) -> Result<DataConfig, ConfigError> {
    Document::parse("experiment.toml", text)?.read(DataConfig::read)
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = read("source = 'fashion-mnist'").expect("complete");
    assert_eq!(config, DataConfig::new("fashion-mnist"));
}

#[test]
fn a_fraction_of_zero_is_zero_rows() {
    assert_eq!(
        read("source = \"a\"\nvalidation = 0.0\n").expect("complete").validation,
        SplitSize::Rows(0)
    );
}

#[test]
fn a_written_table_reads_back_the_same() {
    for text in [
        "source = \"a\"\nvalidation = 5000\nsplit = \"head\"\nnormalize = \"unit\"\n",
        "source = \"./b\"\nvalidation = 0.1\nsplit = \"stratified\"\nnormalize = \"none\"\n",
        "source = \"c\"\nvalidation = 0.25\nsplit = \"shuffled\"\nnormalize = \"standardize\"\n",
        "source = \"d\"\nvalidation = 0\nsplit = \"head\"\nnormalize = \"standardize_per_pixel\"\n",
        "source = \"e\"\nvalidation = 0.1\nsplit = \"stratified\"\nsplit_seed = 7\ngroup = '^(p\\d+)_'\nnormalize = \"standardize_per_channel\"\n",
    ] {
        let config = read(text).expect("complete");
        assert_eq!(toml::to_string(&config).expect("a table"), text);
    }
}

#[test]
fn an_invalid_value_is_an_error_at_its_place() {
    for (line, expected) in [
        ("validation = -1", "a whole number"),
        ("validation = 1.0", "a fraction from 0.0 to below 1.0"),
        ("validation = -0.5", "a fraction from 0.0 to below 1.0"),
        ("validation = nan", "a fraction from 0.0 to below 1.0"),
        ("validation = \"10%\"", "a number of rows"),
        ("split = \"stratify\"", "stratified"),
        ("normalize = \"standardise\"", "standardize"),
        ("per_pixel = true", "unknown key"),
        ("split_seed = -1", "whole number"),
        ("group = 'p(\\d+'\nsplit = 'shuffled'", "invalid regular expression: unclosed group"),
        ("group = '\\d+'", "`group` needs split = \"shuffled\" or \"stratified\""),
        ("group = '\\d+'\nsplit = 'head'", "`group` needs split"),
    ] {
        let error = read(&format!("source = 'a'\n{line}\n")).expect_err(line).to_string();
        assert!(error.contains("experiment.toml:2"), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    let error = read("validation = 3").expect_err("no source").to_string();
    assert!(error.contains("source"), "{error}");
}
