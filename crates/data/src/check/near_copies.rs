//! Images that look the same, such as a photograph that was saved twice with other settings.
//!
//! Candidates are pairs whose difference hashes differ in at most [`MAX_BITS`] of 64 bits. Of those, the pairs count whose
//! pixels are correlated.

use super::{Examined, Finding, MAX_EXAMPLES, Severity, Thoroughness, count};
use crate::{ImageInfo, ImageShape, LabeledImages, Part};

/// The largest number of different bits.
const MAX_BITS: u32 = 2;

/// The smallest correlation of the pixels of two images that look the same.
const MIN_CORRELATION: f64 = 0.998;

/// Correlations use about this many pixels of an image.
const SAMPLES: usize = 1024;

/// Each image is compared with at most this many images of the same hash, those with the nearest brightness.
const MAX_SAME_HASH: usize = 16;

/// Limit for the compared pairs, so that a set of nearly empty images takes seconds.
const MAX_PAIRS: usize = 500_000;

/// Pairs of images that look the same and are not exact copies.
pub(super) fn near_copies(examined: &Examined<'_>) -> Vec<Finding> {
    let images = &examined.dataset.images;
    // With fewer pixels than the hash has bits, different images have the same one.
    if examined.thoroughness == Thoroughness::Quick
        || images.shape.height * images.shape.width < 256
    {
        return Vec::new();
    }
    let samples = Samples::new(images.shape);
    let pairs: Vec<(u32, u32)> = candidates(images, &examined.dataset.info())
        .into_iter()
        .filter(|&(one, other)| samples.correlation(images, one, other) >= MIN_CORRELATION)
        .filter(|&(one, other)| !examined.groups.are_copies(one, other))
        .collect();
    if pairs.is_empty() {
        return Vec::new();
    }
    let mut parts = vec![Part::Training; images.len()];
    for part in [Part::Validation, Part::Test] {
        examined.rows(part).iter().for_each(|&row| parts[row as usize] = part);
    }
    let across = |pair: &&(u32, u32)| parts[pair.0 as usize] != parts[pair.1 as usize];
    let number = pairs.iter().filter(across).count();
    // Pairs across parts affect results, so they are shown first.
    let within = pairs.iter().filter(|pair| !across(pair));
    let shown = pairs.iter().filter(across).chain(within).take(MAX_EXAMPLES);
    vec![Finding {
        kind: "near_copies",
        severity: Severity::Hint,
        message: format!(
            "{} of images look the same, {number} of them across splits",
            count(pairs.len(), "pair")
        ),
        help: "look at them; keep images that belong together on one side with data.group".into(),
        count: pairs.len(),
        examples: shown
            .map(|&(one, other)| {
                format!("{} ~ {}", examined.image_name(one), examined.image_name(other))
            })
            .collect(),
    }]
}

/// Pairs of rows with similar hashes, each once.
fn candidates(images: &LabeledImages, info: &[ImageInfo]) -> Vec<(u32, u32)> {
    let mut hashed: Vec<(u64, u32, u32)> = info
        .iter()
        .enumerate()
        .map(|(row, info)| (info.difference_hash, brightness(images.image(row)), row as u32))
        .collect();
    hashed.sort_unstable();
    let mut pairs = Vec::new();
    for (position, &(hash, _, row)) in hashed.iter().enumerate() {
        let next = hashed[position + 1..].iter().take(MAX_SAME_HASH);
        for &(_, _, other) in next.take_while(|other| other.0 == hash) {
            pairs.push((row, other));
        }
    }
    let runs: Vec<&[(u64, u32, u32)]> = hashed.chunk_by(|one, other| one.0 == other.0).collect();
    // Two hashes with at most two different bits are equal in one of three disjoint sets of bits. Every third bit, so that
    // an empty border does not make a set the same for all images.
    let sets: [u64; MAX_BITS as usize + 1] =
        std::array::from_fn(|set| (0..64).filter(|bit| bit % 3 == set).map(|bit| 1 << bit).sum());
    let mut order: Vec<(u64, u32)> = Vec::with_capacity(runs.len());
    for (number, set) in sets.iter().enumerate() {
        order.clear();
        order.extend(runs.iter().enumerate().map(|(run, rows)| (rows[0].0 & set, run as u32)));
        order.sort_unstable();
        for same in order.chunk_by(|one, other| one.0 == other.0) {
            for (position, &(_, one)) in same.iter().enumerate() {
                let one = runs[one as usize];
                for &(_, other) in &same[position + 1..] {
                    let other = runs[other as usize];
                    let difference = one[0].0 ^ other[0].0;
                    // In an earlier set, the pair has been found already.
                    let is_new = sets[..number].iter().all(|set| difference & set != 0);
                    if difference.count_ones() <= MAX_BITS && is_new {
                        pairs.extend(nearest(one, other));
                        if pairs.len() >= MAX_PAIRS {
                            return pairs;
                        }
                    }
                }
            }
        }
    }
    pairs
}

/// For each row of the shorter list, the row of the other one with the nearest brightness.
fn nearest<'a>(
    one: &'a [(u64, u32, u32)],
    other: &'a [(u64, u32, u32)],
) -> impl Iterator<Item = (u32, u32)> + 'a {
    let (few, many) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    few.iter().take(MAX_SAME_HASH).map(|&(_, brightness, row)| {
        let place = many.partition_point(|&(_, other, _)| other < brightness);
        let near = &many[place.saturating_sub(1)..(place + 1).min(many.len())];
        let nearest = near.iter().min_by_key(|(_, other, _)| other.abs_diff(brightness));
        let other = nearest.map_or(row, |&(_, _, other)| other);
        (row.min(other), row.max(other))
    })
}

/// The mean of the pixels.
fn brightness(pixels: &[u8]) -> u32 {
    let sum: u64 = pixels.iter().map(|&pixel| u64::from(pixel)).sum();
    (sum / pixels.len().max(1) as u64) as u32
}

/// The values of an image that are compared.
struct Samples {
    values: Vec<usize>,
}

impl Samples {
    fn new(shape: ImageShape) -> Self {
        let side = ((SAMPLES / shape.channels.max(1)) as f64).sqrt() as usize;
        let (rows, columns) = (shape.height.min(side), shape.width.min(side));
        let mut values = Vec::with_capacity(shape.channels * rows * columns);
        for channel in 0..shape.channels {
            for row in 0..rows {
                let y = row * shape.height / rows;
                let line = (channel * shape.height + y) * shape.width;
                values.extend((0..columns).map(|column| line + column * shape.width / columns));
            }
        }
        Self { values }
    }

    /// Pearson's correlation coefficient of two images; 0 if one of them is constant.
    fn correlation(&self, images: &LabeledImages, one: u32, other: u32) -> f64 {
        let (one, other) = (images.image(one as usize), images.image(other as usize));
        let (mut sum, mut squares, mut products) = ([0_i64; 2], [0_i64; 2], 0_i64);
        for &value in &self.values {
            let (a, b) = (i64::from(one[value]), i64::from(other[value]));
            sum = [sum[0] + a, sum[1] + b];
            squares = [squares[0] + a * a, squares[1] + b * b];
            products += a * b;
        }
        let count = self.values.len() as i64;
        let variance = |index: usize| (count * squares[index] - sum[index] * sum[index]) as f64;
        let scale = (variance(0) * variance(1)).sqrt();
        if scale > 0.0 { (count * products - sum[0] * sum[1]) as f64 / scale } else { 0.0 }
    }
}
