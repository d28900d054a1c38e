//! Decoding pictures of all formats.

use std::fs;
use std::path::Path;

use kiln_data::picture::{PictureFormat, decode, size};
use kiln_data::{PictureError, PictureMode};

use crate::common::reference;

/// Pictures of 21×13 pixels, written by Pillow 12 and libjpeg-turbo, libwebp and libtiff, except that one byte of `ycck.jpg`
/// was changed. With the largest difference from the pixels that Pillow decodes: decoders of JPEG round differently.
#[rustfmt::skip]
const PICTURES: [(&str, PictureFormat, PictureMode, u8); 38] = {
    use PictureFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    use PictureMode::{Cmyk, Gray, Gray16, GrayAlpha, Palette, Rgb, Rgba};
    [
        ("rgb.png", Png, Rgb, 0), ("rgba.png", Png, Rgba, 0), ("gray.png", Png, Gray, 0),
        ("gray-alpha.png", Png, GrayAlpha, 0), ("gray16.png", Png, Gray16, 0), ("one-bit.png", Png, Gray, 0),
        ("indexed.png", Png, Palette, 0), ("palette-transparent.png", Png, Palette, 0), ("exif6.png", Png, Rgb, 0),
        ("baseline.jpg", Jpeg, Rgb, 4), ("progressive-color.jpg", Jpeg, Rgb, 4), ("restart.jpg", Jpeg, Rgb, 4),
        ("gray.jpg", Jpeg, Gray, 1), ("cmyk.jpg", Jpeg, Cmyk, 2), ("ycck.jpg", Jpeg, Cmyk, 3),
        ("exif2.jpg", Jpeg, Rgb, 4), ("exif6.jpg", Jpeg, Rgb, 4), ("exif7.jpg", Jpeg, Rgb, 4),
        ("lossy.webp", WebP, Rgb, 0), ("lossy-alpha.webp", WebP, Rgba, 0), ("lossless.webp", WebP, Rgba, 0),
        ("animated.webp", WebP, Rgba, 0), ("exif6.webp", WebP, Rgb, 0),
        ("rgb.bmp", Bmp, Rgb, 0), ("palette.bmp", Bmp, Palette, 0), ("one-bit.bmp", Bmp, Palette, 0),
        ("palette.gif", Gif, Palette, 0), ("gray.gif", Gif, Palette, 0), ("transparent.gif", Gif, Palette, 0),
        ("interlaced.gif", Gif, Palette, 0), ("animated.gif", Gif, Palette, 0),
        ("rgb.tif", Tiff, Rgb, 0), ("lzw.tif", Tiff, Rgb, 0), ("deflate.tif", Tiff, Rgba, 0),
        ("fax.tif", Tiff, Gray, 0), ("gray16.tif", Tiff, Gray16, 0), ("cmyk.tif", Tiff, Cmyk, 0), ("exif6.tif", Tiff, Rgb, 0),
    ]
};

/// An encoded picture; they are also the seeds of the fuzz target.
fn encoded(name: &str) -> Vec<u8> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/image");
    fs::read(directory.join(name)).expect("a picture")
}

#[test]
fn pictures_of_all_formats_and_modes_are_decoded_as_by_pillow() {
    for (name, format, mode, tolerance) in PICTURES {
        let bytes = encoded(name);
        let picture = decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((picture.format, picture.mode), (format, mode), "{name}");
        let is_turned = name.starts_with("exif") && !name.starts_with("exif2");
        let expected = if is_turned { (13, 21) } else { (21, 13) };
        assert_eq!((picture.width, picture.height), expected, "{name}");
        assert_eq!(picture.is_rotated, name.starts_with("exif"), "{name}");

        let info = size(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((info.width, info.height), expected, "{name}");
        assert_eq!((info.format, info.mode), (format, mode), "{name}");
        assert_eq!(info.has_color, picture.channels == 3, "{name}");
        assert!(info.has_alpha || picture.alpha.is_none(), "{name}");

        let reference = reference(&format!("{name}.rgba"));
        assert_eq!(reference.len(), 4 * 21 * 13);
        for (pixel, expected) in reference.chunks_exact(4).enumerate() {
            let alpha = picture.alpha.as_ref().map_or(255, |alpha| alpha[pixel]);
            assert_eq!(alpha, expected[3], "{name}, pixel {pixel}");
            let channels = picture.channels;
            let found: [u8; 3] = std::array::from_fn(|channel| {
                picture.pixels[pixel * channels + channel % channels]
            });
            let close =
                found.iter().zip(expected).all(|(one, other)| one.abs_diff(*other) <= tolerance);
            // The color of a transparent pixel does not matter.
            assert!(close || alpha == 0, "{name}, pixel {pixel}: {found:?}, not {expected:?}");
        }
    }
}

#[test]
fn a_picture_that_is_cut_off_is_an_error_or_has_all_its_pixels() {
    for (name, ..) in PICTURES {
        let bytes = encoded(name);
        let intact = decode(&bytes).expect(name);
        let mut errors = 0;
        for length in 0..bytes.len() {
            match decode(&bytes[..length]) {
                Ok(picture) => assert_eq!(picture, intact, "{name}, cut at {length}"),
                Err(_) => errors += 1,
            }
        }
        assert!(errors > 100, "{name}: {errors} of {}", bytes.len());
        // Many programs add bytes after the end.
        assert_eq!(decode(&[bytes, vec![0x5a; 100]].concat()).expect(name), intact, "{name}");
    }
}

#[test]
fn a_jpeg_picture_whose_thumbnail_is_intact_is_cut_off_all_the_same() {
    let intact = encoded("baseline.jpg");
    let thumbnail = [b"Thumb\0".as_slice(), &encoded("gray.jpg")].concat();
    let length = (thumbnail.len() as u16 + 2).to_be_bytes();
    let with_thumbnail = [&intact[..2], &[0xff, 0xe5], &length, &thumbnail, &intact[2..]].concat();
    assert_eq!(
        decode(&with_thumbnail).expect("intact").pixels,
        decode(&intact).expect("intact").pixels
    );
    let error = decode(&with_thumbnail[..with_thumbnail.len() - 2]).expect_err("no end");
    assert!(matches!(error, PictureError::CutOff { format: PictureFormat::Jpeg }), "{error}");
}

#[test]
fn what_is_not_a_picture_is_an_error() {
    assert!(matches!(decode(b""), Err(PictureError::Empty)));
    for text in ["text", "BMW is a car with four wheels and a motor", "<svg>", "\0\0\0\x1cftypheic"]
    {
        let error = decode(text.as_bytes()).expect_err(text);
        assert!(matches!(error, PictureError::Unknown { .. }), "{text}: {error}");
        assert!(size(text.as_bytes()).is_err());
    }
}

/// The results do not depend on the vector instructions of the processor.
#[test]
fn decoding_jpeg_gives_the_same_pixels_without_vector_instructions() {
    use zune_core::{bytestream::ZCursor, options::DecoderOptions};
    for name in
        ["baseline.jpg", "progressive-color.jpg", "restart.jpg", "gray.jpg", "cmyk.jpg", "ycck.jpg"]
    {
        let bytes = encoded(name);
        let options = DecoderOptions::default().set_use_unsafe(false);
        let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(&bytes), options);
        decoder.decode_headers().expect(name);
        if name == "gray.jpg" {
            let gray = zune_core::colorspace::ColorSpace::Luma;
            decoder.set_options(decoder.options().jpeg_set_out_colorspace(gray));
        }
        assert_eq!(decode(&bytes).expect(name).pixels, decoder.decode().expect(name), "{name}");
    }
}
