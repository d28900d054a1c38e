//! Normalisation and batches.

use kiln_data::{
    Batch, DataError, ImageShape, LabelledImages, Normalize, Normalizer, NormalizerParameters,
    gather,
};

/// Three images of two pixels. The first two: 0, 10 and 4, 10; the third is not trained on.
fn images() -> LabelledImages {
    LabelledImages {
        shape: ImageShape { channels: 1, height: 1, width: 2 },
        pixels: vec![0, 10, 4, 10, 255, 255],
        labels: vec![2, 0, 1],
    }
}

fn normalized(normalizer: &Normalizer, pixels: &[u8]) -> Vec<f32> {
    let mut numbers = vec![f32::NAN; pixels.len()];
    normalizer.normalize(pixels, &mut numbers);
    numbers
}

#[test]
fn unit_and_none_know_nothing_of_the_data() {
    let unit = Normalize::Unit.fit(&images(), &[]).expect("needs no rows");
    assert_eq!(normalized(&unit, &[0, 51, 255]), [0.0, 0.2, 1.0]);
    let none = Normalize::None.fit(&images(), &[]).expect("needs no rows");
    assert_eq!(normalized(&none, &[0, 51, 255]), [0.0, 51.0, 255.0]);
}

#[test]
fn unit_is_the_nearest_number_to_a_255th_of_every_byte() {
    let unit = Normalize::Unit.fit(&images(), &[]).expect("needs no rows");
    let bytes: Vec<u8> = (0..=255).collect();
    let nearest: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
    assert_eq!(normalized(&unit, &bytes), nearest);
}

#[test]
fn standardize_is_fitted_on_the_rows_it_is_given() {
    let normalizer = Normalize::Standardize.fit(&images(), &[0, 1]).expect("there are rows");
    // 0, 10, 4, 10: mean 6, squared distances 36 + 16 + 4 + 16 = 72, variance 72 / 4 = 18.
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
fn standardize_per_pixel_leaves_constant_pixels_centred() {
    let normalizer =
        Normalize::StandardizePerPixel.fit(&images(), &[0, 1]).expect("there are rows");
    // 0 and 4: mean 2, deviation 2. 10 and 10: mean 10, deviation 0, which counts as 1.
    assert_eq!(
        *normalizer.parameters(),
        NormalizerParameters::StandardizePerPixel {
            mean: vec![2.0, 10.0],
            standard_deviation: vec![2.0, 1.0],
        }
    );
    assert_eq!(normalized(&normalizer, &[0, 10, 4, 13]), [-1.0, 0.0, 1.0, 3.0]);
    normalizer.check_size(2).expect("fitted on two pixels");
    assert!(matches!(
        normalizer.check_size(3),
        Err(DataError::NormalizerSize { fitted: 2, found: 3 })
    ));
}

#[test]
fn an_image_of_one_colour_has_deviation_one() {
    let images = LabelledImages { pixels: vec![7; 6], ..images() };
    let normalizer = Normalize::Standardize.fit(&images, &[0, 1, 2]).expect("there are rows");
    assert_eq!(normalized(&normalizer, &[7, 9]), [0.0, 2.0]);
}

#[test]
fn statistics_need_rows() {
    for method in [Normalize::Standardize, Normalize::StandardizePerPixel] {
        assert!(matches!(method.fit(&images(), &[]), Err(DataError::NothingToFit)));
    }
}

/// To the last bit, or prediction would not see what training saw. Whoever stores one as JSON needs
/// serde_json's `float_roundtrip`: without it, one number in seven comes back next to itself.
#[test]
fn a_normalizer_is_the_same_after_storing_it() {
    let pixels = (0..3 * 784_u32).map(|index| (index * index % 251) as u8).collect();
    let shape = ImageShape { channels: 1, height: 28, width: 28 };
    let images = LabelledImages { shape, pixels, labels: vec![0; 3] };
    for &method in Normalize::ALL {
        let normalizer = method.fit(&images, &[0, 1, 2]).expect("there are rows");
        let json = serde_json::to_string(&normalizer).expect("numbers are finite");
        let read: Normalizer = serde_json::from_str(&json).expect("as it was written");
        assert_eq!(read, normalizer, "{method}");
        assert!(json.starts_with(&format!("{{\"type\":\"{method}\"")), "{json}");
    }
}

#[test]
fn a_stored_normalizer_that_cannot_normalise_is_refused() {
    for (json, problem) in [
        (r#"{"type":"standardize","mean":3.0,"standard_deviation":0.0}"#, "not above 0"),
        (r#"{"type":"standardize","mean":3.0,"standard_deviation":-1.0}"#, "not above 0"),
        (r#"{"type":"standardize","mean":3.0,"standard_deviation":1e-200}"#, "not above 0"),
        (r#"{"type":"standardize","mean":1e300,"standard_deviation":1.0}"#, "mean"),
        (r#"{"type":"standardize","mean":null,"standard_deviation":1.0}"#, "null"),
        (r#"{"type":"standardize_per_pixel","mean":[],"standard_deviation":[]}"#, "no pixel"),
        (r#"{"type":"standardize_per_pixel","mean":[1.0],"standard_deviation":[]}"#, "as many"),
        (r#"{"type":"standardize"}"#, "mean"),
        (r#"{"type":"whiten"}"#, "whiten"),
    ] {
        let error = serde_json::from_str::<Normalizer>(json).expect_err("unusable").to_string();
        assert!(error.contains(problem), "{json}: {error}");
    }
}

#[test]
fn a_batch_holds_the_rows_in_their_order() {
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
    assert_eq!(batch.pixels.as_ptr(), buffer, "the buffer is used again");
}
