use image::{ImageFormat, Rgb, RgbImage};
use kiln_report::{
    CaptionLine, CaptionedImage, IMAGE_SIDE, ImageShape, ReportError, TestImages, Tone, image_grid,
    mistakes_picture,
};

use crate::samples::{SHAPE, Test, images};

const WHITE: Rgb<u8> = Rgb([255; 3]);
/// Space between images and around them.
const GAP: u32 = 16;

fn decode(bytes: &[u8]) -> RgbImage {
    image::load_from_memory_with_format(bytes, ImageFormat::Png).expect("a PNG").to_rgb8()
}

fn plain(pixels: &[u8], shape: ImageShape) -> CaptionedImage<'_> {
    CaptionedImage { pixels, shape, caption: vec![] }
}

fn gray(value: u8) -> Rgb<u8> {
    Rgb([value; 3])
}

#[test]
fn images_are_enlarged_by_whole_pixels_and_laid_out_in_rows() {
    let (first, second) = ([10, 20, 30, 40], [50, 60, 70, 80]);
    let images = [plain(&first, SHAPE), plain(&second, SHAPE), plain(&first, SHAPE)];
    // 7 pixels have room for two pixels enlarged three times.
    let picture = decode(&image_grid(&images, 2, 7).expect("a picture"));
    assert_eq!(picture.dimensions(), (GAP + 2 * (6 + GAP), GAP + 2 * (6 + GAP)));
    for (left, top, pixels) in [(16, 16, first), (38, 16, second), (16, 38, first)] {
        for y in 0..6 {
            for x in 0..6 {
                let value = pixels[(y / 3 * 2 + x / 3) as usize];
                assert_eq!(*picture.get_pixel(left + x, top + y), gray(value), "{x} {y}");
            }
        }
    }
    assert_eq!(*picture.get_pixel(0, 0), WHITE);
    assert_eq!(*picture.get_pixel(41, 41), WHITE, "the fourth place is empty");
    assert_ne!(*picture.get_pixel(15, 15), WHITE, "a frame shows where an image ends");
}

#[test]
fn color_images_are_stored_as_planes() {
    let shape = ImageShape { channels: 3, height: 1, width: 2 };
    let pixels = [255, 1, 0, 2, 128, 3];
    let picture = decode(&image_grid(&[plain(&pixels, shape)], 5, 2).expect("a picture"));
    assert_eq!(picture.dimensions(), (2 + 2 * GAP, 1 + 2 * GAP), "no more columns than images");
    assert_eq!(*picture.get_pixel(16, 16), Rgb([255, 0, 128]));
    assert_eq!(*picture.get_pixel(17, 16), Rgb([1, 2, 3]));

    let two = ImageShape { channels: 2, ..shape };
    let picture = decode(&image_grid(&[plain(&pixels[..4], two)], 5, 2).expect("a picture"));
    assert_eq!(*picture.get_pixel(16, 16), gray(255), "of two channels the first is drawn");
}

#[test]
fn large_images_are_reduced_by_averaging() {
    let shape = ImageShape { channels: 1, height: 100, width: 400 };
    let stripes: Vec<u8> = (0..40_000).map(|at| if at % 2 == 0 { 0 } else { 200 }).collect();
    let picture = decode(&image_grid(&[plain(&stripes, shape)], 1, 40).expect("a picture"));
    assert_eq!(picture.dimensions(), (40 + 2 * GAP, 10 + 2 * GAP));
    for x in 0..40 {
        let Rgb([value, ..]) = *picture.get_pixel(16 + x, 20);
        assert!(value.abs_diff(100) < 15, "stripes finer than a pixel are their mean, not {value}");
    }
}

#[test]
fn captions_are_below_their_image_in_their_color() {
    let black = [0; 4];
    let draw = |caption: Vec<CaptionLine>| {
        let image = CaptionedImage { pixels: &black, shape: SHAPE, caption };
        decode(&image_grid(&[image], 1, 140).expect("a picture"))
    };
    let bare = draw(vec![]);
    let captioned =
        draw(vec![CaptionLine::new("Sneaker", Tone::Plain), CaptionLine::new("Bag", Tone::Wrong)]);
    assert_eq!(bare.width(), captioned.width(), "short words fit below");
    assert!(captioned.height() > bare.height());
    let below = 16 + 140 + 1..captioned.height();
    let ink: Vec<_> = below
        .flat_map(|y| (0..captioned.width()).map(move |x| (x, y)))
        .filter(|(x, y)| *captioned.get_pixel(*x, *y) != WHITE)
        .collect();
    let is_red = |(x, y): &&(u32, u32)| {
        let Rgb([red, _, blue]) = *captioned.get_pixel(*x, *y);
        red > blue.saturating_add(40)
    };
    let (top, bottom) = (ink.first().expect("ink").1, ink.last().expect("ink").1);
    let first_line: Vec<_> = ink.iter().filter(|(_, y)| *y < top + 14).collect();
    let last_line: Vec<_> = ink.iter().filter(|(_, y)| *y + 8 > bottom).collect();
    assert_eq!(first_line.iter().filter(|at| is_red(at)).count(), 0);
    assert!(last_line.iter().filter(|at| is_red(at)).count() * 2 > last_line.len());
    let middle = ink.iter().map(|(x, _)| x).sum::<u32>() / ink.len() as u32;
    assert!(middle.abs_diff(captioned.width() / 2) < 6, "centered, not around {middle}");
}

#[test]
fn long_captions_widen_columns_up_to_a_limit() {
    let width = |text: &str| {
        let pixels = [0; 4];
        let caption = vec![CaptionLine::new(text, Tone::Right)];
        let image = CaptionedImage { pixels: &pixels, shape: SHAPE, caption };
        decode(&image_grid(&[image], 1, IMAGE_SIDE).expect("a picture")).width()
    };
    let (short, longer, longest) =
        (width("Bag"), width("predicted: Ankle boots"), width(&"W".repeat(500)));
    assert!(
        short < longer && longer < longest && longest < 2 * short,
        "{short} {longer} {longest}"
    );
    assert_eq!(longest, width(&"W".repeat(50)));
    // The font has Latin letters; other characters are replaced.
    width("Čepice 帽子 \u{1b}\n\u{10ffff} …");
}

#[test]
fn the_same_images_give_the_same_bytes() {
    let pixels = [1, 2, 3, 4];
    let draw = || {
        let caption = vec![CaptionLine::new("Dress", Tone::Plain)];
        image_grid(&[CaptionedImage { pixels: &pixels, shape: SHAPE, caption }], 5, IMAGE_SIDE)
    };
    assert_eq!(draw().expect("a picture"), draw().expect("a picture"));
}

#[test]
fn images_that_cannot_be_drawn_are_an_error() {
    let pixels = [0; 4];
    let good = || plain(&pixels, SHAPE);
    let empty = ImageShape { channels: 1, height: 0, width: 2 };
    let huge = ImageShape { channels: usize::MAX, height: usize::MAX, width: 2 };
    for (images, columns, side, problem) in [
        (vec![], 5, 140, "there are no images to draw"),
        (vec![good()], 0, 140, "there are no images to draw"),
        (vec![good()], 5, 0, "there are no images to draw"),
        (
            vec![plain(&pixels[..3], SHAPE)],
            5,
            140,
            "an image of ImageShape { channels: 1, height: 2, width: 2 } has 3 bytes",
        ),
        (
            vec![plain(&[], empty)],
            5,
            140,
            "an image of ImageShape { channels: 1, height: 0, width: 2 } has 0 bytes",
        ),
        (
            vec![good()],
            5,
            usize::MAX,
            "the picture would be too large: use fewer or smaller images",
        ),
        (
            vec![good(); 10_000],
            100,
            140,
            "the picture would be too large: use fewer or smaller images",
        ),
    ] {
        let error = image_grid(&images, columns, side).expect_err(problem);
        assert!(matches!(error, ReportError::Inconsistent(_)), "{error:?}");
        assert_eq!(error.to_string(), format!("image grid: {problem}"));
    }
    image_grid(&[plain(&pixels, huge)], 5, 140).expect_err("not as many bytes");
}

/// 30 images in shades of gray, all of class 0. The model predicts class 1 for the first 27, with increasing
/// probability.
fn mistaken() -> Test {
    let rows: Vec<[f32; 2]> = (0..30_u8)
        .map(|image| {
            let wrong = if image < 27 { 0.6 + f32::from(image) / 100.0 } else { 0.1 };
            [1.0 - wrong, wrong]
        })
        .collect();
    let images: Vec<(u16, &[f32])> = rows.iter().map(|row| (0, row.as_slice())).collect();
    let mut test = Test::new(&["cat", "dog"], &images);
    test.pixels = (0..30).flat_map(|gray| [gray * 8; 4]).collect();
    test
}

#[test]
fn mistakes_are_shown_by_descending_probability() {
    let test = mistaken();
    let bytes = mistakes_picture(&test.tested(), images(&test)).expect("a picture");
    let picture = decode(&bytes);
    // Five columns as wide as their images; the rows share the height.
    assert_eq!(picture.width(), GAP + 5 * (140 + GAP));
    assert_eq!((picture.height() - GAP) % 5, 0);
    let row_height = (picture.height() - GAP) / 5;
    let middle =
        |place: u32| (GAP + 70 + place % 5 * (140 + GAP), GAP + 70 + place / 5 * row_height);
    let shown: Vec<u8> = (0..25)
        .map(|place| {
            let (x, y) = middle(place);
            picture.get_pixel(x, y).0[0]
        })
        .collect();
    let expected: Vec<u8> = (2..27).rev().map(|image| image * 8).collect();
    assert_eq!(shown, expected);
}

#[test]
fn a_test_without_mistakes_is_a_picture_of_a_sentence() {
    let test = Test::new(&["cat", "dog"], &[(0, &[0.9, 0.1]), (1, &[0.2, 0.8])]);
    let bytes = mistakes_picture(&test.tested(), images(&test)).expect("a picture");
    let picture = decode(&bytes);
    assert!(picture.height() < 60 && picture.width() > 300, "{:?}", picture.dimensions());
    assert!(picture.pixels().any(|pixel| *pixel != WHITE));
}

#[test]
fn the_number_of_images_must_match_the_labels() {
    let test = mistaken();
    let shape = ImageShape { channels: 1, height: 2, width: 2 };
    for images in [
        TestImages { pixels: &test.pixels, rows: &test.rows[1..], shape },
        TestImages { pixels: &test.pixels[1..], rows: &test.rows, shape },
        TestImages { pixels: &[], rows: &test.rows, shape: ImageShape { height: 0, ..shape } },
        TestImages {
            pixels: &test.pixels,
            rows: &test.rows,
            shape: ImageShape { height: usize::MAX, ..shape },
        },
    ] {
        let error = mistakes_picture(&test.tested(), images).expect_err("they do not fit");
        assert!(matches!(error, ReportError::Inconsistent(_)), "{error:?}");
        assert!(error.to_string().starts_with("mistakes: 30 labels, "), "{error}");
    }
}
