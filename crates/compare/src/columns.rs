//! Finds the settings that differ between the runs, and labels them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use kiln_config::{KeyError, KeyIndex};

use crate::augment;
use crate::column::{Column, SharedSetting};
use crate::layers::{self, Layers};
use crate::settings::FlatConfig;

/// The key of the data's name or directory. Whether two runs have the same data is known from its fingerprint, so this
/// is no setting: the same data can be in two places.
pub(crate) const SOURCE: &str = "data.source";

/// A key and its value. Values are borrowed from the configurations, except short forms of layers.
type Setting<'a> = (&'a str, Cow<'a, str>);

/// The settings of all runs, with one column per setting.
#[derive(Debug, Default)]
pub(crate) struct SettingsTable<'a> {
    /// The settings of all runs, in the order of the configuration files.
    pub(crate) columns: Vec<Column>,
    /// For each run, the value in each column; `None` if the run does not have the setting.
    pub(crate) rows: Vec<Vec<Option<Cow<'a, str>>>>,
}

impl<'a> SettingsTable<'a> {
    pub(crate) fn new(configurations: &'a [FlatConfig]) -> Self {
        let rows = with_layers(configurations);
        let keys = merged_keys(&rows);
        let places: HashMap<&str, usize> =
            keys.iter().enumerate().map(|(place, key)| (*key, place)).collect();
        let mut table = Self { columns: columns(&keys), rows: Vec::new() };
        for row in rows {
            let mut values = vec![None; keys.len()];
            // An empty list is not written to the configuration.
            if let Some(place) = places.get(augment::KEY) {
                values[*place] = Some(Cow::Borrowed(augment::NONE));
            }
            for (key, value) in row {
                values[places[key]] = Some(value);
            }
            table.rows.push(values);
        }
        table
    }

    /// The columns whose values differ between runs.
    pub(crate) fn differing(&self) -> Vec<usize> {
        let is_setting = |column: &usize| self.columns[*column].key != SOURCE;
        (0..self.columns.len()).filter(is_setting).filter(|column| self.differs(*column)).collect()
    }

    /// The columns whose values are the same in all runs.
    pub(crate) fn shared(&self) -> Vec<usize> {
        (0..self.columns.len()).filter(|column| !self.differs(*column)).collect()
    }

    fn differs(&self, column: usize) -> bool {
        self.rows.windows(2).any(|rows| rows[0][column] != rows[1][column])
    }
}

/// Each run's settings with those of its layers: one setting per key of each layer if all runs have the same structure
/// of layers, otherwise one setting for the whole list.
fn with_layers<'a>(configurations: &'a [FlatConfig]) -> Vec<Vec<Setting<'a>>> {
    let structures: HashSet<Option<&str>> = configurations
        .iter()
        .map(|configuration| configuration.layers.as_ref().map(|layers| layers.structure.as_str()))
        .collect();
    let texts = if structures.len() > 1 { Some(layer_list_texts(configurations)) } else { None };
    let row = |configuration: &'a FlatConfig| {
        let (before, after) = configuration.settings.split_at(configuration.before_layers);
        let mut row: Vec<Setting<'a>> = before.iter().map(borrowed).collect();
        if let Some(layers) = &configuration.layers {
            match &texts {
                None => row.extend(layers.settings.iter().map(borrowed)),
                Some(texts) => row.push((layers::KEY, texts[&layers.settings].clone())),
            }
        }
        row.extend(after.iter().map(borrowed));
        row
    };
    configurations.iter().map(row).collect()
}

fn borrowed((key, value): &(String, String)) -> Setting<'_> {
    (key, Cow::Borrowed(value))
}

/// The value of the column for each list of layers: its short form, and if others have the same short form, the settings in
/// which it differs from them.
fn layer_list_texts(
    configurations: &[FlatConfig],
) -> HashMap<&Vec<(String, String)>, Cow<'_, str>> {
    let lists: HashMap<&Vec<(String, String)>, &Layers> = configurations
        .iter()
        .filter_map(|configuration| configuration.layers.as_ref())
        .map(|layers| (&layers.settings, layers))
        .collect();
    let mut by_summary: HashMap<&str, Vec<&Layers>> = HashMap::new();
    for layers in lists.values() {
        by_summary.entry(&layers.summary).or_default().push(layers);
    }
    // For each short form, how many of its lists have a setting.
    let uses: HashMap<&str, HashMap<&(String, String), usize>> = by_summary
        .iter()
        .map(|(summary, group)| {
            let mut counts = HashMap::new();
            let settings = group.iter().flat_map(|layers| &layers.settings);
            settings.for_each(|setting| *counts.entry(setting).or_default() += 1);
            (*summary, counts)
        })
        .collect();
    lists
        .into_iter()
        .map(|(settings, layers)| {
            let summary = layers.summary.as_str();
            let all = by_summary[summary].len();
            let own = settings.iter().filter(|setting| uses[summary][setting] < all);
            let differing = in_full(own);
            let text = match differing.as_str() {
                "" => Cow::Borrowed(summary),
                differing => Cow::Owned(format!("{summary} ({differing})")),
            };
            (settings, text)
        })
        .collect()
}

fn in_full<'a>(settings: impl Iterator<Item = &'a (String, String)>) -> String {
    let parts: Vec<_> = settings
        .map(|(key, value)| {
            let key = key.strip_prefix(layers::KEY).unwrap_or(key).trim_start_matches('.');
            format!("{key}={value}")
        })
        .collect();
    parts.join(" ")
}

/// The keys of all runs in one order. A key that only some runs have is inserted after the key that precedes it in these
/// runs.
fn merged_keys<'a>(rows: &[Vec<Setting<'a>>]) -> Vec<&'a str> {
    // Most runs have the same list of keys, which needs to be merged only once.
    let mut lists_seen: HashSet<Vec<&str>> = HashSet::new();
    let mut keys: Vec<&'a str> = Vec::new();
    let mut known: HashSet<&str> = HashSet::new();
    for row in rows {
        let list: Vec<&'a str> = row.iter().map(|(key, _)| *key).collect();
        if lists_seen.contains(&list) {
            continue;
        }
        let mut place = 0;
        for key in &list {
            if known.insert(key) {
                keys.insert(place, key);
                place += 1;
            } else if let Some(found) = keys.iter().position(|known| known == key) {
                place = found + 1;
            }
        }
        lists_seen.insert(list);
    }
    keys
}

fn columns(keys: &[&str]) -> Vec<Column> {
    let index = KeyIndex::new(keys.iter().copied());
    let column = |key: &&str| Column::new(key, index.shortest(key));
    keys.iter().map(column).collect()
}

/// Finds the setting whose key is `name` or unambiguously ends in it. Settings that differ
/// take precedence over shared ones, because a comparison is about them.
pub(crate) fn find<'a>(
    name: &str,
    columns: &'a [Column],
    shared: &'a [SharedSetting],
) -> Result<Place, KeyError<'a>> {
    let shared = shared.iter().map(|setting| setting.column.key.as_str());
    match position(name, columns.iter().map(|column| column.key.as_str())) {
        Err(KeyError::Unknown { .. }) => position(name, shared).map(Place::Shared),
        found => found.map(Place::Column),
    }
}

fn position<'a>(
    name: &str,
    mut keys: impl Iterator<Item = &'a str> + Clone,
) -> Result<usize, KeyError<'a>> {
    let key = KeyIndex::new(keys.clone()).complete(name)?;
    keys.position(|other| other == key).ok_or(KeyError::Unknown { nearest: None })
}

/// The message for a name that matches several keys.
pub(crate) fn ambiguous(name: &str, keys: &[&str]) -> String {
    format!("`{name}` is ambiguous: write {}", keys.join(" or "))
}

/// The place of a setting in a comparison.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// At this index of the settings that differ.
    Column(usize),
    /// At this index of the settings that are the same in all runs.
    Shared(usize),
}
