//! Images without content.

use super::{Examined, Finding, MAX_EXAMPLES, Severity, count, is_above, percent};

/// Above this share of all images, they are a warning.
const WARNING_SHARE: f64 = 0.001;

/// Images whose pixels are all equal.
pub(super) fn constant_images(examined: &Examined<'_>) -> Vec<Finding> {
    let images = &examined.dataset.images;
    let plane = images.shape.height * images.shape.width;
    let is_constant = |row: usize| {
        images.image(row).chunks_exact(plane).all(|plane| plane.iter().all(|&it| it == plane[0]))
    };
    // Every image of one pixel is constant.
    if plane == 1 {
        return Vec::new();
    }
    let rows: Vec<usize> = (0..images.len()).filter(|&row| is_constant(row)).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let is_warning = is_above(rows.len(), images.len(), WARNING_SHARE);
    vec![Finding {
        kind: "constant_images",
        severity: if is_warning { Severity::Warning } else { Severity::Hint },
        message: format!(
            "{} ({}) without content: all pixels are equal",
            count(rows.len(), "image"),
            percent(rows.len(), images.len())
        ),
        help: "look at these images; if they are transparent, set data.background".into(),
        count: rows.len(),
        examples: rows
            .iter()
            .take(MAX_EXAMPLES)
            .map(|&row| examined.image_name(row as u32))
            .collect(),
    }]
}
