use kiln_data::{Batch, Mix};

/// The targets: the classes that the images of a batch should get.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// `[n]`: the class of each image.
    pub labels: &'a [u16],
    /// `[n]`: the second class of each image and its share; empty if each image has one class.
    pub mix: &'a [Mix],
    /// `[classes]`: how much the images of each class count; empty if all count the same.
    pub class_weights: &'a [f64],
}

impl Targets<'_> {
    /// The number of images.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The weight of an image: that of its class, or the weighted mean for two classes. `None` if all images count the
    /// same.
    pub(crate) fn weight(&self, sample: usize) -> Option<f64> {
        let of_class = |label: u16| self.class_weights.get(usize::from(label)).copied();
        let weight = of_class(self.labels[sample])?;
        let Some(mix) = self.mix.get(sample) else { return Some(weight) };
        let share = f64::from(mix.weight);
        Some((1.0 - share) * weight + share * of_class(mix.label)?)
    }

    /// The class of each image that has the largest share; of two equal ones, the first.
    pub fn main_labels(&self) -> impl Iterator<Item = u16> {
        self.labels.iter().enumerate().map(|(sample, label)| match self.mix.get(sample) {
            Some(mix) if mix.weight > 0.5 => mix.label,
            _ => *label,
        })
    }
}

impl<'a> From<&'a [u16]> for Targets<'a> {
    fn from(labels: &'a [u16]) -> Self {
        Self { labels, mix: &[], class_weights: &[] }
    }
}

impl<'a, const N: usize> From<&'a [u16; N]> for Targets<'a> {
    fn from(labels: &'a [u16; N]) -> Self {
        labels.as_slice().into()
    }
}

impl<'a> From<&'a Vec<u16>> for Targets<'a> {
    fn from(labels: &'a Vec<u16>) -> Self {
        labels.as_slice().into()
    }
}

impl<'a> From<&'a Batch> for Targets<'a> {
    fn from(batch: &'a Batch) -> Self {
        Self { labels: &batch.labels, mix: &batch.mix, class_weights: &[] }
    }
}
