//! Normalization and batches.

use kiln_data::{
    Batch, DataError, ImageShape, LabeledImages, Normalize, Normalizer, NormalizerParameters,
    gather, gather_mirrored, mirrored,
};

/// Three images of two pixels: (0, 10), (4, 10), and (255, 255), which most tests do not fit on.
fn images() -> LabeledImages {
    LabeledImages {
        shape: ImageShape { channels: 1, height: 1, width: 2 },
        pixels: vec![0, 10, 4, 10, 255, 255].into(),
        labels: vec![2, 0, 1],
    }
}

fn normalized(normalizer: &Normalizer, pixels: &[u8]) -> Vec<f32> {
    let mut numbers = vec![f32::NAN; pixels.len()];
    normalizer.normalize(pixels, &mut numbers);
    numbers
}

#[test]
fn unit_and_none_need_no_statistics() {
    let unit = Normalize::Unit.fit(&images(), &[]).expect("needs no rows");
    assert_eq!(normalized(&unit, &[0, 51, 255]), [0.0, 0.2, 1.0]);
    let none = Normalize::None.fit(&images(), &[]).expect("needs no rows");
    assert_eq!(normalized(&none, &[0, 51, 255]), [0.0, 51.0, 255.0]);
}

#[test]
fn unit_is_the_f32_nearest_to_each_byte_over_255() {
    let unit = Normalize::Unit.fit(&images(), &[]).expect("needs no rows");
    let bytes: Vec<u8> = (0..=255).collect();
    let nearest: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
    assert_eq!(normalized(&unit, &bytes), nearest);
}

#[test]
fn standardize_is_fitted_on_the_given_rows_only() {
    let normalizer = Normalize::Standardize.fit(&images(), &[0, 1]).expect("there are rows");
    // 0, 10, 4, 10: mean 6, squared deviations 36 + 16 + 4 + 16 = 72, variance 72 / 4 = 18.
    let expected =
        NormalizerParameters::Standardize { mean: 6.0, standard_deviation: 18_f64.sqrt() };
    assert_eq!(*normalizer.parameters(), expected);
    let deviation = 18_f32.sqrt();
    for (number, expected) in normalized(&normalizer, &[6, 0, 255]).into_iter().zip([
        0.0,
        -6.0 / deviation,
        249.0 / deviation,
    ]) {
        assert!((number - expected).abs() <= 1e-6 * expected.abs(), "{number} {expected}");
    }
}

#[test]
fn standardize_per_pixel_centers_constant_pixels() {
    let normalizer =
        Normalize::StandardizePerPixel.fit(&images(), &[0, 1]).expect("there are rows");
    // 0 and 4: mean 2, standard deviation 2. 10 and 10: mean 10, standard deviation 0, replaced by a tenth of the root
    // mean square of 2 and 0, which is √2.
    let floor = 0.1 * 2_f64.sqrt();
    assert_eq!(
        *normalizer.parameters(),
        NormalizerParameters::StandardizePerPixel {
            mean: vec![2.0, 10.0],
            standard_deviation: vec![2.0, floor],
        }
    );
    let numbers = normalized(&normalizer, &[0, 10, 4, 13]);
    assert_eq!(numbers[..3], [-1.0, 0.0, 1.0]);
    assert!((f64::from(numbers[3]) - 3.0 / floor).abs() < 1e-5);
    normalizer.check_size(2).expect("fitted on two pixels");
    assert!(matches!(
        normalizer.check_size(3),
        Err(DataError::NormalizerSize { fitted: 2, found: 3 })
    ));
}

/// Images of 3 channels of 2 pixels.
fn color(pixels: &[u8]) -> LabeledImages {
    LabeledImages {
        shape: ImageShape { channels: 3, height: 1, width: 2 },
        pixels: pixels.to_vec().into(),
        labels: vec![0; pixels.len() / 6],
    }
}

#[test]
fn standardize_per_channel_has_a_mean_and_a_deviation_for_each_channel() {
    // Channels: 0, 4, 8, 12 (mean 6, variance 20), 7 everywhere, and 10, 10, 20, 20 (mean 15, variance 25).
    let images = color(&[0, 4, 7, 7, 10, 10, 8, 12, 7, 7, 20, 20]);
    let normalizer =
        Normalize::StandardizePerChannel.fit(&images, &[1, 0]).expect("there are rows");
    let floor = 0.1 * (45.0_f64 / 3.0).sqrt();
    let NormalizerParameters::StandardizePerChannel { pixels, mean, standard_deviation } =
        normalizer.parameters()
    else {
        panic!("another method: {normalizer:?}");
    };
    assert_eq!((*pixels, mean.as_slice()), (2, [6.0, 7.0, 15.0].as_slice()));
    for (found, expected) in standard_deviation.iter().zip([20_f64.sqrt(), floor, 5.0]) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
    // Two images at once.
    let numbers = normalized(&normalizer, &[6, 0, 7, 7, 15, 20, 6, 6, 7, 8, 10, 15]);
    let low = -(6.0 / 20_f64.sqrt()) as f32;
    let bright = (1.0 / floor) as f32;
    assert_eq!(numbers, [0.0, low, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, bright, -1.0, 0.0]);
    normalizer.check_size(6).expect("fitted on six values");
    assert!(matches!(
        normalizer.check_size(2),
        Err(DataError::NormalizerSize { fitted: 6, found: 2 })
    ));
}

#[test]
fn constant_images_are_normalized_to_zero() {
    let images = color(&[9; 12]);
    for method in
        [Normalize::Standardize, Normalize::StandardizePerChannel, Normalize::StandardizePerPixel]
    {
        let normalizer = method.fit(&images, &[0, 1]).expect("there are rows");
        assert_eq!(normalized(&normalizer, &[9, 9, 9, 9, 9, 11]), [0.0, 0.0, 0.0, 0.0, 0.0, 2.0]);
    }
}

/// A pixel with one gray level in one of a thousand images has a deviation of 0.032, so that the byte 255 would be 8,000
/// deviations from its mean.
#[test]
fn a_pixel_that_hardly_changes_yields_no_large_numbers() {
    let mut pixels = Vec::new();
    for image in 0..1000_u32 {
        pixels.extend([if image % 2 == 0 { 0 } else { 200 }, u8::from(image == 500)]);
    }
    let images = LabeledImages { pixels: pixels.into(), labels: vec![0; 1000], ..images() };
    let rows: Vec<u32> = (0..1000).collect();
    let normalizer = Normalize::StandardizePerPixel.fit(&images, &rows).expect("there are rows");
    let [typical, rare] = normalized(&normalizer, &[200, 255])[..] else { panic!("two pixels") };
    assert!((typical - 1.0).abs() < 1e-6, "{typical}");
    assert!((30.0..40.0).contains(&rare), "{rare}");
}

#[test]
fn one_replaces_a_standard_deviation_of_zero() {
    let images = LabeledImages { pixels: vec![7; 6].into(), ..images() };
    let normalizer = Normalize::Standardize.fit(&images, &[0, 1, 2]).expect("there are rows");
    assert_eq!(normalized(&normalizer, &[7, 9]), [0.0, 2.0]);
}

#[test]
fn statistics_need_rows() {
    for method in
        [Normalize::Standardize, Normalize::StandardizePerChannel, Normalize::StandardizePerPixel]
    {
        assert!(matches!(method.fit(&images(), &[]), Err(DataError::NothingToFit)));
    }
}

/// Prediction must normalize exactly as training did. This needs the feature `float_roundtrip` of
/// serde_json; without it, one number in seven differs in its last bit.
#[test]
fn a_stored_normalizer_reads_back_exactly() {
    let pixels: Vec<u8> = (0..3 * 784_u32).map(|index| (index * index % 251) as u8).collect();
    let pixels = pixels.into();
    let shape = ImageShape { channels: 1, height: 28, width: 28 };
    let images = LabeledImages { shape, pixels, labels: vec![0; 3] };
    for &method in Normalize::ALL {
        let normalizer = method.fit(&images, &[0, 1, 2]).expect("there are rows");
        let json = serde_json::to_string(&normalizer).expect("numbers are finite");
        let read: Normalizer = serde_json::from_str(&json).expect("as it was written");
        assert_eq!(read, normalizer, "{method}");
        assert!(json.starts_with(&format!("{{\"type\":\"{method}\"")), "{json}");
    }
}

#[test]
fn an_invalid_stored_normalizer_is_an_error() {
    for (json, problem) in [
        (r#"{"type":"standardize","mean":3.0,"standard_deviation":0.0}"#, "not above 0"),
        (r#"{"type":"standardize","mean":3.0,"standard_deviation":-1.0}"#, "not above 0"),
        (r#"{"type":"standardize","mean":3.0,"standard_deviation":1e-200}"#, "not above 0"),
        (r#"{"type":"standardize","mean":1e300,"standard_deviation":1.0}"#, "mean"),
        (r#"{"type":"standardize","mean":null,"standard_deviation":1.0}"#, "null"),
        (r#"{"type":"standardize_per_pixel","mean":[],"standard_deviation":[]}"#, "no statistics"),
        (r#"{"type":"standardize_per_pixel","mean":[1.0],"standard_deviation":[]}"#, "differ"),
        (
            r#"{"type":"standardize_per_channel","pixels":0,"mean":[1.0],"standard_deviation":[1.0]}"#,
            "no pixels",
        ),
        (
            r#"{"type":"standardize_per_channel","pixels":4,"mean":[1.0],"standard_deviation":[0.0]}"#,
            "not above 0",
        ),
        (r#"{"type":"standardize"}"#, "mean"),
        (r#"{"type":"whiten"}"#, "whiten"),
    ] {
        let error = serde_json::from_str::<Normalizer>(json).expect_err("invalid").to_string();
        assert!(error.contains(problem), "{json}: {error}");
    }
}

#[test]
fn a_batch_has_the_rows_in_the_given_order() {
    let images = images();
    let none = Normalize::None.fit(&images, &[]).expect("needs no rows");
    let mut batch = Batch::new(images.shape);
    assert!(batch.is_empty());

    gather(&images, &[2, 0, 2], &none, &mut batch);
    assert_eq!(batch.labels, [1, 2, 1]);
    assert_eq!(batch.pixels, [255.0, 255.0, 0.0, 10.0, 255.0, 255.0]);
    let buffer = batch.pixels.as_ptr();

    gather(&images, &[1], &none, &mut batch);
    assert_eq!((batch.len(), batch.labels.as_slice()), (1, [0].as_slice()));
    assert_eq!(batch.pixels, [4.0, 10.0]);
    assert_eq!(batch.pixels.as_ptr(), buffer, "the buffer is reused");
}

#[test]
fn mirrored_images_are_mirrored_before_they_are_normalized() {
    let shape = ImageShape { channels: 2, height: 1, width: 3 };
    let pixels = [[1, 2, 3, 4, 5, 6], [3, 4, 9, 8, 5, 2]];
    let images = LabeledImages { shape, pixels: pixels.concat().into(), labels: vec![0, 1] };
    assert_eq!(mirrored(&pixels[0], 3), [3, 2, 1, 6, 5, 4]);
    let mut batch = Batch::new(shape);
    let none = Normalize::None.fit(&images, &[]).expect("needs no rows");
    gather_mirrored(&images, &[1, 0], &none, &mut batch);
    assert_eq!(batch.labels, [1, 0]);
    assert_eq!(batch.pixels, [9.0, 4.0, 3.0, 2.0, 5.0, 8.0, 3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);

    // With statistics of each pixel, the order makes a difference.
    let per_pixel = Normalize::StandardizePerPixel.fit(&images, &[0, 1]).expect("has rows");
    let mut expected = vec![0.0; 6];
    per_pixel.normalize(&mirrored(&pixels[1], 3), &mut expected);
    gather_mirrored(&images, &[1], &per_pixel, &mut batch);
    assert_eq!(batch.pixels, expected);
}
