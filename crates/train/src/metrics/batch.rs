/// The logits and labels of a batch, and the numbers that several metrics need. They are computed once per sample.
pub(crate) struct ScoredBatch<'a> {
    /// `[samples, classes]`, row-major.
    logits: &'a [f32],
    labels: &'a [u16],
    classes: usize,
    /// The sum of the samples' losses.
    pub(super) loss: f64,
    /// For each sample, how many classes have a larger logit than its true class. See [`rank`].
    pub(super) ranks: &'a [usize],
}

impl ScoredBatch<'_> {
    /// The logits and the true class of each sample.
    pub(super) fn samples(&self) -> impl Iterator<Item = (&[f32], usize)> {
        let labels = self.labels.iter().map(|label| usize::from(*label));
        self.logits.chunks_exact(self.classes).zip(labels)
    }

    /// The true class and the predicted class of each sample.
    pub(super) fn predictions(&self) -> impl Iterator<Item = (usize, usize)> {
        self.samples().zip(self.ranks).map(|((row, label), rank)| {
            // The search is only needed for samples that are classified wrongly.
            let predicted = if *rank == 0 { label } else { largest(row) };
            (label, predicted)
        })
    }
}

/// The ranks of a batch. The buffer is kept from batch to batch, so that a step allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Scorer {
    ranks: Vec<usize>,
}

impl Scorer {
    /// `logits` is `[samples, classes]`, row-major; `loss` computes the loss of one sample from its logits and its
    /// index in the batch.
    pub(super) fn score<'a>(
        &'a mut self,
        logits: &'a [f32],
        labels: &'a [u16],
        loss: impl Fn(&[f32], usize) -> f64,
    ) -> ScoredBatch<'a> {
        // At least 1, because `chunks_exact` panics for 0.
        let classes = (logits.len() / labels.len().max(1)).max(1);
        let mut sum = 0.0;
        self.ranks.clear();
        for (sample, (row, label)) in logits.chunks_exact(classes).zip(labels).enumerate() {
            sum += loss(row, sample);
            self.ranks.push(rank(row, usize::from(*label)));
        }
        ScoredBatch { logits, labels, classes, loss: sum, ranks: &self.ranks }
    }
}

/// How many classes have a larger logit than the true one; of equal logits, the lower class counts as larger. If the
/// true class's logit is NaN, the result is larger than every number of classes.
fn rank(logits: &[f32], label: usize) -> usize {
    let own = logits[label];
    if own.is_nan() {
        return usize::MAX;
    }
    let is_before =
        |(class, logit): (usize, &f32)| *logit > own || (*logit == own && class < label);
    logits.iter().enumerate().filter(|other| is_before(*other)).count()
}

/// The class with the largest logit, the lowest class of equals.
pub(crate) fn largest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        // A NaN in the first place must not hide the others.
        if *logit > logits[best] || logits[best].is_nan() && !logit.is_nan() {
            best = class;
        }
    }
    best
}
