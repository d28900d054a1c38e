use kiln_data::{Batch, Mix};

/// What the images of a batch should be classified as.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// `[n]`: the class of each image.
    pub labels: &'a [u16],
    /// `[n]`: the second class of each image and its share; empty if each image has one class.
    pub mix: &'a [Mix],
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
        Self { labels, mix: &[] }
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
        Self { labels: &batch.labels, mix: &batch.mix }
    }
}
