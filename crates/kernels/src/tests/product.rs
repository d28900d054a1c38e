use proptest::prelude::*;

use super::support::{assert_close, random, with_all_instructions};
use crate::{Blend, Matrix, multiply_into};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_product_is_the_sum_over_the_inner_dimension(
        rows in 1..=30_usize,
        depth in 1..=80_usize,
        columns in prop_oneof![Just(1_usize), 1..=70_usize],
        transposed: (bool, bool),
        decay in prop::option::of(0.0..1.0_f32),
        seed: u32,
    ) {
        let values = [(0, rows * depth), (1, depth * columns), (2, rows * columns)];
        let [left, right, before] = values.map(|(index, count)| random(u64::from(seed) + index, count));
        let matrix = |values, rows, columns, transposed| if transposed {
            Matrix::new(values, columns, rows).transposed()
        } else {
            Matrix::new(values, rows, columns)
        };
        let element = |values: &[f32], size: [usize; 2], transposed, row, column| {
            let index = if transposed { column * size[0] + row } else { row * size[1] + column };
            f64::from(values[index])
        };
        let mut expected = Vec::new();
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let old = f64::from(before[expected.len()]) * f64::from(decay.unwrap_or(0.0));
            let products = (0..depth).map(|k| {
                element(&left, [rows, depth], transposed.0, row, k)
                    * element(&right, [depth, columns], transposed.1, k, column)
            });
            expected.push(old + products.sum::<f64>());
        }
        let actual = with_all_instructions(|workspace| {
            let mut out = before.clone();
            let blend = decay.map_or(Blend::Replace, Blend::DecayAndAdd);
            let left = matrix(&left, rows, depth, transposed.0);
            let right = matrix(&right, depth, columns, transposed.1);
            multiply_into(&mut out, blend, left, right, workspace);
            out
        });
        assert_close(&actual, &expected, 1e-5);
    }
}

/// Threads divide the rows of a large product and the packing of its right factor.
#[test]
fn threads_compute_the_rows_of_large_products() {
    // The second factor is packed in groups of columns, in both orders of its values.
    for (rows, depth, columns, transposed) in
        [(100, 800, 45, true), (130, 4000, 33, false), (61, 2500, 64, false)]
    {
        let [left, right, before] = [(0, rows * depth), (1, depth * columns), (2, rows * columns)]
            .map(|(seed, count)| random(seed, count));
        let element =
            |row, column| if transposed { column * depth + row } else { row * columns + column };
        let expected: Vec<f64> = (0..rows * columns)
            .map(|index| {
                let (row, column) = (index / columns, index % columns);
                let products = (0..depth).map(|k| {
                    f64::from(left[row * depth + k]) * f64::from(right[element(k, column)])
                });
                f64::from(before[index]) + products.sum::<f64>()
            })
            .collect();
        let actual = with_all_instructions(|workspace| {
            let mut out = before.clone();
            let right = match transposed {
                true => Matrix::new(&right, columns, depth).transposed(),
                false => Matrix::new(&right, depth, columns),
            };
            multiply_into(&mut out, Blend::Add, Matrix::new(&left, rows, depth), right, workspace);
            out
        });
        assert_close(&actual, &expected, 1e-5);
    }
}
