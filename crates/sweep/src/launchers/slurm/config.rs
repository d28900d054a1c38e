//! The `[slurm]` table: in a sweep file, in `kiln.toml` next to it, or as `slurm.KEY=VALUE` on the command line.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use kiln_config::{ConfigError, Document, FromValue, Kind, Override, Table, Value};

/// The file with the settings of a site.
const SITE_FILE: &str = "kiln.toml";

/// The number of workers, unless it is set.
const WORKERS: NonZeroUsize = NonZeroUsize::new(8).expect("not zero");

/// A key of the table.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The option of `sbatch` that has the same meaning, if there is one.
    pub(super) option: Option<&'static str>,
    kind: KeyKind,
    /// Parts of the messages with which `sbatch` refuses a value, in lower case.
    pub(super) refusals: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum KeyKind {
    /// A whole number, 1 or more.
    Count,
    /// A whole number.
    Number,
    /// A string, or a number such as the minutes of `time`.
    Text,
    /// A string or a list of strings.
    Lines,
}

/// Every key of the table, in the order of the batch script.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    Key { name: "workers", option: None, kind: KeyKind::Count, refusals: &["job array"] },
    Key { name: "partition", option: Some("partition"), kind: KeyKind::Text, refusals: &["partition"] },
    Key { name: "account", option: Some("account"), kind: KeyKind::Text, refusals: &["account"] },
    Key { name: "qos", option: Some("qos"), kind: KeyKind::Text, refusals: &["qos"] },
    Key { name: "time", option: Some("time"), kind: KeyKind::Text, refusals: &["time limit", "--time"] },
    Key { name: "cpus_per_task", option: Some("cpus-per-task"), kind: KeyKind::Count, refusals: &["cpu count", "cpus"] },
    Key { name: "mem", option: Some("mem"), kind: KeyKind::Text, refusals: &["memory", "--mem"] },
    Key { name: "gres", option: Some("gres"), kind: KeyKind::Text, refusals: &["gres", "generic resource"] },
    Key { name: "constraint", option: Some("constraint"), kind: KeyKind::Text, refusals: &["feature", "constraint"] },
    Key { name: "nice", option: Some("nice"), kind: KeyKind::Number, refusals: &["nice"] },
    Key { name: "arguments", option: None, kind: KeyKind::Lines, refusals: &["unrecognized option", "invalid option", "ambiguous"] },
    Key { name: "setup", option: None, kind: KeyKind::Lines, refusals: &[] },
];

/// The settings of a job. A key that is not set is left to the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlurmConfig {
    /// The values by their keys: one, or the lines of a list.
    values: BTreeMap<&'static str, Vec<String>>,
}

impl SlurmConfig {
    /// Reads the table of a sweep file.
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for key in KEYS {
            if let Some(value) = table.value(key.name) {
                config.values.insert(key.name, key.read(value)?);
            }
        }
        Ok(config)
    }

    /// Joins the settings of a site, which are in a file next to `sweep`, of the sweep file, and of the command line. Later
    /// ones win.
    ///
    /// # Errors
    ///
    /// The file of the site cannot be read, a key is unknown, or a value is of the wrong type.
    pub fn join(
        sweep: &Path,
        of_sweep: &Self,
        arguments: &[Override],
    ) -> Result<Self, ConfigError> {
        let directory = sweep.parent().filter(|parent| !parent.as_os_str().is_empty());
        let site = directory.unwrap_or(Path::new(".")).join(SITE_FILE);
        let mut config = match site.exists() {
            true => {
                Document::open(&site)?.read(|table| table.optional_table("slurm", Self::read))?
            }
            false => None,
        }
        .unwrap_or_default();
        config.values.extend(of_sweep.values.clone());
        for argument in arguments {
            let name = argument.key().strip_prefix(PREFIX).unwrap_or_default();
            let Some(key) = KEYS.iter().find(|key| key.name == name) else {
                let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
                let error = argument.key_error(format!("unknown key `{}`", argument.key()));
                return Err(match kiln_config::nearest(name, names.iter().copied()) {
                    Some(near) => error.expected(format!("did you mean `{PREFIX}{near}`?")),
                    None => error.help(format!("keys of [slurm]: {}", names.join(", "))),
                });
            };
            config.values.insert(key.name, key.read(argument.value())?);
        }
        Ok(config)
    }

    /// The number of workers.
    pub(super) fn workers(&self) -> NonZeroUsize {
        self.get("workers").and_then(|value| value.parse().ok()).unwrap_or(WORKERS)
    }

    /// The value of a key that takes one.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.first().map(String::as_str)
    }

    /// The lines of a key that takes several.
    pub(super) fn lines(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }
}

/// The beginning of a setting on the command line.
pub const PREFIX: &str = "slurm.";

impl Key {
    fn read(&self, value: &Value) -> Result<Vec<String>, ConfigError> {
        Ok(match self.kind {
            KeyKind::Count => vec![NonZeroUsize::from_value(value)?.to_string()],
            KeyKind::Number => match value.kind {
                Kind::Integer(number) => vec![number.to_string()],
                _ => return Err(value.expected("a whole number")),
            },
            KeyKind::Text => vec![match value.kind {
                Kind::Integer(_) => u64::from_value(value)?.to_string(),
                _ => line(value)?,
            }],
            KeyKind::Lines => match value.kind {
                Kind::String(_) => String::from_value(value)?.lines().map(str::to_owned).collect(),
                _ => value.items()?.iter().map(line).collect::<Result<_, _>>()?,
            },
        })
    }
}

/// A string of one line: a line break would begin another line of the batch script.
fn line(value: &Value) -> Result<String, ConfigError> {
    let text = String::from_value(value)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(value.expected("one line of text"));
    }
    Ok(text)
}

/// The seconds of a time limit as `sbatch` writes it: minutes, `MM:SS`, `HH:MM:SS`, `D-HH`, `D-HH:MM` or `D-HH:MM:SS`.
pub(super) fn seconds(time: &str) -> Option<u64> {
    let numbers = |text: &str| -> Option<Vec<u64>> {
        text.split(':').map(|part| part.parse::<u64>().ok()).collect()
    };
    let (days, rest) = match time.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u64>().ok()?), numbers(rest)?),
        None => (None, numbers(time)?),
    };
    let [hours, minutes, seconds] = match (days, rest.as_slice()) {
        (Some(_), [hours]) => [*hours, 0, 0],
        (Some(_), [hours, minutes]) => [*hours, *minutes, 0],
        (None, [minutes]) => [0, *minutes, 0],
        (None, [minutes, seconds]) => [0, *minutes, *seconds],
        (_, [hours, minutes, seconds]) => [*hours, *minutes, *seconds],
        _ => return None,
    };
    let hours = days.unwrap_or(0).checked_mul(24)?.checked_add(hours)?;
    let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
    minutes.checked_mul(60)?.checked_add(seconds)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn time_limits_are_read_as_sbatch_reads_them() {
        for (time, expected) in [
            ("30", Some(1800)),
            ("1:30", Some(90)),
            ("2:00:00", Some(7200)),
            ("1-0", Some(86_400)),
            ("1-2:30", Some(95_400)),
            ("1-02:30:01", Some(95_401)),
            ("UNLIMITED", None),
            ("", None),
            ("99999999999999999999-1", None),
            ("99999999999999999-1", None),
        ] {
            assert_eq!(seconds(time), expected, "{time}");
        }
    }
}
