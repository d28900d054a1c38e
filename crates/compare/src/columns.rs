//! Which settings differ between the runs, and what they are called.

use std::collections::{HashMap, HashSet};

use kiln_config::{KeyError, KeyIndex};

use crate::column::{Column, SharedSetting};
use crate::layers;
use crate::settings::{Configuration, InternedLayers, Interner, Setting};

/// The settings of all runs as one table.
#[derive(Debug, Default)]
pub(crate) struct SettingsTable {
    /// All settings that any run has, in the order of the configurations.
    pub(crate) columns: Vec<Column>,
    /// For each run the numbers of its values, one a column.
    pub(crate) rows: Vec<Vec<Option<u32>>>,
}

impl SettingsTable {
    pub(crate) fn new(configurations: &[&Configuration], interner: &mut Interner) -> Self {
        let rows = with_layers(configurations, interner);
        let keys = merged_keys(&rows);
        let places: HashMap<u32, usize> =
            keys.iter().enumerate().map(|(place, key)| (*key, place)).collect();
        let mut table = Self { columns: columns(&keys, interner), rows: Vec::new() };
        for row in rows {
            let mut values = vec![None; keys.len()];
            for setting in row {
                values[places[&setting.key]] = Some(setting.value);
            }
            table.rows.push(values);
        }
        table
    }

    /// The columns in which not all runs are equal.
    pub(crate) fn differing(&self) -> Vec<usize> {
        let differs =
            |column: &usize| self.rows.windows(2).any(|rows| rows[0][*column] != rows[1][*column]);
        (0..self.columns.len()).filter(differs).collect()
    }
}

/// Each run's settings with those of its layers: layer by layer where all runs have the same layers, else as a whole.
fn with_layers(configurations: &[&Configuration], interner: &mut Interner) -> Vec<Vec<Setting>> {
    let structures: HashSet<Option<u32>> = configurations
        .iter()
        .map(|configuration| configuration.layers.as_ref().map(|layers| layers.structure))
        .collect();
    let texts =
        if structures.len() > 1 { Some(whole_texts(configurations, interner)) } else { None };
    let key = interner.number(layers::KEY);
    let row = |configuration: &&Configuration| {
        let (before, after) = configuration.settings.split_at(configuration.before_layers);
        let mut row = before.to_vec();
        if let Some(layers) = &configuration.layers {
            match &texts {
                None => row.extend(&layers.settings),
                Some(texts) => row.push(Setting { key, value: texts[&layers.settings] }),
            }
        }
        row.extend(after);
        row
    };
    configurations.iter().map(row).collect()
}

/// For each list of layers the text that stands for it: its short form, or, where two lists share that, all of it.
fn whole_texts<'a>(
    configurations: &[&'a Configuration],
    interner: &mut Interner,
) -> HashMap<&'a Vec<Setting>, u32> {
    let lists: HashMap<&Vec<Setting>, &InternedLayers> = configurations
        .iter()
        .filter_map(|configuration| configuration.layers.as_ref())
        .map(|layers| (&layers.settings, layers))
        .collect();
    let mut uses: HashMap<u32, usize> = HashMap::new();
    for layers in lists.values() {
        *uses.entry(layers.summary).or_default() += 1;
    }
    lists
        .into_iter()
        .map(|(settings, layers)| {
            let is_own = uses[&layers.summary] == 1;
            (settings, if is_own { layers.summary } else { in_full(settings, interner) })
        })
        .collect()
}

fn in_full(settings: &[Setting], interner: &mut Interner) -> u32 {
    let parts: Vec<_> = settings
        .iter()
        .map(|setting| {
            let key = interner.text(setting.key);
            let key = key.strip_prefix(layers::KEY).unwrap_or(key).trim_start_matches('.');
            format!("{key}={}", interner.text(setting.value))
        })
        .collect();
    interner.number(&parts.join(" "))
}

/// All keys, those that only some runs have behind what they stand behind there.
fn merged_keys(rows: &[Vec<Setting>]) -> Vec<u32> {
    let mut lists_seen: HashSet<Vec<u32>> = HashSet::new();
    let mut keys: Vec<u32> = Vec::new();
    let mut known: HashSet<u32> = HashSet::new();
    for row in rows {
        let list: Vec<u32> = row.iter().map(|setting| setting.key).collect();
        if lists_seen.contains(&list) {
            continue;
        }
        let mut place = 0;
        for key in &list {
            if known.insert(*key) {
                keys.insert(place, *key);
                place += 1;
            } else if let Some(found) = keys.iter().position(|known| known == key) {
                place = found + 1;
            }
        }
        lists_seen.insert(list);
    }
    keys
}

fn columns(keys: &[u32], interner: &Interner) -> Vec<Column> {
    let index = KeyIndex::new(keys.iter().map(|key| interner.text(*key)));
    let column = |key: &u32| {
        let key = interner.text(*key);
        Column { key: key.to_owned(), label: index.shortest(key).to_owned() }
    };
    keys.iter().map(column).collect()
}

/// Finds the setting that `name` stands for: any unambiguous end of its key. Settings that differ
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

/// The message for a name that stands for several keys.
pub(crate) fn ambiguous(name: &str, keys: &[&str]) -> String {
    format!("`{name}` is ambiguous: write {}", keys.join(" or "))
}

/// Where a setting is.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// At this index of the settings that differ.
    Column(usize),
    /// At this index of the settings that all runs share.
    Shared(usize),
}
