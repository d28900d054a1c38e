//! The picture of the first convolution's filters.

use kiln_report::{Filters, filters_picture, markdown};

use crate::samples::{history, record};

/// The colors in the middle of the first filters' pixels, in the order of the weights.
fn colors(filters: &Filters<'_>) -> Vec<[u8; 3]> {
    let png = filters_picture(filters).expect("a picture");
    let picture = image::load_from_memory(&png).expect("a PNG").to_rgb8();
    let [count, _, height, width] = filters.shape;
    // Each pixel is enlarged by a whole factor to a side of at most 64, and the gap is 16.
    let times = 64 / height.max(width);
    let mut colors = Vec::new();
    for filter in 0..count {
        for y in 0..height {
            for x in 0..width {
                let left = 16 + filter * (times * width + 16);
                let at = |place: usize| (place * times + times / 2) as u32;
                colors.push(picture.get_pixel(left as u32 + at(x), 16 + at(y)).0);
            }
        }
    }
    colors
}

#[test]
fn zero_is_middle_gray_and_all_filters_have_the_same_scale() {
    let weights = [0.0, 0.5, -0.5, 0.25, 0.1, -0.125, 0.0, 0.0];
    let filters = Filters { layer: "stem", weights: &weights, shape: [2, 1, 2, 2] };
    // 128 + 127 · w / 0.5.
    let gray = [128, 255, 1, 192, 153, 96, 128, 128].map(|value| [value; 3]);
    assert_eq!(colors(&filters), gray);
}

#[test]
fn three_channels_are_red_green_and_blue() {
    let weights = [1.0, 0.0, -1.0, 0.0, 0.0, 1.0];
    let filters = Filters { layer: "stem", weights: &weights, shape: [1, 3, 1, 2] };
    assert_eq!(colors(&filters), [[255, 1, 128], [128, 128, 255]]);
}

#[test]
fn of_other_channels_the_first_is_drawn() {
    let weights = [1.0, -1.0];
    let filters = Filters { layer: "stem", weights: &weights, shape: [1, 2, 1, 1] };
    assert_eq!(colors(&filters), [[255; 3]]);
    let text = markdown(&record(), &history(), None, Some(&filters));
    assert!(text.contains("of which the first channel is shown"), "{text}");
}

#[test]
fn weights_that_are_zero_or_not_finite_are_drawn_as_zero() {
    let weights = [0.0, f32::NAN, f32::INFINITY, 0.0];
    let filters = Filters { layer: "stem", weights: &weights, shape: [1, 1, 2, 2] };
    assert_eq!(colors(&filters), [[128; 3]; 4]);
}

#[test]
fn a_shape_that_does_not_match_the_weights_is_an_error() {
    for shape in [[1, 1, 2, 3], [0, 1, 2, 2], [usize::MAX, usize::MAX, 2, 2]] {
        let filters = Filters { layer: "stem", weights: &[0.0; 4], shape };
        filters_picture(&filters).expect_err("the wrong number of weights");
    }
}

#[test]
fn the_report_says_what_the_colors_mean() {
    let weights = [0.25; 100];
    let filters = Filters { layer: "stem", weights: &weights, shape: [100, 1, 1, 1] };
    let text = markdown(&record(), &history(), None, Some(&filters));
    for part in [
        "The first 64 of 100 filters of the first layer with weights, stem, of 1×1 pixels.",
        "Middle gray is 0, black is −0.25 and white 0.25",
        "![The filters of the first convolution](filters.png)",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
    let small = Filters { layer: "stem", weights: &[0.000_412_34, 0.0], shape: [2, 1, 1, 1] };
    let text = markdown(&record(), &history(), None, Some(&small));
    assert!(text.contains("black is −0.0004123 and white 0.0004123"), "{text}");
    assert!(!markdown(&record(), &history(), None, None).contains("filters.png"));
}
