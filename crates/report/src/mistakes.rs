use kiln_store::number::percent;
use kiln_store::{Prediction, Tested};

use crate::error::{ReportError, Result};
use crate::image_grid::{
    CaptionLine, CaptionedImage, IMAGE_SIDE, ImageShape, Tone, image_grid, words,
};

/// The number of mistakes in the picture, and in one row of it.
const SHOWN: usize = 25;
const COLUMNS: usize = 5;

/// The images of the test set, one after another.
#[derive(Debug, Clone, Copy)]
pub struct TestImages<'a> {
    /// `[images, channels, height, width]`.
    pub pixels: &'a [u8],
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
    if size == 0 || Some(images.pixels.len()) != tested.labels.len().checked_mul(size) {
        return Err(ReportError::Inconsistent(format!(
            "mistakes: {} labels, and {} bytes of images of {:?}",
            tested.labels.len(),
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
                pixels: &images.pixels[mistake.index * size..(mistake.index + 1) * size],
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
