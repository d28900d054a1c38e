use serde_json::{Map, Value};

use super::batch::Scorer;
use super::columns::computed;
use super::top_k_accuracy::TOP_K_ACCURACY;
use super::{K, Metric, MetricType, Rows, Setup};
use crate::engine::Targets;
use crate::experiment::Experiment;
use crate::loss::LossConfig;

/// The metrics of an experiment on one set of rows, over the samples added so far.
///
/// Added in training, step after step, they are Keras' running metrics: the logits of each batch come from the weights
/// before its step. Added in evaluation, they are plain averages.
#[derive(Debug)]
pub struct Metrics {
    loss: LossConfig,
    samples: usize,
    counters: Vec<Counter>,
    scorer: Scorer,
}

#[derive(Debug)]
struct Counter {
    metric: &'static MetricType,
    columns: Vec<String>,
    counts: Box<dyn Metric>,
}

/// The key of the number of samples in a checkpoint.
const SAMPLES: &str = "samples";

impl Metrics {
    /// The metrics of this experiment's training steps, before the first sample. The loss is the one that training
    /// minimizes. `classes` is the number of logits per sample.
    #[must_use]
    pub fn new(experiment: &Experiment, classes: usize) -> Self {
        Self::on(Rows::Running, experiment.loss.clone(), experiment, classes)
    }

    /// The metrics of an evaluation, before the first sample. The loss is without label smoothing, so that experiments
    /// with different smoothing can be compared; `smoothed_loss` is with it.
    #[must_use]
    pub fn of_evaluation(experiment: &Experiment, classes: usize) -> Self {
        Self::on(Rows::Validation, experiment.loss.without_smoothing(), experiment, classes)
    }

    fn on(rows: Rows, loss: LossConfig, experiment: &Experiment, classes: usize) -> Self {
        let top_k = experiment.training.top_k.as_slice();
        let setup = Setup { top_k, classes, objective: &experiment.loss };
        let computed = computed(experiment).filter(|metric| rows.has_column(metric));
        let counters = computed.map(|metric| Counter {
            metric,
            columns: metric.columns(top_k),
            counts: (metric.new)(&setup),
        });
        Self { loss, samples: 0, counters: counters.collect(), scorer: Scorer::default() }
    }

    /// Adds a batch: `logits` is `[samples, classes]`, row-major. Returns the mean loss of the batch, computed in f64 from
    /// the logits, with the class weights of the targets. The loss of an image with two labels is the weighted sum; all
    /// other metrics take the label with the
    /// larger weight as the true one.
    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^53")]
    pub fn add_batch<'a>(&mut self, logits: &[f32], targets: impl Into<Targets<'a>>) -> f64 {
        let targets = targets.into();
        let loss = |logits: &[f32], sample: usize| {
            let of_label = |label: u16| self.loss.of_sample(logits, usize::from(label));
            let first = of_label(targets.labels[sample]);
            let loss = match targets.mix.get(sample) {
                None => first,
                Some(mix) => {
                    let weight = f64::from(mix.weight);
                    (1.0 - weight) * first + weight * of_label(mix.label)
                }
            };
            targets.weight(sample).map_or(loss, |weight| weight * loss)
        };
        let main_labels: Vec<u16>;
        let labels = if targets.mix.is_empty() {
            targets.labels
        } else {
            main_labels = targets.main_labels().collect();
            &main_labels
        };
        let batch = self.scorer.score(logits, labels, loss);
        for counter in &mut self.counters {
            counter.counts.add(&batch);
        }
        self.samples += labels.len();
        batch.loss / labels.len() as f64
    }

    /// The value of a metric by its name without `val_` or `train_`; `None` if this experiment does not compute it, or it
    /// has no finite value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        let (counter, column) = self.counters.iter().find_map(|counter| {
            Some((counter, counter.columns.iter().position(|column| column == name)?))
        })?;
        let value = counter.counts.values(self.samples).get(column).copied();
        value.filter(|value| value.is_finite())
    }

    /// How many samples were classified correctly.
    pub(crate) fn correct(&self) -> usize {
        self.value("accuracy").map_or(0, |share| (share * self.samples as f64).round() as usize)
    }

    /// The mean loss; NaN before the first sample, and if it is not finite.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.value("loss").unwrap_or(f64::NAN)
    }

    /// The top-k accuracy for one k of `training.top_k`; `None` for another k, and before the first sample.
    #[must_use]
    pub fn top_k_accuracy(&self, k: usize) -> Option<f64> {
        self.value(&TOP_K_ACCURACY.name.replace(K, &k.to_string()))
    }

    /// The counts, for a checkpoint: the number of samples, and each metric's counts under its key.
    pub(crate) fn counters(&self) -> Map<String, Value> {
        let samples = (SAMPLES.to_owned(), self.samples.into());
        let counters = self.counters.iter();
        let counters =
            counters.map(|counter| (counter.metric.key.to_owned(), counter.counts.counters()));
        std::iter::once(samples).chain(counters).collect()
    }

    /// Sets the counts to those of a checkpoint of the same experiment.
    ///
    /// # Errors
    ///
    /// The problem with them.
    pub(crate) fn restore(&mut self, mut counters: Map<String, Value>) -> Result<(), String> {
        let mut take = |key: &str| {
            let counters = counters.remove(key);
            counters.ok_or_else(|| format!("the metrics have no `{key}`"))
        };
        let samples: u32 = super::counter(take(SAMPLES)?)
            .map_err(|problem| format!("`{SAMPLES}` of the metrics: {problem}"))?;
        self.samples = samples as usize;
        for counter in &mut self.counters {
            let key = counter.metric.key;
            let restored = counter.counts.restore(take(key)?, self.samples);
            restored.map_err(|problem| format!("`{key}` of the metrics: {problem}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::experiment::Declaration;

    const EXPERIMENT: &str = r#"
        name = "test"
        data.source = "none"
        model.layers = [{ type = "flatten" }, { type = "dense", units = "classes", activation = "softmax" }]
        optimizer.type = "sgd"
        training = { top_k = [2], metrics = ["macro_f1", "balanced_accuracy"] }
    "#;

    fn metrics() -> Metrics {
        let declaration = Declaration::parse("test.toml", EXPERIMENT, &[]).expect("valid");
        Metrics::new(&declaration.experiment, 3)
    }

    fn counted() -> Metrics {
        let mut metrics = metrics();
        metrics.add_batch(&[2.0, 1.0, 0.0, 0.0, 2.0, 1.0, 0.5, 0.0, 0.25], &[0, 2, 1]);
        metrics
    }

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            other => panic!("no object: {other}"),
        }
    }

    /// Checkpoints from before `macro_f1` have the first four keys. They must stay.
    #[test]
    fn each_metric_has_its_key_in_a_checkpoint() {
        let counters = Value::Object(counted().counters());
        assert_eq!(counters["samples"], 3);
        assert_eq!(counters["correct"], 1);
        assert_eq!(counters["in_top"], json!([2]));
        assert!(counters["loss"].is_f64());
        let classes = json!([
            { "hits": 1, "predicted": 2, "support": 1 },
            { "hits": 0, "predicted": 1, "support": 1 },
            { "hits": 0, "predicted": 0, "support": 1 },
        ]);
        assert_eq!(counters["macro_f1"], classes);
        assert_eq!(counters["balanced_accuracy"], classes);
        assert_eq!(counters.as_object().expect("valid").len(), 6);
    }

    #[test]
    fn restored_counts_continue_with_the_same_bits() {
        let mut whole = counted();
        let text = serde_json::to_string(&whole.counters()).expect("valid");
        let mut restored = metrics();
        restored.restore(serde_json::from_str(&text).expect("valid")).expect("valid");
        for metrics in [&mut whole, &mut restored] {
            metrics.add_batch(&[0.1, 0.7, 0.3], &[1]);
        }
        for name in ["loss", "accuracy", "top_2_accuracy", "macro_f1", "balanced_accuracy"] {
            let bits = |metrics: &Metrics| metrics.value(name).expect("valid").to_bits();
            assert_eq!(bits(&restored), bits(&whole), "{name}");
        }
    }

    #[test]
    fn counts_that_are_impossible_are_refused() {
        let class = |hits, predicted, support| json!({ "hits": hits, "predicted": predicted, "support": support });
        for (key, value, problem) in [
            ("samples", json!(-3), "`samples` of the metrics: invalid value"),
            ("samples", json!(u64::MAX), "`samples` of the metrics: invalid value"),
            ("samples", json!(0), "`correct` of the metrics: 1 of 0 images are correct"),
            ("loss", json!("high"), "`loss` of the metrics: invalid type"),
            ("correct", json!(4), "`correct` of the metrics: 4 of 3 images are correct"),
            ("in_top", json!([]), "`in_top` of the metrics: 0 numbers, but training.top_k has 1"),
            ("in_top", json!([4]), "`in_top` of the metrics: 4 of 3 images are in the top"),
            ("macro_f1", json!([]), "`macro_f1` of the metrics: 0 classes, but the model has 3"),
            (
                "macro_f1",
                json!([class(0, 2, 1), class(0, 1, 1), class(1, 0, 1)]),
                "`macro_f1` of the metrics: the counts are not those of 3 images",
            ),
            (
                "balanced_accuracy",
                json!([class(0, 2, u64::MAX), class(0, 1, u64::MAX), class(0, 0, 5)]),
                "`balanced_accuracy` of the metrics: the counts are not those of 3 images",
            ),
        ] {
            let mut counters = counted().counters();
            counters.insert(key.to_owned(), value);
            let error = metrics().restore(counters).expect_err("invalid");
            assert!(error.starts_with(problem), "{key}: {error}");
        }
        for key in ["samples", "loss", "in_top", "macro_f1"] {
            let mut counters = counted().counters();
            counters.remove(key);
            let error = metrics().restore(counters).expect_err("invalid");
            assert_eq!(error, format!("the metrics have no `{key}`"));
        }
        assert!(metrics().restore(object(json!({}))).is_err());
    }
}
