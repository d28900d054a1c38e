//! Runs of a sweep that cannot be trained, and which values of the axes cause it.

use std::collections::HashSet;
use std::fmt;

use kiln_config::ConfigError;
use kiln_store::printable;

use crate::declaration::{
    InvalidPoint, Setting, SkippedRuns, Sweep, SweepPoint, as_arguments, in_combination,
};
use crate::error::SweepError;
use crate::plan::planner::Planner;

/// For so many groups of invalid runs, the cause is searched. Each search checks the experiment once for each of its axes.
const MAX_SEARCHES: usize = 50;

/// How many groups a message shows.
const MAX_SHOWN: usize = 20;

/// Runs that are invalid for the same reason.
#[derive(Debug)]
struct Group {
    /// The settings that all of them have and that cause it.
    cause: Vec<Setting>,
    /// Other values of the settings in `cause` with the same effect, by their index there.
    more: Vec<(usize, Setting)>,
    /// The error of the first one.
    error: ConfigError,
    /// The settings of each of them.
    runs: Vec<Vec<Setting>>,
}

/// The invalid runs of a sweep, grouped by their cause.
#[derive(Debug)]
pub(super) struct InvalidRuns {
    groups: Vec<Group>,
    /// The number of all runs of the sweep.
    all: usize,
}

/// The runs of a sweep that cannot be trained, for several reasons.
#[derive(Debug)]
pub struct InvalidSweep {
    /// The number of runs that cannot be trained.
    pub invalid: usize,
    /// The number of all runs of the sweep.
    pub all: usize,
    /// The invalid runs by their cause.
    pub groups: Vec<SkippedRuns>,
    /// The command that trains the other runs, if there are any.
    pub command: Option<String>,
}

impl Group {
    /// The settings that cause it, as arguments: `optimizer.type=adam momentum=0,0.9`.
    fn cause(&self) -> String {
        let argument = |(index, setting): (usize, &Setting)| {
            let more = self.more.iter().filter(|(of, _)| *of == index);
            let more = more.map(|(_, setting)| format!(",{}", setting.value.value_text()));
            format!("{setting}{}", more.collect::<String>())
        };
        self.cause.iter().enumerate().map(argument).collect::<Vec<_>>().join(" ")
    }

    /// The index in `cause` of the only setting in which the other group differs, if both are invalid for the same reason.
    fn only_difference(&self, other: &Self) -> Option<usize> {
        let is_comparable = self.cause.len() == other.cause.len()
            && other.more.is_empty()
            && is_same_error(&self.error, &other.error);
        let mut differing = self
            .cause
            .iter()
            .zip(&other.cause)
            .enumerate()
            .filter(|(_, (own, other))| !is_same(own, other));
        let (index, (own, of_other)) = differing.next().filter(|_| is_comparable)?;
        let is_only =
            differing.next().is_none() && self.more.iter().all(|(more, _)| *more == index);
        (is_only && own.path == of_other.path).then_some(index)
    }
}

/// The groups, those with the same reason and a difference in a single setting together.
fn merged(groups: Vec<Group>) -> Vec<Group> {
    let mut merged: Vec<Group> = Vec::new();
    for mut group in groups {
        let same = merged.iter_mut().find_map(|other| {
            let index = other.only_difference(&group)?;
            Some((other, index))
        });
        match same {
            Some((other, index)) => {
                other.more.push((index, group.cause.swap_remove(index)));
                other.runs.append(&mut group.runs);
            }
            None => merged.push(group),
        }
    }
    merged
}

impl InvalidRuns {
    /// Searches the causes. `valid` are the other runs of the sweep.
    pub(super) fn new(
        sweep: &Sweep,
        planner: &Planner<'_>,
        valid: &[SweepPoint],
        invalid: Vec<InvalidPoint>,
    ) -> Self {
        let all = valid.len() + invalid.len();
        let varying = varying(valid, &invalid);
        let mut groups: Vec<Group> = Vec::new();
        let mut planner = planner.for_checks();
        for InvalidPoint { settings, error } in invalid {
            let has = |cause: &Setting| settings.iter().any(|own| is_same(own, cause));
            let is_explained =
                |group: &Group| group.cause.iter().all(has) && is_same_error(&group.error, &error);
            if let Some(group) = groups.iter_mut().find(|group| is_explained(group)) {
                group.runs.push(settings);
                continue;
            }
            let mut cause = if groups.len() < MAX_SEARCHES {
                cause(sweep, &mut planner, valid, &settings, &error)
            } else {
                settings.iter().filter(|setting| setting.path != "seed").cloned().collect()
            };
            cause.retain(|setting| varying.contains(&setting.path));
            groups.push(Group { cause, more: Vec::new(), error, runs: vec![settings] });
        }
        Self { groups: merged(groups), all }
    }

    fn count(&self) -> usize {
        self.groups.iter().map(|group| group.runs.len()).sum()
    }

    /// The runs for the record of the sweep.
    pub(super) fn skipped(&self) -> Vec<SkippedRuns> {
        let skipped = |group: &Group| SkippedRuns {
            cause: group.cause(),
            reason: group.error.message().to_owned(),
            runs: group.runs.iter().map(|settings| as_arguments(settings)).collect(),
        };
        self.groups.iter().map(skipped).collect()
    }

    /// The error about all of them. A single reason is shown with its place in the file.
    pub(super) fn into_error(self, sweep: &Sweep) -> SweepError {
        let (invalid, all) = (self.count(), self.all);
        // If no run can be trained, skipping them does not help.
        let command = (invalid < all).then(|| {
            let command = sweep.command.clone().unwrap_or_else(|| sweep.record.to_string());
            format!("{command} --skip-invalid")
        });
        if self.groups.len() > 1 {
            let groups = self.skipped();
            return SweepError::Invalid(InvalidSweep { invalid, all, groups, command });
        }
        let Some(group) = self.groups.into_iter().next() else {
            return ConfigError::new("every run of this sweep was skipped").into();
        };
        let Group { error, runs, .. } = &group;
        let mut error = in_combination(error.clone(), &runs[0]);
        let others =
            if invalid == 2 { "in 1 other run" } else { &format!("in {} other runs", invalid - 1) };
        if invalid > 1 {
            let first = as_arguments(&runs[0]);
            let cause = group.cause();
            let with = if cause.is_empty() { cause } else { format!(" with {cause}") };
            error = error.note(format!("in the combination {first}, and {others}{with}"));
        }
        if let Some(command) = command {
            error = error.also(&format!("to train only the other runs: {command}"));
        }
        error.into()
    }
}

/// The paths of the settings that differ between runs. Those that all runs have explain nothing.
fn varying(valid: &[SweepPoint], invalid: &[InvalidPoint]) -> HashSet<String> {
    let valid = valid.iter().map(|point| &point.settings);
    let all: Vec<&Vec<Setting>> =
        valid.chain(invalid.iter().map(|point| &point.settings)).collect();
    let Some((first, others)) = all.split_first() else { return HashSet::new() };
    let is_in_all = |setting: &&Setting| {
        others.iter().all(|other| other.iter().any(|own| is_same(own, setting)))
    };
    let constant: HashSet<&str> =
        first.iter().filter(is_in_all).map(|setting| setting.path.as_str()).collect();
    let paths = all.iter().flat_map(|settings| settings.iter()).map(|setting| &setting.path);
    paths.filter(|path| !constant.contains(path.as_str())).cloned().collect()
}

/// One line for each group.
pub(super) fn lines(groups: &[SkippedRuns]) -> String {
    let mut text = String::new();
    for group in groups.iter().take(MAX_SHOWN) {
        text.push_str(&format!("\n  {}", printable(&group.to_string())));
    }
    if groups.len() > MAX_SHOWN {
        text.push_str(&format!("\n  and {} more reasons", groups.len() - MAX_SHOWN));
    }
    text
}

/// The number of invalid runs, and a line for each group.
impl fmt::Display for InvalidSweep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invalid, all, groups, .. } = self;
        write!(
            formatter,
            "{invalid} of the {all} runs of this sweep cannot be trained:{}",
            lines(groups)
        )
    }
}

impl std::error::Error for InvalidSweep {}

/// Whether both settings give the same key the same value.
fn is_same(one: &Setting, other: &Setting) -> bool {
    one.path == other.path && one.value.value().is_same(other.value.value())
}

/// The settings without which the experiment would not have this error: one after the other is removed, as long as the error
/// stays and no valid run has all of the remaining ones.
fn cause(
    sweep: &Sweep,
    planner: &mut Planner<'_>,
    valid: &[SweepPoint],
    settings: &[Setting],
    error: &ConfigError,
) -> Vec<Setting> {
    let mut cause = settings.to_vec();
    // The last ones first, because the seed is last and causes nothing.
    for index in (0..settings.len()).rev() {
        let mut fewer = cause.clone();
        fewer.remove(index);
        let is_valid = |point: &SweepPoint| {
            fewer.iter().all(|setting| point.settings.iter().any(|own| is_same(own, setting)))
        };
        if valid.iter().any(is_valid) {
            continue;
        }
        let found = match sweep.declaration(&fewer) {
            Ok(declaration) => {
                let settings = fewer.clone();
                planner.error_of(&SweepPoint { settings, declaration, sample: None })
            }
            Err(error) => Some(error),
        };
        // Other values give the same error with other numbers.
        if found.is_some_and(|found| is_same_error(&found, error)) {
            cause = fewer;
        }
    }
    cause
}

/// Whether two errors are the same, except for the numbers in them, such as those in the name of a repeated layer.
fn is_same_error(one: &ConfigError, other: &ConfigError) -> bool {
    let words = |error: &ConfigError| -> String {
        error.message().chars().filter(|c| c.is_alphabetic()).collect()
    };
    words(one) == words(other)
}
