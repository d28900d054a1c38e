//! Decoding pictures and converting them to the shape of a network's input.

use std::fs;
use std::path::PathBuf;

use crate::common::{reference, temporary};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba, RgbaImage};
use kiln_data::picture::{Picture, PictureFormat, fit};
use kiln_data::{
    Adjustment, Background, DataError, Fitting, Hint, ImageShape, PictureMode, PixelSize,
    ReadImage, Resize, read_image,
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
    let white = Rgb([250, 250, 250]);
    let picture =
        RgbImage::from_fn(
            28,
            28,
            |x, y| if x == 14 && y > 8 && y < 20 { Rgb([0; 3]) } else { white },
        );
    let read = through_file(picture, ImageFormat::Jpeg, gray(28, 28));
    assert!(read.pixels[..28].iter().all(|&pixel| pixel.abs_diff(250) <= 4));
    assert_eq!(read.hints, [Hint::LightBackground]);

    // Ink on transparent, which is blended over black.
    let ink = |x: u32, alpha| {
        RgbaImage::from_fn(9, 9, |row, _| Rgba([0, 0, 0, if row == x { alpha } else { 0 }]))
    };
    let read = through_file(ink(4, 255), ImageFormat::Png, gray(9, 9));
    assert_eq!((read.pixels, &read.hints[..]), (vec![0; 81], &[Hint::OnlyBackground][..]));
    assert!(read.hints[0].to_string().contains("black on transparent"));

    // A photograph may have one color, or a light border.
    let color = ImageShape { channels: 3, height: 9, width: 9 };
    let sky = RgbImage::from_pixel(9, 9, Rgb([130, 180, 240]));
    assert_eq!(through_file(sky.clone(), ImageFormat::Png, color).hints, []);
    assert_eq!(through_file(sky, ImageFormat::Png, gray(9, 9)).hints, [Hint::OnlyBackground]);
    let snow = RgbImage::from_fn(9, 9, |x, y| Rgb([if x == 4 && y == 4 { 0 } else { 250 }; 3]));
    assert_eq!(through_file(snow, ImageFormat::Png, color).hints, []);

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

/// A picture of 143×97 pixels.
fn pattern() -> Picture {
    let pixel = |(x, y): (usize, usize)| [(3 * x + y) as u8, (x * y / 7) as u8, (x ^ y) as u8];
    let places = (0..97).flat_map(|y| (0..143).map(move |x| (x, y)));
    Picture {
        width: 143,
        height: 97,
        format: PictureFormat::Png,
        mode: PictureMode::Rgb,
        channels: 3,
        pixels: places.flat_map(pixel).collect(),
        alpha: None,
        is_rotated: false,
    }
}

fn fitted(
    picture: &Picture,
    channels: usize,
    height: usize,
    width: usize,
    resize: Resize,
) -> Vec<u8> {
    let shape = ImageShape { channels, height, width };
    let mut output = vec![0; shape.values()];
    fit(picture, &Fitting { shape, resize, background: Background([7, 8, 9]) }, &mut output);
    output
}

/// `[channels, height, width]` as `[height, width, channels]`.
fn interleaved(planes: &[u8], channels: usize) -> Vec<u8> {
    let plane = planes.len() / channels;
    (0..planes.len()).map(|index| planes[index % channels * plane + index / channels]).collect()
}

#[test]
fn resizing_photographs_agrees_with_pillow() {
    for (width, height) in [(32, 32), (40, 50), (9, 120)] {
        let found = fitted(&pattern(), 3, height, width, Resize::Stretch);
        let expected = reference(&format!("resized-{width}x{height}.rgb"));
        assert_eq!(found.len(), expected.len());
        let found = interleaved(&found, 3);
        let worst = found.iter().zip(&expected).map(|(one, other)| one.abs_diff(*other));
        assert!(worst.max() <= Some(1), "{width}×{height}");
    }
}

#[test]
fn resizing_gives_the_same_pixels_without_vector_instructions() {
    use fast_image_resize::images::{Image, ImageRef};
    use fast_image_resize::{
        CpuExtensions, FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    };
    let picture = pattern();
    for (width, height) in [(1, 1), (32, 32), (17, 90), (300, 5), (224, 224)] {
        let source = ImageRef::new(143, 97, &picture.pixels, PixelType::U8x3).expect("valid");
        let mut target = Image::new(width as u32, height as u32, PixelType::U8x3);
        let mut resizer = Resizer::new();
        #[expect(
            unsafe_code,
            reason = "the function is unsafe for extensions that a processor may not have"
        )]
        // SAFETY: every processor can do without extensions.
        unsafe {
            resizer.set_cpu_extensions(CpuExtensions::None);
        }
        let triangle = ResizeAlg::Convolution(FilterType::Bilinear);
        let options = ResizeOptions::new().resize_alg(triangle).use_alpha(false);
        resizer.resize(&source, &mut target, &options).expect("valid");
        let found = fitted(&picture, 3, height, width, Resize::Stretch);
        assert_eq!(interleaved(&found, 3), target.buffer(), "{width}×{height}");
    }
}

#[test]
fn crop_keeps_the_center() {
    // Rows of 0 to 4, with columns of 10 each.
    let pixels = (0..5).flat_map(|y| (0..9).map(move |x| 10 * x + y)).collect();
    let picture =
        Picture { width: 9, height: 5, channels: 1, mode: PictureMode::Gray, pixels, ..pattern() };
    let expected: Vec<u8> = (0..5).flat_map(|y| (2..7).map(move |x| 10 * x + y)).collect();
    assert_eq!(fitted(&picture, 1, 5, 5, Resize::Crop), expected);
    let expected: Vec<u8> = (1..4).flat_map(|y| (0..9).map(move |x| 10 * x + y)).collect();
    assert_eq!(fitted(&picture, 1, 3, 9, Resize::Crop), expected);
    // Cropping and resizing is resizing the crop: the columns 2 to 6 of the 5 rows.
    let mut crop = picture.clone();
    crop.width = 5;
    crop.pixels = (0..5).flat_map(|y| (2..7).map(move |x| 10 * x + y)).collect();
    let resized = fitted(&crop, 1, 3, 3, Resize::Stretch);
    assert_eq!(fitted(&picture, 1, 3, 3, Resize::Crop), resized);
}

#[test]
fn pad_adds_a_border_of_the_background() {
    let pixels = (1..=6).collect();
    let picture =
        Picture { width: 3, height: 2, channels: 1, mode: PictureMode::Gray, pixels, ..pattern() };
    // The luma of the background is 0.299 · 7 + 0.587 · 8 + 0.114 · 9 = 7.8.
    let expected = [[1, 2, 3], [4, 5, 6], [8, 8, 8]];
    assert_eq!(fitted(&picture, 1, 3, 3, Resize::Pad), expected.concat());
    let expected = [[8, 1, 2, 3, 8], [8, 4, 5, 6, 8]];
    assert_eq!(fitted(&picture, 1, 2, 5, Resize::Pad), expected.concat());
    let padded = fitted(&picture, 3, 3, 3, Resize::Pad);
    assert_eq!(padded[6..9], [7; 3]);
    assert_eq!(padded[24..27], [9; 3]);
    // Even the thinnest picture has a pixel.
    let thin = Picture { width: 6, height: 1, ..picture };
    assert_eq!(fitted(&thin, 1, 5, 1, Resize::Pad).iter().filter(|&&pixel| pixel != 8).count(), 1);
}

#[test]
fn hidden_colors_do_not_leak() {
    // Transparent white next to opaque red, over the background.
    let pixels = [[255, 255, 255], [200, 0, 0]].repeat(8).concat();
    let alpha = Some([0, 255].repeat(8));
    let picture =
        Picture { width: 4, height: 4, pixels, alpha, mode: PictureMode::Rgba, ..pattern() };
    // The mean of (7, 8, 9) and (200, 0, 0) is (103.5, 4, 4.5).
    let found = fitted(&picture, 3, 1, 1, Resize::Stretch);
    assert!(
        found.iter().zip([103, 4, 4]).all(|(one, other)| (0..=1).contains(&(one - other))),
        "{found:?}"
    );
}
