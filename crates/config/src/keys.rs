//! Dotted keys such as `model.layers.hidden.units`, and the short forms that users write for them.

use std::collections::HashMap;

use crate::error::nearest;

/// Finds the full key for any unambiguous suffix of it, and the shortest such suffix of a key.
///
/// A suffix consists of the last segments of a key: `model.layers.hidden.units` has the suffixes `units`, `hidden.units`,
/// `layers.hidden.units` and itself. A dot between double quotes does not separate segments
/// (`layers."a.b".units`).
///
/// ```
/// use kiln_config::{KeyError, KeyIndex};
///
/// let index = KeyIndex::new(["optimizer.momentum", "model.layers.0.units", "model.layers.1.units"]);
/// assert_eq!(index.complete("momentum"), Ok("optimizer.momentum"));
/// assert_eq!(index.complete("1.units"), Ok("model.layers.1.units"));
/// assert_eq!(
///     index.complete("units"),
///     Err(KeyError::Ambiguous(vec!["model.layers.0.units", "model.layers.1.units"]))
/// );
/// assert_eq!(index.complete("momemtum"), Err(KeyError::Unknown { nearest: Some("momentum") }));
/// assert_eq!(index.shortest("model.layers.1.units"), "1.units");
/// ```
#[derive(Debug, Clone, Default)]
pub struct KeyIndex<'a> {
    /// Without duplicates, in the order given.
    keys: Vec<&'a str>,
    /// For each suffix, the keys that have it.
    by_end: HashMap<&'a str, Vec<&'a str>>,
}

/// Why a written key does not identify exactly one known key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError<'a> {
    /// It is a suffix of no known key.
    Unknown {
        /// The suffix of a known key that was most likely meant (see [`nearest`]).
        nearest: Option<&'a str>,
    },
    /// It is a suffix of several known keys: all of them, in the order of the index.
    Ambiguous(Vec<&'a str>),
}

impl<'a> KeyIndex<'a> {
    /// Indexes all suffixes of the known keys. Duplicates count once.
    pub fn new(keys: impl IntoIterator<Item = &'a str>) -> Self {
        let mut index = Self::default();
        for key in keys {
            if index.contains(key) {
                continue;
            }
            index.keys.push(key);
            for end in ends(key) {
                index.by_end.entry(end).or_default().push(key);
            }
        }
        index
    }

    /// Whether this full key is known.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.by_end.get(key).is_some_and(|keys| keys.contains(&key))
    }

    /// The full key for a written one: itself if it is a known key, else the only known key that ends
    /// in it.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unknown`] if no known key ends in `written`, [`KeyError::Ambiguous`] if several do.
    pub fn complete(&self, written: &str) -> Result<&'a str, KeyError<'a>> {
        match self.by_end.get(written).map(Vec::as_slice) {
            None => Err(KeyError::Unknown { nearest: self.nearest(written) }),
            Some([key]) => Ok(key),
            // A full key wins over longer keys that end in it: it has no longer form to write.
            Some(keys) => match keys.iter().find(|key| **key == written) {
                Some(key) => Ok(key),
                None => Err(KeyError::Ambiguous(keys.to_vec())),
            },
        }
    }

    /// The shortest suffix of `key` that no other known key has, for use as a label. The full key if
    /// other keys have all of its ends, or if the index does not contain it.
    /// [`complete`](Self::complete) turns it back into `key`.
    #[must_use]
    pub fn shortest<'k>(&self, key: &'k str) -> &'k str {
        let is_unique =
            |end: &&str| self.by_end.get(end).is_some_and(|keys| keys.as_slice() == [key]);
        ends(key).into_iter().rev().find(is_unique).unwrap_or(key)
    }

    fn nearest(&self, written: &str) -> Option<&'a str> {
        nearest(written, self.keys.iter().flat_map(|key| ends(key)))
    }
}

/// The tables of an experiment that affect no result, such as how often checkpoints are written.
///
/// They are not part of the identity of a run, may change when a run is resumed, and are not settings
/// in a comparison.
pub const TABLES_WITHOUT_RESULTS: &[&str] = &["checkpoint", "logging"];

/// Further keys of that kind: how a step is computed, but not what it yields.
const KEYS_WITHOUT_RESULTS: &[&str] = &["device.threads", "device.simd"];

/// Whether results may depend on the value of this full key; see [`TABLES_WITHOUT_RESULTS`].
#[must_use]
pub fn affects_results(key: &str) -> bool {
    let table = key.split_once('.').map_or(key, |(table, _)| table);
    !TABLES_WITHOUT_RESULTS.contains(&table) && !KEYS_WITHOUT_RESULTS.contains(&key)
}

/// The ends of a key, from the full key to its last step.
fn ends(key: &str) -> Vec<&str> {
    let mut ends = vec![key];
    let (mut is_quoted, mut is_escaped, mut is_step_start) = (false, false, true);
    for (offset, character) in key.char_indices() {
        let starts_step = std::mem::take(&mut is_step_start);
        match character {
            // As in TOML, only a quote at the start of a step begins a quoted one.
            '"' if is_quoted && !is_escaped => is_quoted = false,
            '"' if starts_step => is_quoted = true,
            '.' if !is_quoted => {
                ends.push(&key[offset + 1..]);
                is_step_start = true;
            }
            _ => {}
        }
        is_escaped = is_quoted && character == '\\' && !is_escaped;
    }
    ends
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_key_wins_over_longer_keys_that_end_in_it() {
        let index = KeyIndex::new(["schedule.seed", "seed"]);
        assert_eq!(index.complete("seed"), Ok("seed"));
        assert_eq!(index.shortest("seed"), "seed");
        assert_eq!(index.shortest("schedule.seed"), "schedule.seed");
    }

    #[test]
    fn keys_in_some_tables_do_not_affect_results() {
        assert!(!affects_results("checkpoint"));
        assert!(!affects_results("checkpoint.minutes"));
        assert!(!affects_results("logging.tensorboard"));
        assert!(affects_results("checkpoints.minutes"));
        assert!(affects_results("training.checkpoint"));
        assert!(!affects_results("device.threads"));
        assert!(affects_results("device.backend"));
        assert!(affects_results("seed"));
    }

    #[test]
    fn only_complete_steps_are_ends() {
        let index = KeyIndex::new(["data.seed", "early_stopping.patience"]);
        let nearest = Some("early_stopping.patience");
        assert_eq!(index.complete("stopping.patience"), Err(KeyError::Unknown { nearest }));
        assert_eq!(index.complete("eed"), Err(KeyError::Unknown { nearest: Some("seed") }));
        assert_eq!(index.complete(""), Err(KeyError::Unknown { nearest: None }));
    }

    #[test]
    fn duplicates_count_once() {
        let index = KeyIndex::new(["a.b", "a.b"]);
        assert_eq!(index.complete("b"), Ok("a.b"));
        assert_eq!(index.shortest("a.b"), "b");
    }

    #[test]
    fn a_key_that_is_not_in_the_index_has_no_shorter_form() {
        let index = KeyIndex::new(["a.b"]);
        assert!(!index.contains("c.b"));
        assert_eq!(index.shortest("c.b"), "c.b");
        assert_eq!(index.shortest("c.d"), "c.d");
    }

    #[test]
    fn a_dot_between_quotes_does_not_separate_steps() {
        assert_eq!(ends("a.b.c"), ["a.b.c", "b.c", "c"]);
        assert_eq!(ends(r#"a."b.c".d"#), [r#"a."b.c".d"#, r#""b.c".d"#, "d"]);
        assert_eq!(ends(r#"a."b\".c".d"#), [r#"a."b\".c".d"#, r#""b\".c".d"#, "d"]);
        assert_eq!(ends(r#"a."b\\".c"#), [r#"a."b\\".c"#, r#""b\\".c"#, "c"]);
        // Not valid in TOML, so the quote is an ordinary character.
        assert_eq!(ends(r#"a.b"c.d"#), [r#"a.b"c.d"#, r#"b"c.d"#, "d"]);
        assert_eq!(ends(""), [""]);
        assert_eq!(ends("."), [".", ""]);
    }

    proptest! {
        #[test]
        fn the_shortest_end_is_completed_to_its_key_and_a_shorter_one_is_not(
            keys in prop::collection::vec(r#"([ab]|"[a.]")(\.([ab]|"[a.]")){0,3}"#, 1..12)
        ) {
            let index = KeyIndex::new(keys.iter().map(String::as_str));
            for key in &keys {
                let label = index.shortest(key);
                prop_assert!(key.ends_with(label));
                prop_assert_eq!(index.complete(label), Ok(key.as_str()));
                for shorter in ends(label).into_iter().skip(1) {
                    prop_assert!(index.complete(shorter) != Ok(key.as_str()));
                }
            }
        }

        #[test]
        fn any_text_is_completed_without_a_panic(
            keys in prop::collection::vec(r#"[a."\\é]{0,8}"#, 0..4), written in r#"[a."\\é]{0,8}"#
        ) {
            let index = KeyIndex::new(keys.iter().map(String::as_str));
            let found = index.complete(&written);
            prop_assert_eq!(found == Ok(written.as_str()), index.contains(&written));
            let _ = index.shortest(&written);
        }
    }
}
