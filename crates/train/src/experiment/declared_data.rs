//! The data that an experiment declares: its dataset, its split, and the weights of its classes.

use std::path::Path;

use kiln_config::{ConfigError, nearest};
use kiln_data::{
    DATASETS, DataError, Dataset, DatasetSummary, KnownDatasets, Part, Parts, Split, SplitCounts,
    SplitError,
};
use kiln_model::Architecture;

use super::Declaration;
use crate::TrainError;
use crate::random::{Purpose, stream};

/// The largest number of class names in an error. All names of a thousand classes would hide it.
const MAX_LISTED: usize = 30;

impl Declaration {
    /// The architecture, without reading the dataset if it is a listed one, whose shape and classes are known.
    ///
    /// # Errors
    ///
    /// The errors of [`architecture`](Self::architecture), and those of [`dataset`](Self::dataset) for any other
    /// dataset.
    pub fn architecture_without_data(&self, data: &Path) -> Result<Architecture, TrainError> {
        let config = &self.experiment.data;
        let listed = DATASETS.iter().find(|dataset| dataset.name == config.source.as_str());
        // Other labels may have other classes.
        if let Some(listed) = listed.filter(|_| config.labels.is_none()) {
            let shape = config.shape_of(listed.shape);
            return Ok(self.architecture(shape, listed.class_names.len())?);
        }
        let dataset = self.dataset(data)?;
        Ok(self.architecture(dataset.images.shape, dataset.class_names.len())?)
    }

    /// Reads the dataset. `data` is the directory of the listed datasets.
    ///
    /// # Errors
    ///
    /// `data.source` names no dataset, or its files are missing or damaged.
    pub fn dataset(&self, data: &Path) -> Result<Dataset, TrainError> {
        self.experiment.data.load(data).map_err(|error| self.data_error(error))
    }

    /// Like [`dataset`](Self::dataset), for a dataset with a recorded fingerprint, which may have moved into the directory
    /// `data`: see [`DataConfig::load_recorded`](kiln_data::DataConfig::load_recorded).
    ///
    /// # Errors
    ///
    /// The errors of [`dataset`](Self::dataset).
    pub fn recorded_dataset(&self, data: &Path, fingerprint: &str) -> Result<Dataset, TrainError> {
        let data = self.experiment.data.load_recorded(data, fingerprint);
        data.map_err(|error| match self.data_error(error) {
            TrainError::Config(error) => {
                let help =
                    "if the dataset has moved, give the directory that contains it now: --data DIR";
                error.help(help).into()
            }
            error => error,
        })
    }

    /// The summary of the dataset. It is read only if it is not among the `known` ones or has changed since.
    ///
    /// # Errors
    ///
    /// The errors of [`dataset`](Self::dataset).
    pub fn dataset_summary(
        &self,
        data: &Path,
        known: &mut KnownDatasets,
    ) -> Result<DatasetSummary, TrainError> {
        known.summary(&self.experiment.data, data).map_err(|error| self.data_error(error))
    }

    fn data_error(&self, error: DataError) -> TrainError {
        match error {
            // Only this error is about the value of the key. The others are about files, and name them.
            DataError::Source(_) => self.error_at("data.source", error.to_string()).into(),
            error => error.into(),
        }
    }

    /// Splits a dataset into training, validation and test rows.
    ///
    /// # Errors
    ///
    /// No row would be left for training, or there is none for testing.
    pub fn split(&self, dataset: &Dataset) -> Result<Split, ConfigError> {
        let data = &self.experiment.data;
        let seed = data.split_seed.unwrap_or(self.experiment.seed);
        let (mut validation, mut test) =
            (stream(seed, Purpose::Split, 0), stream(seed, Purpose::TestSplit, 0));
        data.split(dataset, &mut validation, &mut test).map_err(|error| self.split_error(&error))
    }

    /// How many images are for each purpose, of a dataset with these parts.
    ///
    /// # Errors
    ///
    /// Those of [`split`](Self::split).
    pub fn split_counts(&self, parts: &Parts) -> Result<SplitCounts, ConfigError> {
        self.experiment.data.split_counts(parts).map_err(|error| self.split_error(&error))
    }

    /// The weight of each class in training, by label; empty if all images count the same.
    ///
    /// # Errors
    ///
    /// `loss.class_weights` names a class that the dataset does not have.
    pub fn class_weights(&self, dataset: &Dataset, split: &Split) -> Result<Vec<f64>, ConfigError> {
        let labels = split.training.iter().map(|row| dataset.images.labels[*row as usize]);
        self.weights_of(&dataset.class_names, labels)
    }

    /// Checks that `loss.class_weights` names classes that a dataset with these classes has.
    ///
    /// # Errors
    ///
    /// It names another class.
    pub fn check_class_weights(&self, class_names: &[String]) -> Result<(), ConfigError> {
        self.weights_of(class_names, std::iter::empty()).map(drop)
    }

    fn weights_of(
        &self,
        class_names: &[String],
        labels: impl Iterator<Item = u16>,
    ) -> Result<Vec<f64>, ConfigError> {
        self.experiment.loss.class_weights().of_classes(class_names, labels).map_err(|name| {
            let names = || class_names.iter().map(String::as_str);
            let error = self.error_at(
                &format!("loss.class_weights.{name}"),
                format!("the dataset has no class \"{name}\""),
            );
            let mut list = names().take(MAX_LISTED).collect::<Vec<_>>().join(", ");
            if class_names.len() > MAX_LISTED {
                list.push_str(&format!(", and {} more", class_names.len() - MAX_LISTED));
            }
            error.help(match nearest(&name, names()) {
                Some(nearest) => format!("did you mean \"{nearest}\"? the classes are: {list}"),
                None => format!("the classes are: {list}"),
            })
        })
    }

    fn split_error(&self, error: &DataError) -> ConfigError {
        use SplitError::{
            GroupOfHead, GroupWithoutMatch, GroupWithoutNames, NoTestRows, PartProvided,
            SplitFraction, SplitTooLarge, SplitTooSmall, TooFewGroups,
        };
        let key = match error {
            DataError::Split(
                SplitTooLarge { part: Part::Test, .. }
                | SplitTooSmall { part: Part::Test, .. }
                | SplitFraction { part: Part::Test, .. }
                | PartProvided { part: Part::Test, .. }
                | NoTestRows,
            ) => "data.test",
            DataError::Split(
                GroupOfHead | GroupWithoutNames | GroupWithoutMatch { .. } | TooFewGroups { .. },
            ) => "data.group",
            _ => "data.validation",
        };
        self.error_at(key, error.to_string())
    }
}
