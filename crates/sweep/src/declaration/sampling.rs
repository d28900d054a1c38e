//! Samples that are drawn from results while the sweep runs.

use std::collections::BTreeMap;
use std::path::Path;

use kiln_config::{ConfigError, Kind};
use serde::{Deserialize, Serialize};

use crate::decision_files::DecisionFiles;
use crate::declaration::axis::MAX_RUNS;
use crate::declaration::block::Block;
use crate::declaration::expand::{ExpandedPoint, Expansion, with_seeds};
use crate::declaration::random::{Random, TimeBudget};
use crate::declaration::setting::Setting;
use crate::declaration::sweep::Sweep;
use crate::prune::PruneOrder;
use crate::race::RaceTable;

/// A sample that was drawn from results: a file in `.kiln/decisions/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DrawnSample {
    pub(crate) sampler: String,
    /// The values by the paths of their keys.
    pub(crate) values: BTreeMap<String, String>,
    /// The number of samples whose results were known.
    pub(crate) finished: usize,
    /// The number of samples that were being trained.
    pub(crate) running: usize,
}

/// The most samples of a sweep with a budget.
pub(crate) const MAX_SAMPLES: usize = MAX_RUNS / 10;

/// The end of the search of a sweep with a budget: a file in `.kiln/decisions/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SearchEnd {
    /// The number of samples that were drawn.
    pub(crate) samples: usize,
    /// The samples that race, each as the hash of its experiment without the seed; none if there is no time for a race.
    pub(crate) racing: Vec<String>,
}

/// The name of the decision that ends a search.
const SEARCH_END: &str = "search-end";

impl Sweep {
    /// The block whose combinations depend on results. It is the only block then.
    fn adaptive_block(&self) -> Option<&Block> {
        self.blocks.first().filter(|block| block.is_adaptive())
    }

    /// The `[random]` table, if its sampler reads results.
    pub(crate) fn adaptive(&self) -> Option<&Random> {
        self.adaptive_block()?.random.as_ref()
    }

    fn adaptive_mut(&mut self) -> Option<&mut Random> {
        let block = self.blocks.first_mut().filter(|block| block.is_adaptive());
        block.and_then(|block| block.random.as_mut())
    }

    /// The number of samples that are not drawn yet.
    #[must_use]
    pub fn samples_left(&self) -> usize {
        let Some(random) = self.adaptive() else { return 0 };
        let most = match (&random.budget, &self.search_end) {
            (None, _) => random.count,
            (Some(_), None) => MAX_SAMPLES,
            (Some(_), Some(end)) => end.samples.min(MAX_SAMPLES),
        };
        most.saturating_sub(random.known())
    }

    /// The number of runs of each sample.
    pub(crate) fn runs_per_sample(&self) -> usize {
        self.seeds.as_ref().map_or(1, |seeds| seeds.values.len())
    }

    /// Returns an error for what a sampler that reads results cannot be combined with.
    pub(super) fn check_sampling(&self) -> Result<(), ConfigError> {
        let mut adaptive = self.blocks.iter().filter(|block| block.is_adaptive());
        let Some(block) = adaptive.next() else { return Ok(()) };
        let Some(random) = &block.random else { return Ok(()) };
        let name = random.sampler.name();
        if let Some(budget) = &random.budget {
            let problem = if self.seeds.as_ref().is_some_and(|seeds| seeds.values.len() > 1) {
                Some((
                    "gives seeds to the best combinations itself, and this sweep lists seeds",
                    "remove `[repeat]` or the axis `seed`",
                ))
            } else if self.race.is_some() {
                Some(("races the best combinations itself", "remove `[race]` or --race"))
            } else {
                None
            };
            if let Some((problem, help)) = problem {
                return Err(budget
                    .key
                    .key_error(format!("a sweep with a `budget` {problem}"))
                    .help(help));
            }
        }
        if self.blocks.len() > 1 {
            let message = format!(
                "the sampler \"{name}\" searches one space, and this sweep has several blocks"
            );
            let help = "keep one block, or use sampler = \"random\"";
            return Err(random.sampler_error(message).help(help));
        }
        if let Some(axis) = block.listed_axes().find(|axis| axis.values.len() > 1) {
            let values = axis.values.iter().map(ToString::to_string);
            let values: Vec<String> = values
                .map(|it| it.split_once('=').map_or(String::new(), |(_, value)| value.to_owned()))
                .collect();
            let message = format!(
                "the sampler \"{name}\" draws all keys that vary, and `{}` is listed",
                axis.path
            );
            let help = format!(
                "move it into `[random]`: \"{}\" = {{ choice = [{}] }}",
                axis.path,
                values.join(", ")
            );
            return Err(axis.values[0].key_error(message).help(help));
        }
        if self.prune.is_some_and(|prune| prune.order == PruneOrder::Fixed) {
            let message = format!(
                "with the sampler \"{name}\", `[prune]` needs order = \"arrival\": in a fixed order, a run waits for results of samples that are not drawn yet"
            );
            let help = "add order = \"arrival\" to `[prune]`";
            return Err(random.sampler_error(message).help(help));
        }
        if self.race.is_some() && self.top.is_none() {
            let message = format!(
                "the combinations of the sampler \"{name}\" are not known when a race starts"
            );
            let help = "first run the sweep without a race, then race its best combinations: --race --top 10";
            return Err(random.sampler_error(message).help(help));
        }
        Ok(())
    }

    /// The names that samples to be drawn may give `model.initial_weights`.
    pub(super) fn initial_weights_to_draw(&self) -> Vec<String> {
        let axes = self.adaptive().map_or(&[][..], |random| &random.axes);
        let axes = axes.iter().filter(|axis| axis.path == "model.initial_weights");
        let values = axes.flat_map(|axis| axis.choices());
        let text = |value: &kiln_config::Override| match &value.value().kind {
            Kind::String(text) => Some(text.clone()),
            _ => None,
        };
        values.filter_map(text).collect()
    }

    /// The files of the drawn samples in the directory of the sweep.
    pub(crate) fn sample_files(
        &self,
        directory: &Path,
    ) -> Result<Option<DecisionFiles>, ConfigError> {
        let (Some(block), Some(random)) = (self.adaptive_block(), self.adaptive()) else {
            return Ok(None);
        };
        // The first run is part of the key, because it has the settings of the experiment and the values that all samples share.
        let first = block.combinations()?.into_iter().next().unwrap_or_default();
        // Those of the search, also if its best combinations race.
        let seeds = self.seeds.as_ref();
        let first = with_seeds(&first, seeds).into_iter().next().unwrap_or_default();
        let first = match self.declaration(&first) {
            Ok(declaration) => declaration.experiment.identity()?,
            Err(_) => self.document.text().to_owned(),
        };
        let seeds = seeds.map_or_else(Vec::new, |axis| {
            axis.values.iter().map(kiln_config::Override::value_text).collect::<Vec<_>>()
        });
        let subject = format!("{} {seeds:?} {first}", random.subject());
        Ok(Some(DecisionFiles::new(directory, &subject)))
    }

    /// The sweep with the samples that any worker has drawn, from the files in its directory.
    ///
    /// # Errors
    ///
    /// The axes have fewer different combinations than the sweep asks for.
    pub fn with_samples(mut self, directory: &Path) -> Result<Self, ConfigError> {
        if let Some(files) = self.sample_files(directory)? {
            if self.budget().is_some() {
                self.search_end = files.read(SEARCH_END);
            }
            while self.samples_left() > 0 && self.read_sample(&files) {}
            self.start_race();
        }
        Ok(self)
    }

    /// Whether a time decides how many samples there are.
    #[must_use]
    pub fn has_budget(&self) -> bool {
        self.budget().is_some()
    }

    /// The time that the sweep has, if that decides how many samples there are.
    pub(crate) fn budget(&self) -> Option<&TimeBudget> {
        self.adaptive()?.budget.as_ref()
    }

    /// Whether a worker has ended the search of a sweep with a budget.
    pub(crate) fn has_ended_search(files: &DecisionFiles) -> bool {
        files.read::<SearchEnd>(SEARCH_END).is_some()
    }

    /// Ends the search of a sweep with a budget, unless another worker has.
    pub(crate) fn end_search(files: &DecisionFiles, own: SearchEnd) {
        files.decide(SEARCH_END, own);
    }

    /// The search of a sweep with a budget that has ended; otherwise the sweep.
    pub(crate) fn search_with_budget(&self) -> Self {
        match self.search_end {
            Some(_) => Self { race: None, top: None, chosen: None, ..self.clone() },
            None => self.clone(),
        }
    }

    /// Makes the sweep the race that follows its search, if that has ended and left time for one.
    fn start_race(&mut self) {
        let racing = self.search_end.as_ref().map_or(&[][..], |end| &end.racing);
        if racing.len() > 1 {
            self.race = Some(RaceTable::default());
            self.top = Some(racing.len());
            self.chosen = Some(racing.iter().cloned().collect());
        }
    }

    /// Adds the next sample, if a worker has drawn it.
    pub(crate) fn read_sample(&mut self, files: &DecisionFiles) -> bool {
        let Some(random) = self.adaptive_mut() else { return false };
        let drawn: Option<DrawnSample> = files.read(&sample_name(random.known()));
        match drawn.and_then(|drawn| random.point(&drawn.values)) {
            Some(point) => {
                random.add(point);
                true
            }
            None => false,
        }
    }

    /// Writes the next sample, unless another worker has, and adds the one that holds.
    pub(crate) fn add_sample(&mut self, files: &DecisionFiles, own: DrawnSample) {
        let Some(random) = self.adaptive_mut() else { return };
        let is_valid = |drawn: &DrawnSample| random.point(&drawn.values).is_some();
        let name = sample_name(random.known());
        let drawn = files.decide_valid(&name, own, is_valid);
        if let Some(point) = random.point(&drawn.values) {
            random.add(point);
        }
    }

    /// The runs of the sample with this index at a point of the space; `None` if a pattern excludes one of them.
    pub(crate) fn expand_sample(
        &self,
        sample: usize,
        point: &[f64],
    ) -> Result<Option<Expansion>, ConfigError> {
        let (Some(block), Some(random)) = (self.adaptive_block(), self.adaptive()) else {
            return Ok(None);
        };
        let mut settings: Vec<Setting> = block
            .listed_axes()
            .map(|axis| Setting::new(&axis.path, &axis.values[0]))
            .chain(random.settings(point)?)
            .collect();
        settings.sort_by_key(Setting::depth);
        let mut matched = vec![false; block.exclude.len()];
        let mut expansion = Expansion::default();
        for settings in with_seeds(&settings, self.seeds()?.as_deref()) {
            match self.point(block, settings, Some(sample), &mut matched)? {
                ExpandedPoint::Valid(point) => expansion.points.push(*point),
                ExpandedPoint::Invalid(point) => expansion.invalid.push(point),
                ExpandedPoint::Excluded => return Ok(None),
                ExpandedPoint::Skipped => {}
            }
        }
        Ok(Some(expansion))
    }
}

fn sample_name(sample: usize) -> String {
    // Counted from 1, as in messages.
    format!("sample-{}", sample + 1)
}
