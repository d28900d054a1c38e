use std::collections::BTreeMap;

use kiln_config::{ConfigError, FromValue, Kind, Value};
use serde::{Serialize, Serializer};

/// `loss.class_weights`: how much an image of a class counts in training.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum ClassWeights {
    /// All images count the same.
    #[default]
    Equal,
    /// n / (classes · images of the class), over the training rows: each class counts the same in total, and the mean
    /// weight of an image is 1. These are the balanced weights of scikit-learn (King and Zeng 2001). Classes without
    /// training images are not counted.
    Balanced,
    /// By class name; 1 for all others.
    ByClass(BTreeMap<String, f64>),
}

impl ClassWeights {
    /// Whether all images count the same.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        *self == Self::Equal
    }

    /// The weight of each class; empty if all images count the same. `labels` are those of the training rows.
    ///
    /// # Errors
    ///
    /// A class with a weight does not exist. The error is its name.
    pub(crate) fn of_classes(
        &self,
        class_names: &[String],
        labels: impl Iterator<Item = u16>,
    ) -> Result<Vec<f64>, String> {
        let mut weights = vec![1.0; class_names.len()];
        match self {
            Self::Equal => return Ok(Vec::new()),
            Self::Balanced => {
                let mut counts = vec![0.0; class_names.len()];
                labels.for_each(|label| counts[usize::from(label)] += 1.0);
                let images: f64 = counts.iter().sum();
                let classes = counts.iter().filter(|count| **count > 0.0).map(|_| 1.0).sum::<f64>();
                for (weight, count) in weights.iter_mut().zip(counts).filter(|(_, n)| *n > 0.0) {
                    *weight = images / (classes * count);
                }
            }
            Self::ByClass(by_class) => {
                for (name, weight) in by_class {
                    let class = class_names.iter().position(|class| class == name);
                    weights[class.ok_or_else(|| name.clone())?] = *weight;
                }
            }
        }
        Ok(weights)
    }
}

impl FromValue for ClassWeights {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let Kind::Table(entries) = &value.kind else {
            return match &value.kind {
                Kind::String(text) if text == "balanced" => Ok(Self::Balanced),
                _ => Err(value.expected(
                    "\"balanced\" or the weights of classes, such as { \"Shirt\" = 2.0 }",
                )),
            };
        };
        let weights = entries.iter().map(|entry| {
            let weight = f64::from_value(entry.value())?;
            // Larger ones would not be finite in f32 after a multiplication with a large loss.
            if !(0.0..=1e6).contains(&weight) {
                return Err(entry.value().expected("a number from 0 to 1,000,000"));
            }
            Ok((entry.key().to_owned(), weight))
        });
        let weights = weights.collect::<Result<BTreeMap<_, _>, _>>()?;
        // A table without entries changes nothing, so it is the same experiment as one without the key.
        Ok(if weights.is_empty() { Self::Equal } else { Self::ByClass(weights) })
    }
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Equal => serializer.serialize_none(),
            Self::Balanced => serializer.serialize_str("balanced"),
            Self::ByClass(weights) => weights.serialize(serializer),
        }
    }
}
