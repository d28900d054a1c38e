//! Converting image files.

use std::fs;
use std::path::PathBuf;

use crate::common::temporary;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, LumaA, Rgb, RgbImage, RgbaImage};
use kiln_data::{
    Adjustment, Background, DataError, Hint, ImageShape, PixelSize, ReadImage, Resize, read_image,
};

const fn gray(height: usize, width: usize) -> ImageShape {
    ImageShape { channels: 1, height, width }
}

/// Writes a picture to a file and reads it with this shape.
fn through_file(
    picture: impl Into<DynamicImage>,
    format: ImageFormat,
    shape: ImageShape,
) -> ReadImage {
    let directory = temporary();
    let path = directory.path().join("picture");
    picture.into().save_with_format(&path, format).expect("writable");
    read_image(&path, shape).expect("a picture")
}

#[test]
fn a_picture_of_the_right_shape_is_unchanged() {
    let picture = GrayImage::from_fn(3, 2, |x, y| Luma([(10 * y + x) as u8]));
    let read = through_file(picture, ImageFormat::Png, gray(2, 3));
    assert_eq!(read.pixels, [0, 1, 2, 10, 11, 12]);
    assert_eq!((read.adjustments, read.hints), (vec![], vec![]));
}

#[test]
fn rgb_is_converted_to_bt601_luma() {
    let colors = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]];
    let picture = RgbImage::from_fn(4, 1, |x, _| Rgb(colors[x as usize]));
    let read = through_file(picture, ImageFormat::Png, gray(1, 4));
    // 0.299, 0.587 and 0.114 of 255, rounded.
    assert_eq!(read.pixels, [76, 150, 29, 9]);
    assert_eq!(read.adjustments, [Adjustment::ConvertedToGray]);
}

#[test]
fn channels_are_separate_planes() {
    let shape = ImageShape { channels: 3, height: 1, width: 2 };
    let picture = RgbImage::from_raw(2, 1, vec![1, 2, 3, 4, 5, 6]).expect("two pixels");
    assert_eq!(through_file(picture, ImageFormat::Png, shape).pixels, [1, 4, 2, 5, 3, 6]);

    let picture = GrayImage::from_raw(2, 1, vec![7, 8]).expect("two pixels");
    let read = through_file(picture, ImageFormat::Png, shape);
    assert_eq!(read.pixels, [7, 8, 7, 8, 7, 8]);
    assert_eq!(read.adjustments, [Adjustment::ConvertedToRgb]);
}

#[test]
fn transparent_gray_is_blended_over_black() {
    let picture =
        image::GrayAlphaImage::from_fn(3, 1, |x, _| LumaA([199, [255, 128, 0][x as usize]]));
    let read = through_file(picture, ImageFormat::Png, gray(1, 3));
    // 199 × 128 / 255 = 99.9
    assert_eq!(read.pixels, [199, 100, 0]);
    assert_eq!(read.adjustments, [Adjustment::Flattened(Background::default())]);
}

#[test]
fn transparent_rgb_is_blended_over_black_before_its_conversion_to_gray() {
    let pixels = vec![255, 0, 0, 255, 0, 255, 0, 0, 200, 100, 40, 51];
    let picture = RgbaImage::from_raw(3, 1, pixels).expect("three pixels");
    let read = through_file(
        picture.clone(),
        ImageFormat::Png,
        ImageShape { channels: 3, height: 1, width: 3 },
    );
    // 51 / 255 = 0.2
    assert_eq!(read.pixels, [255, 0, 40, 0, 0, 20, 0, 0, 8]);
    assert_eq!(read.adjustments, [Adjustment::Flattened(Background::default())]);

    let read = through_file(picture, ImageFormat::Png, gray(1, 3));
    // 0.299 × 40 + 0.587 × 20 + 0.114 × 8 = 24.6
    assert_eq!(read.pixels, [76, 0, 25]);
    assert_eq!(
        read.adjustments,
        [Adjustment::Flattened(Background::default()), Adjustment::ConvertedToGray]
    );
}

/// A JPEG file with EXIF orientation 6: rotate by 90° clockwise.
#[test]
fn the_exif_orientation_is_applied() {
    let directory = temporary();
    let path = directory.path().join("picture.jpg");
    // The left half is light. After the rotation it is the upper half.
    let picture = GrayImage::from_fn(32, 16, |x, _| Luma([if x < 16 { 240 } else { 10 }]));
    picture.save(&path).expect("writable");
    let bytes = fs::read(&path).expect("just written");

    let tiff: &[u8] = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let exif = [b"Exif\0\0", tiff].concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let with_exif = [&bytes[..2], &[0xff, 0xe1], &length, &exif, &bytes[2..]].concat();
    fs::write(&path, with_exif).expect("writable");

    let read = read_image(&path, gray(32, 16)).expect("a picture");
    assert_eq!(read.adjustments, [Adjustment::Rotated]);
    let (upper, lower) = read.pixels.split_at(16 * 16);
    assert!(upper.iter().all(|pixel| pixel.abs_diff(240) <= 5), "{upper:?}");
    assert!(lower.iter().all(|pixel| pixel.abs_diff(10) <= 5), "{lower:?}");
}

#[test]
fn sixteen_bits_are_reduced_to_eight() {
    let picture = image::ImageBuffer::<Luma<u16>, _>::from_raw(2, 1, vec![0_u16, 65_535])
        .expect("two pixels");
    let read = through_file(picture, ImageFormat::Png, gray(1, 2));
    assert_eq!(read.pixels, [0, 255]);
    assert_eq!(read.adjustments, [Adjustment::ReducedDepth]);
}

#[test]
fn a_picture_of_another_size_is_resized_with_antialiasing() {
    // Alternating columns of 0 and 200. With antialiasing, all pixels are near 100; without, they would
    // be 0 or 200.
    let picture = GrayImage::from_fn(60, 30, |x, _| Luma([(x % 2 * 200) as u8]));
    let read = through_file(picture, ImageFormat::Png, gray(10, 10));
    assert_eq!(read.pixels.len(), 100);
    assert!(read.pixels.iter().all(|pixel| (80..=120).contains(pixel)), "{:?}", read.pixels);
    let from = PixelSize { height: 30, width: 60 };
    let to = PixelSize { height: 10, width: 10 };
    assert_eq!(read.adjustments, [Adjustment::Resized { from, to, resize: Resize::Stretch }]);
    let text = read.adjustments[0].to_string();
    assert!(text.contains("60×30 to 10×10"), "{text}");
    assert!(text.contains("changes its aspect ratio"), "{text}");
}

/// Pillow's `resize(…, Image.BILINEAR)` is the same triangle filter, but rounds differently between its
/// passes.
#[test]
fn resizing_agrees_with_pillow() {
    let picture =
        GrayImage::from_fn(7, 5, |x, y| Luma([((37 * y * y + 91 * x + 13 * y * x) % 256) as u8]));
    for (shape, expected) in [
        (gray(3, 4), &[66, 145, 116, 108, 98, 147, 155, 135, 139, 160, 148, 122][..]),
        (
            gray(8, 9),
            &[
                0, 61, 131, 145, 17, 88, 159, 144, 34, 16, 81, 156, 174, 50, 126, 139, 116, 84, 44,
                103, 179, 207, 102, 172, 117, 86, 145, 113, 71, 100, 170, 196, 147, 152, 145, 103,
                126, 89, 89, 139, 233, 128, 165, 174, 84, 81, 157, 145, 113, 213, 114, 158, 173,
                89, 79, 170, 163, 128, 235, 142, 112, 118, 135, 80, 175, 173, 142, 253, 165, 77,
                75, 170,
            ],
        ),
    ] {
        let read = through_file(picture.clone(), ImageFormat::Png, shape);
        assert_eq!(read.pixels.len(), expected.len());
        let close = |(found, expected): (&u8, &u8)| found.abs_diff(*expected) <= 1;
        assert!(read.pixels.iter().zip(expected).all(close), "{:?}", read.pixels);
    }
}

#[test]
fn a_light_background_of_a_jpeg_file_is_reported() {
    let picture = RgbImage::from_pixel(28, 28, Rgb([250, 250, 250]));
    let read = through_file(picture, ImageFormat::Jpeg, gray(28, 28));
    assert!(read.pixels.iter().all(|&pixel| pixel.abs_diff(250) <= 2));
    assert_eq!(read.hints, [Hint::LightBackground]);

    // Only the border counts.
    let picture = GrayImage::from_fn(9, 9, |x, y| {
        Luma([if (1..8).contains(&x) && (1..8).contains(&y) { 255 } else { 0 }])
    });
    assert_eq!(through_file(picture, ImageFormat::Png, gray(9, 9)).hints, []);
}

#[test]
fn errors_name_the_file() {
    let directory = temporary();
    let path = |name: &str| -> PathBuf { directory.path().join(name) };
    let error = read_image(&path("nowhere.png"), gray(2, 2)).expect_err("no such file");
    assert!(matches!(error, DataError::Read { .. }), "{error}");
    assert!(error.to_string().contains("nowhere.png"), "{error}");

    fs::write(path("text.png"), "text").expect("writable");
    let error = read_image(&path("text.png"), gray(2, 2)).expect_err("not an image");
    assert!(matches!(error, DataError::Image { .. }), "{error}");
    assert!(error.to_string().contains("text.png"), "{error}");

    GrayImage::new(50, 50).save(path("complete.png")).expect("writable");
    let complete = fs::read(path("complete.png")).expect("just written");
    fs::write(path("half.png"), &complete[..complete.len() / 2]).expect("writable");
    let error = read_image(&path("half.png"), gray(2, 2)).expect_err("truncated");
    assert!(matches!(error, DataError::Image { .. }), "{error}");

    for shape in [ImageShape { channels: 2, height: 2, width: 2 }, gray(0, 2), gray(2, 0)] {
        let error = read_image(&path("complete.png"), shape).expect_err("unsupported shape");
        assert!(matches!(error, DataError::ImageShape { .. }), "{error}");
    }
}

/// A header that declares 60,000 × 60,000 pixels, with the valid checksum of its PNG chunk.
#[test]
fn a_picture_of_billions_of_pixels_is_an_error_without_decoding() {
    let directory = temporary();
    let path = directory.path().join("large.png");
    GrayImage::new(1, 1).save(&path).expect("writable");
    let mut bytes = fs::read(&path).expect("just written");
    // Width and height follow the signature, the length of the chunk and its name.
    bytes[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
    let mut sum = flate2::Crc::new();
    sum.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    fs::write(&path, bytes).expect("writable");
    let error = read_image(&path, gray(2, 2)).expect_err("too large");
    assert!(
        matches!(error, DataError::ImageTooLarge { width: 60_000, height: 60_000, .. }),
        "{error}"
    );
}
