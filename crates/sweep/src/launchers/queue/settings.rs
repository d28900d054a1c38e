//! The settings of a job: a table with the name of the launcher in a sweep file, in `kiln.toml` next to it, or
//! `LAUNCHER.KEY=VALUE` on the command line.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use kiln_config::{ConfigError, Document, FromValue, Kind, Override, Table, Value};

use crate::launchers::queue::{Queue, queue_of_setting, queues};

/// The file with the settings of a site.
const SITE_FILE: &str = "kiln.toml";

/// The number of workers, unless it is set.
const WORKERS: NonZeroUsize = NonZeroUsize::new(8).expect("not zero");

/// A key of the settings of a job.
#[derive(Debug)]
pub struct JobKey {
    pub(in crate::launchers) name: &'static str,
    /// The option of the command that submits jobs with the same meaning, if there is one.
    pub(in crate::launchers) option: Option<&'static str>,
    pub(in crate::launchers) kind: ValueKind,
    /// Parts of the messages with which the cluster refuses a value, in lower case.
    pub(in crate::launchers) refusals: &'static [&'static str],
}

/// The values of a key.
#[derive(Debug, Clone, Copy)]
pub(in crate::launchers) enum ValueKind {
    /// A whole number, 1 or more.
    Count,
    /// A whole number between two others.
    Number(i64, i64),
    /// A string of one line, or a number such as the minutes of a time limit.
    Text(Rule),
    /// A string or a list of strings.
    Lines(Rule),
}

/// What the cluster would refuse in any case.
#[derive(Debug, Clone, Copy)]
pub(in crate::launchers) struct Rule {
    pub(in crate::launchers) is_valid: fn(&str) -> bool,
    /// What a valid value looks like, such as `a time limit such as "2:00:00"`.
    pub(in crate::launchers) expected: &'static str,
}

impl Rule {
    /// Any line.
    pub(in crate::launchers) const ANY: Self =
        Self { is_valid: |_| true, expected: "one line of text" };

    /// A name, or several with commas between them.
    pub(in crate::launchers) const NAME: Self = Self {
        is_valid: |text| !text.contains(char::is_whitespace),
        expected: "a name without spaces",
    };
}

/// The settings of a job. A key that is not set is left to the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobSettings {
    /// The values by their keys: one, or the lines of a list.
    values: BTreeMap<&'static str, Vec<String>>,
}

/// The tables of all queues in a file, by the names of the launchers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobTables(BTreeMap<&'static str, JobSettings>);

impl JobTables {
    /// Reads the tables of a sweep file, or of the file of a site.
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let mut tables = BTreeMap::new();
        for queue in queues() {
            let settings =
                table.optional_table(queue.name(), |table| JobSettings::read(queue, table))?;
            tables.extend(settings.map(|settings| (queue.name(), settings)));
        }
        Ok(Self(tables))
    }
}

impl JobSettings {
    fn read(queue: &dyn Queue, table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        for key in queue.keys() {
            if let Some(value) = table.value(key.name) {
                settings.values.insert(key.name, key.read(value)?);
            }
        }
        Ok(settings)
    }

    /// Joins the settings of a site, which are in a file next to `sweep`, of the sweep file, and of the command line. Later
    /// ones win.
    ///
    /// # Errors
    ///
    /// The file of the site cannot be read, a key is unknown, or a value is invalid.
    pub fn join(
        queue: &dyn Queue,
        sweep: &Path,
        of_sweep: &JobTables,
        arguments: &[Override],
    ) -> Result<Self, ConfigError> {
        let directory = sweep.parent().filter(|parent| !parent.as_os_str().is_empty());
        let site = directory.unwrap_or(Path::new(".")).join(SITE_FILE);
        let of_site = match site.exists() {
            true => Document::open(&site)?.read(JobTables::read)?,
            false => JobTables::default(),
        };
        let mut joined = Self::default();
        for JobTables(tables) in [&of_site, of_sweep] {
            joined.values.extend(tables.get(queue.name()).cloned().unwrap_or_default().values);
        }
        for argument in arguments.iter().filter(|argument| is_for(queue, argument)) {
            let name = argument.key().split_once('.').map_or("", |(_, name)| name);
            let Some(key) = queue.keys().iter().find(|key| key.name == name) else {
                return Err(unknown_key(queue, name, argument));
            };
            joined.values.insert(key.name, key.read(argument.value())?);
        }
        Ok(joined)
    }

    /// The number of workers.
    pub(in crate::launchers) fn workers(&self) -> NonZeroUsize {
        self.get("workers").and_then(|value| value.parse().ok()).unwrap_or(WORKERS)
    }

    /// The value of a key that takes one.
    pub(in crate::launchers) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.first().map(String::as_str)
    }

    /// The lines of a key that takes several.
    pub(in crate::launchers) fn lines(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }
}

fn is_for(queue: &dyn Queue, argument: &Override) -> bool {
    queue_of_setting(argument.key()).is_some_and(|of| of.name() == queue.name())
}

fn unknown_key(queue: &dyn Queue, name: &str, argument: &Override) -> ConfigError {
    let table = queue.name();
    let names: Vec<&str> = queue.keys().iter().map(|key| key.name).collect();
    let error = argument.key_error(format!("unknown key `{}`", argument.key()));
    match kiln_config::nearest(name, names.iter().copied()) {
        Some(near) => error.expected(format!("did you mean `{table}.{near}`?")),
        None => error.help(format!("keys of [{table}]: {}", names.join(", "))),
    }
}

impl JobKey {
    fn read(&self, value: &Value) -> Result<Vec<String>, ConfigError> {
        Ok(match self.kind {
            ValueKind::Count => vec![NonZeroUsize::from_value(value)?.to_string()],
            ValueKind::Number(least, most) => match value.kind {
                Kind::Integer(number) if (least..=most).contains(&number) => {
                    vec![number.to_string()]
                }
                _ => {
                    return Err(value.expected(&format!("a whole number from {least} to {most}")));
                }
            },
            ValueKind::Text(rule) => vec![match value.kind {
                Kind::Integer(_) => checked(u64::from_value(value)?.to_string(), value, rule)?,
                _ => line(value, rule)?,
            }],
            ValueKind::Lines(rule) => match value.kind {
                Kind::String(_) => String::from_value(value)?
                    .lines()
                    .map(|line| checked(line.to_owned(), value, rule))
                    .collect::<Result<_, _>>()?,
                _ => value.items()?.iter().map(|it| line(it, rule)).collect::<Result<_, _>>()?,
            },
        })
    }
}

/// A string of one line: a line break would begin another line of the batch script.
fn line(value: &Value, rule: Rule) -> Result<String, ConfigError> {
    let text = String::from_value(value)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(value.expected(Rule::ANY.expected));
    }
    checked(text, value, rule)
}

fn checked(text: String, value: &Value, rule: Rule) -> Result<String, ConfigError> {
    if (rule.is_valid)(&text) { Ok(text) } else { Err(value.expected(rule.expected)) }
}
