use std::collections::HashSet;

use kiln_config::{ConfigError, Document, Kind, Override};
use kiln_train::Declaration;

use crate::declaration::axis::{Axis, MAX_RUNS};
use crate::declaration::block::Block;
use crate::declaration::setting::{Setting, as_arguments};
use crate::declaration::sweep::Sweep;
use crate::race::without_seed;

/// The largest total size of the experiments of all runs, in bytes of TOML. Parsed, they take about twenty times as
/// much memory.
const MAX_TEXT: usize = 128 << 20;

/// One run of a sweep, as it is declared.
#[derive(Debug, Clone)]
pub struct SweepPoint {
    /// The settings that differ from the sweep's experiment; the seed is last.
    pub settings: Vec<Setting>,
    /// The complete experiment.
    pub declaration: Declaration,
    /// The index of the sample, if a sampler that reads results has drawn it.
    pub(crate) sample: Option<usize>,
}

/// A run of a sweep that cannot be trained.
#[derive(Debug)]
pub(crate) struct InvalidPoint {
    /// The settings that differ from the sweep's experiment; the seed is last.
    pub(crate) settings: Vec<Setting>,
    /// The reason, without the combination.
    pub(crate) error: ConfigError,
}

/// What a combination with a seed is.
pub(super) enum ExpandedPoint {
    Valid(Box<SweepPoint>),
    Invalid(InvalidPoint),
    /// A pattern excludes it.
    Excluded,
    /// It was skipped as invalid when the sweep was started, or was not chosen for a race.
    Skipped,
}

/// The runs of a sweep by the rules of the experiment alone.
#[derive(Debug, Default)]
pub(crate) struct Expansion {
    pub(crate) points: Vec<SweepPoint>,
    pub(crate) invalid: Vec<InvalidPoint>,
}

impl Sweep {
    /// The number of combinations before any is excluded or found to be a duplicate; `None` if it overflows.
    #[must_use]
    pub fn size(&self) -> Option<usize> {
        let listed = self.seeds.as_ref().map_or(1, |axis| axis.values.len());
        let seeds = self.race_config().map_or(listed, |race| race.seeds);
        let blocks = self.blocks.iter().map(Block::size);
        let combinations = blocks.reduce(|sum, size| sum?.checked_add(size?)).unwrap_or(Some(1));
        combinations?.checked_mul(seeds)
    }

    /// Expands the sweep into its runs: the combinations of all blocks, each with every seed. The experiment's own
    /// rules check every run. A run that two blocks declare is returned once, and one that was skipped as invalid when the
    /// sweep was started is not returned.
    ///
    /// # Errors
    ///
    /// The sweep has more than [`MAX_RUNS`] runs, a block has the same combination twice, an exclude pattern matches
    /// nothing, or a run violates the experiment's rules. The error names the combination.
    pub fn expand(&self) -> Result<Vec<SweepPoint>, ConfigError> {
        let Expansion { points, invalid } = self.expand_all()?;
        match invalid.into_iter().next() {
            Some(InvalidPoint { settings, error }) => Err(in_combination(error, &settings)),
            None => Ok(points),
        }
    }

    /// Like [`expand`](Self::expand), but returns the runs that violate the experiment's rules.
    pub(crate) fn expand_all(&self) -> Result<Expansion, ConfigError> {
        self.check_size()?;
        // Without any block, the experiment itself is the only combination.
        let experiment_alone = [Block::default()];
        let blocks =
            if self.blocks.is_empty() { experiment_alone.as_slice() } else { &self.blocks };
        let seeds = self.seeds()?;
        let mut expanded = Expansion::default();
        let mut is_excluded = true;
        let mut seen = HashSet::new();
        for block in blocks {
            let mut seen_in_block = HashSet::new();
            let mut matched = vec![false; block.exclude.len()];
            for (index, settings) in block.combinations()?.into_iter().enumerate() {
                let sample = block.is_adaptive().then_some(index);
                for settings in with_seeds(&settings, seeds.as_deref()) {
                    let point = match self.point(block, settings, sample, &mut matched)? {
                        ExpandedPoint::Excluded => continue,
                        point => point,
                    };
                    is_excluded = false;
                    let point = match point {
                        ExpandedPoint::Valid(point) => point,
                        ExpandedPoint::Invalid(point) => {
                            expanded.invalid.push(point);
                            continue;
                        }
                        ExpandedPoint::Excluded | ExpandedPoint::Skipped => continue,
                    };
                    let identity = point.declaration.experiment.identity()?;
                    // Within a block, a duplicate is a mistake. Across blocks it is not, since blocks may overlap.
                    if !seen_in_block.insert(identity.clone()) {
                        let arguments = as_arguments(&point.settings);
                        let message = format!("the combination {arguments} occurs twice");
                        let help = "two values of an axis mean the same; remove one of them";
                        return Err(ConfigError::new(message).help(help));
                    }
                    if seen.insert(identity) {
                        expanded.points.push(*point);
                    }
                }
            }
            // A pattern that matches nothing is probably misspelled. Not so if the command line changed the axes,
            // because the pattern may have been written for the values that were replaced, nor if samples are still to be
            // drawn.
            let may_match_later = self.has_command_line_axes || block.is_adaptive();
            let unmatched = block.exclude.iter().zip(matched).find(|(_, matched)| !matched);
            if let Some((pattern, _)) = unmatched.filter(|_| !may_match_later) {
                return Err(pattern.unmatched_error());
            }
        }
        check_exclusion_axis(&expanded.points)?;
        if is_excluded {
            return Err(ConfigError::new("every combination of this sweep is excluded")
                .help("remove an `[[exclude]]` pattern, or add values to an axis"));
        }
        Ok(expanded)
    }

    /// One run of a block. Sets `matched` for the patterns that exclude it.
    pub(super) fn point(
        &self,
        block: &Block,
        settings: Vec<Setting>,
        sample: Option<usize>,
        matched: &mut [bool],
    ) -> Result<ExpandedPoint, ConfigError> {
        let Some(declared) = self.declared(block, &settings, matched)? else {
            return Ok(ExpandedPoint::Excluded);
        };
        if !self.skipped.is_empty() && self.skipped.contains(&as_arguments(&settings)) {
            return Ok(ExpandedPoint::Skipped);
        }
        let declaration = match declared.and_then(|declaration| self.completed(declaration)) {
            Ok(declaration) => declaration,
            Err(error) => return Ok(ExpandedPoint::Invalid(InvalidPoint { settings, error })),
        };
        let is_chosen = match &self.chosen {
            Some(chosen) => chosen.contains(&without_seed(&declaration.experiment)?),
            None => true,
        };
        Ok(match is_chosen {
            true => ExpandedPoint::Valid(Box::new(SweepPoint { settings, declaration, sample })),
            false => ExpandedPoint::Skipped,
        })
    }

    /// Checks the number of runs and the memory that they take before any is created.
    fn check_size(&self) -> Result<(), ConfigError> {
        let size = self.size();
        let Some(runs) = size.filter(|runs| *runs <= MAX_RUNS) else {
            let runs = size
                .map_or("more runs than can be counted".to_owned(), |runs| format!("{runs} runs"));
            let message = format!("this sweep has {runs}; at most {MAX_RUNS} are allowed");
            return Err(ConfigError::new(message)
                .help("use fewer values, or draw a sample of them with `[random]`"));
        };
        let length = self.document.text_length();
        if runs.saturating_mul(length) > MAX_TEXT {
            let message = format!(
                "{} is {length} bytes long, which is too long for {runs} runs: each has a copy in memory",
                self.experiment.display(),
            );
            return Err(
                ConfigError::new(message).help("use fewer values, or shorten the experiment")
            );
        }
        Ok(())
    }

    /// The experiment with these settings.
    pub(crate) fn declaration(&self, settings: &[Setting]) -> Result<Declaration, ConfigError> {
        self.completed(self.written(settings)?)
    }

    /// Adds what the sweep knows and its files do not say.
    fn completed(&self, mut declaration: Declaration) -> Result<Declaration, ConfigError> {
        let initial_weights = declaration.experiment.model.initial_weights.as_ref();
        if let Some(file) = initial_weights.and_then(|name| self.record.initial_weights.get(name)) {
            declaration.set_initial_weights(file)?;
        }
        // Runs are compared by the columns of these metrics in their histories, so each run needs them.
        let metrics = self.prune.iter().map(|prune| prune.metric);
        for metric in metrics.chain(self.adaptive().map(|random| random.metric)) {
            declaration.experiment.compute(metric);
        }
        Ok(declaration)
    }

    /// The experiment with these settings, as it is written.
    fn written(&self, settings: &[Setting]) -> Result<Declaration, ConfigError> {
        let name = Override::text("name", &self.name);
        // A table or a list may bring other layers or types, for which a short key has another path.
        let is_scalar = |setting: &Setting| {
            !matches!(setting.value.value().kind, Kind::Table(_) | Kind::Array(_))
        };
        if settings.iter().all(is_scalar) {
            let settings = settings.iter().map(|it| (it.path.as_str(), &it.value));
            let overrides = std::iter::once(("name", &name)).chain(settings);
            return Declaration::at_paths(self.document.clone(), overrides);
        }
        let overrides: Vec<Override> = std::iter::once(name.clone())
            .chain(settings.iter().map(|it| it.value.clone()))
            .collect();
        Declaration::new(self.document.clone(), &overrides)
    }

    /// The experiment with these settings, or why it is invalid; `None` if the block excludes it. Sets `matched` for the
    /// patterns that exclude it.
    fn declared(
        &self,
        block: &Block,
        settings: &[Setting],
        matched: &mut [bool],
    ) -> Result<Option<Result<Declaration, ConfigError>>, ConfigError> {
        let declared = self.written(settings);
        let resolved = match &declared {
            Ok(declaration) if !block.exclude.is_empty() => {
                Some(Document::parse("resolved", &declaration.experiment.to_toml()?)?)
            }
            _ => None,
        };
        let mut is_excluded = false;
        for (pattern, matched) in block.exclude.iter().zip(matched) {
            // An invalid combination may be excluded, too. It has no resolved experiment, so its settings are compared.
            let matches = match &resolved {
                Some(resolved) => pattern.matches(resolved),
                None => pattern.matches_settings(settings, &self.document),
            };
            *matched |= matches;
            is_excluded |= matches;
        }
        Ok((!is_excluded).then_some(declared))
    }
}

/// Returns an error if an axis only decides which parameters have no weight decay, and no run has weight decay: its runs
/// would all be the same.
fn check_exclusion_axis(points: &[SweepPoint]) -> Result<(), ConfigError> {
    const KEY: &str = "optimizer.exclude_from_weight_decay";
    let settings = points.iter().flat_map(|point| &point.settings);
    let exclusions: Vec<&Override> =
        settings.filter(|setting| setting.path == KEY).map(|setting| &setting.value).collect();
    let decays = |point: &SweepPoint| point.declaration.experiment.optimizer.decays_weights();
    let Some((first, others)) = exclusions.split_first() else { return Ok(()) };
    let varies = others.iter().any(|other| other.value_text() != first.value_text());
    if !varies || points.iter().any(decays) {
        return Ok(());
    }
    let message = format!(
        "`{KEY}` cannot be an axis: no result depends on it, because no run has weight decay"
    );
    let help = "set optimizer.weight_decay, or give a single value";
    Err(first.key_error(message).help(help))
}

/// One copy of a combination for each seed.
pub(super) fn with_seeds(settings: &[Setting], seeds: Option<&Axis>) -> Vec<Vec<Setting>> {
    let Some(seeds) = seeds else { return vec![settings.to_vec()] };
    let with_seed = |seed| [settings, &[Setting::new(&seeds.path, seed)]].concat();
    seeds.values.iter().map(with_seed).collect()
}

/// Adds the combination in which an error was found.
pub(crate) fn in_combination(error: ConfigError, settings: &[Setting]) -> ConfigError {
    if settings.is_empty() {
        return error;
    }
    let error = error.note(format!("in the combination {}", as_arguments(settings)));
    let is_list = |setting: &Setting| setting.value.value().items().is_ok();
    if settings.iter().any(is_list) {
        return error.help(
            "a list is a single value; to try several values, write seed=1,2,3, or in a file seed = [1, 2, 3]",
        );
    }
    error
}
