use serde::Serialize;

use crate::{Dataset, Part, Split};

/// The number of images of each class and part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ClassCounts(pub Vec<PartCounts>);

/// The number of images of a class in each part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartCounts {
    /// The name of the class.
    pub name: String,
    /// Training images.
    pub training: usize,
    /// Validation images.
    pub validation: usize,
    /// Test images.
    pub test: usize,
}

impl PartCounts {
    /// The number of images in one part.
    #[must_use]
    pub fn of(&self, part: Part) -> usize {
        match part {
            Part::Training => self.training,
            Part::Validation => self.validation,
            Part::Test => self.test,
        }
    }

    /// The number of images in all parts.
    #[must_use]
    pub fn total(&self) -> usize {
        self.training + self.validation + self.test
    }
}

impl ClassCounts {
    pub(super) fn new(dataset: &Dataset, split: &Split) -> Self {
        let count = |rows: &[u32]| {
            let mut counts = vec![0; dataset.class_names.len()];
            for &row in rows {
                counts[usize::from(dataset.images.labels[row as usize])] += 1;
            }
            counts
        };
        let (training, validation, test) =
            (count(&split.training), count(&split.validation), count(&split.test));
        let names = dataset.class_names.iter().enumerate();
        Self(
            names
                .map(|(class, name)| PartCounts {
                    name: name.clone(),
                    training: training[class],
                    validation: validation[class],
                    test: test[class],
                })
                .collect(),
        )
    }

    /// The classes for which this is true, as their labels.
    pub(super) fn classes(&self, is_wanted: impl Fn(&PartCounts) -> bool) -> Vec<usize> {
        (0..self.0.len()).filter(|&class| is_wanted(&self.0[class])).collect()
    }
}
