use kiln_store::number::percent;
use kiln_store::{Prediction, Tested};

use crate::error::{ReportError, Result};
use crate::image_grid::{
    CaptionLine, CaptionedImage, IMAGE_SIDE, ImageShape, Tone, image_grid, words,
};

/// The number of mistakes in the picture, and in one row of it.
const SHOWN: usize = 25;
const COLUMNS: usize = 5;

/// The images of the test set.
#[derive(Debug, Clone, Copy)]
pub struct TestImages<'a> {
    /// `[n, channels, height, width]`: images of the dataset, among them those of the test set.
    pub pixels: &'a [u8],
    /// The places of the images of the test set, in its order.
    pub rows: &'a [u32],
    /// The shape of each image.
    pub shape: ImageShape,
}

/// `mistakes.png`: the 25 misclassified test images with the highest predicted probability, each with its true class,
/// its predicted class and that probability. If there are no mistakes, the picture says so.
///
/// # Errors
///
/// [`ReportError::Inconsistent`] if the number of images differs from the number of labels, and the errors of
/// [`Tested::check`].
pub fn mistakes_picture(tested: &Tested<'_>, images: TestImages<'_>) -> Result<Vec<u8>> {
    tested.check()?;
    let size = images.shape.size();
    let count = images.pixels.len().checked_div(size).unwrap_or(0);
    let exists = |row: &u32| (*row as usize) < count;
    if tested.labels.len() != images.rows.len() || !images.rows.iter().all(exists) {
        return Err(ReportError::Inconsistent(format!(
            "mistakes: {} labels, {} rows, and {} bytes of images of {:?}",
            tested.labels.len(),
            images.rows.len(),
            images.pixels.len(),
            images.shape
        )));
    }
    let mistakes = most_confident(tested);
    if mistakes.is_empty() {
        return words("No mistakes: every test image was classified correctly.");
    }
    let captioned: Vec<_> = mistakes
        .iter()
        .map(|mistake| {
            let class = |class: usize| tested.class_names[class].as_str();
            let probability = percent(f64::from(mistake.probability()));
            CaptionedImage {
                pixels: &images.pixels[images.rows[mistake.index] as usize * size..][..size],
                shape: images.shape,
                caption: vec![
                    CaptionLine::new(format!("true: {}", class(mistake.label)), Tone::Plain),
                    CaptionLine::new(
                        format!("predicted: {}", class(mistake.predicted)),
                        Tone::Wrong,
                    ),
                    CaptionLine::new(format!("probability: {probability}"), Tone::Wrong),
                ],
            }
        })
        .collect();
    image_grid(&captioned, COLUMNS, IMAGE_SIDE)
}

fn most_confident<'a>(tested: &Tested<'a>) -> Vec<Prediction<'a>> {
    let mut mistakes: Vec<_> = tested
        .predictions()
        .filter(|prediction| prediction.label != prediction.predicted)
        .collect();
    // The sort is stable: equal probabilities stay in test-set order.
    mistakes.sort_by(|left, right| right.probability().total_cmp(&left.probability()));
    mistakes.truncate(SHOWN);
    mistakes
}
