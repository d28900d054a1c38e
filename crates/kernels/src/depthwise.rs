//! Convolution with one input channel per group. There is no sum over channels that would reuse a loaded register, so a
//! plane is read where it is, several registers at a time, and columns with the same taps are one run of adjacent values.

use pulp::{Simd, WithSimd};

use crate::convolution::{Convolution, Pass};
use crate::correlation::{DirectCorrelation, Source, list_columns};
use crate::finish::Finish;
use crate::moments::{LANES, add_lanes, sum_of_lanes};
use crate::weight_gradient::WeightGradient;
use crate::workspace::ConvolutionBuffers;

/// Whether this module computes the convolution.
pub(crate) fn is_depthwise(convolution: &Convolution) -> bool {
    convolution.groups > 1 && convolution.group_channels() == 1
}

/// As [`DirectCorrelation`].
pub(crate) struct DepthwiseCorrelation<'a>(pub(crate) DirectCorrelation<'a>);

impl WithSimd for DepthwiseCorrelation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let DirectCorrelation { convolution, pass, targets, out, buffers } = self.0;
        let Pass { source, weights, bias, values, n, finish, .. } = pass;
        let ConvolutionBuffers { pairs, pair_starts, products, .. } = buffers;
        let [rows, columns] = convolution.axes();
        let (filters, taps) = (convolution.group_filters(), convolution.taps());
        let input = [convolution.input.channels, rows.input, columns.input];
        let output = [convolution.filters, rows.output, columns.output];
        let (from, to) = match source {
            Source::Input => (input, output),
            Source::Gradient => (output, input),
        };
        list_columns(source, columns, to[2], pairs, pair_starts);
        let pairs_of = |x: usize| &pairs[pair_starts[x]..pair_starts[x + 1]];
        for channel in targets.clone() {
            let own = channel - targets.start;
            let sources = match source {
                Source::Input => channel / filters..channel / filters + 1,
                Source::Gradient => channel * filters..(channel + 1) * filters,
            };
            let bias = bias.get(channel).copied().unwrap_or(0.0);
            for y in 0..to[1] {
                let line = (own * to[1] + y) * to[2] * n;
                let line = &mut out[line..line + to[2] * n];
                let mut first = 0;
                while first < to[2] {
                    let positions = run_length(&pairs_of, first, to[2]);
                    products.clear();
                    for from_channel in sources.clone() {
                        let filter = if source == Source::Input { channel } else { from_channel };
                        for tap in 0..rows.kernel {
                            let Some(row) = source.position(rows, y, tap) else { continue };
                            let row_start = (from_channel * from[1] + row) * from[2];
                            let kernel = &weights[filter * taps + tap * columns.kernel..];
                            products.extend(pairs_of(first).iter().map(|&(tap, column)| {
                                (kernel[tap as usize], (row_start + column as usize) * n)
                            }));
                        }
                    }
                    let out = &mut line[first * n..(first + positions) * n];
                    sum_products(simd, bias, products, values, out, finish);
                    first += positions;
                }
            }
        }
    }
}

/// The number of columns from `first` on that have the same taps, with adjacent sources.
#[inline(always)]
fn run_length<'a>(
    pairs_of: &impl Fn(usize) -> &'a [(u32, u32)],
    first: usize,
    width: usize,
) -> usize {
    let continues = |x: &usize| {
        let (before, pairs) = (pairs_of(x - 1), pairs_of(*x));
        before.len() == pairs.len()
            && before.iter().zip(pairs).all(|(before, pair)| (before.0, before.1 + 1) == *pair)
    };
    1 + (first + 1..width).take_while(continues).count()
}

/// Writes bias + Σ weight · values, from the index of each product on.
#[inline(always)]
fn sum_products<S: Simd>(
    simd: S,
    bias: f32,
    products: &[(f32, usize)],
    values: &[f32],
    out: &mut [f32],
    finish: Finish,
) {
    const REGISTERS: usize = 4;
    let lanes = S::F32_LANES;
    let whole = out.len() / (REGISTERS * lanes) * (REGISTERS * lanes);
    let (tiles, rest) = out.split_at_mut(whole);
    for (tile, out) in tiles.chunks_exact_mut(REGISTERS * lanes).enumerate() {
        let mut sums = [simd.splat_f32s(bias); REGISTERS];
        for (weight, index) in products {
            let weight = simd.splat_f32s(*weight);
            let values = &values[index + tile * REGISTERS * lanes..][..REGISTERS * lanes];
            for (sum, values) in sums.iter_mut().zip(S::as_simd_f32s(values).0) {
                *sum = simd.mul_add_f32s(weight, *values, *sum);
            }
        }
        for (out, sum) in S::as_mut_simd_f32s(out).0.iter_mut().zip(sums) {
            *out = finish.apply(simd, sum, || *out);
        }
    }
    for (part, out) in rest.chunks_mut(lanes).enumerate() {
        let mut sum = simd.splat_f32s(bias);
        for (weight, index) in products {
            let values = &values[index + whole + part * lanes..][..out.len()];
            let values = simd.partial_load_f32s(values);
            sum = simd.mul_add_f32s(simd.splat_f32s(*weight), values, sum);
        }
        let value = finish.apply(simd, sum, || simd.partial_load_f32s(out));
        simd.partial_store_f32s(out, value);
    }
}

/// See [`Convolution::weight_gradient`].
pub(crate) struct DepthwiseWeightGradient<'a>(pub(crate) WeightGradient<'a>);

impl WithSimd for DepthwiseWeightGradient<'_> {
    type Output = ();

    // Value i of a run is summed in lane i mod 16, first over a run in 32 bits and then over runs in 64 bits, and the lanes
    // are added in a fixed order, so the sum does not depend on the width of the registers.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let WeightGradient { convolution, x, gradient, n, targets, out, blend, buffers } = self.0;
        let ConvolutionBuffers { pairs, pair_starts, lane_sums, .. } = buffers;
        let [rows, columns] = convolution.axes();
        let (filters, taps) = (convolution.group_filters(), convolution.taps());
        list_columns(Source::Input, columns, columns.output, pairs, pair_starts);
        let pairs_of = |x: usize| &pairs[pair_starts[x]..pair_starts[x + 1]];
        for filter in targets.clone() {
            let channel = filter / filters;
            lane_sums.clear();
            lane_sums.resize(taps, [0.0; LANES]);
            for y in 0..rows.output {
                let line = (filter * rows.output + y) * columns.output * n;
                let line = &gradient[line..line + columns.output * n];
                let mut first = 0;
                while first < columns.output {
                    let positions = run_length(&pairs_of, first, columns.output);
                    let gradient = &line[first * n..(first + positions) * n];
                    for tap in 0..rows.kernel {
                        let Some(row) = rows.input_of(y, tap) else { continue };
                        let row = (channel * rows.input + row) * columns.input;
                        let row = &x[row * n..][..columns.input * n];
                        let sums = &mut lane_sums[tap * columns.kernel..][..columns.kernel];
                        let (triples, rest) = pairs_of(first).as_chunks::<3>();
                        for pairs in triples {
                            add_products(simd, gradient, row, n, *pairs, sums);
                        }
                        for pair in rest {
                            add_products(simd, gradient, row, n, [*pair], sums);
                        }
                    }
                    first += positions;
                }
            }
            for (out, sums) in
                out[(filter - targets.start) * taps..][..taps].iter_mut().zip(&*lane_sums)
            {
                *out = blend.apply(*out, sum_of_lanes(*sums) as f32);
            }
        }
    }
}

/// Adds the products of a run with the sources of some taps to the sums of the taps.
#[inline(always)]
fn add_products<S: Simd, const TAPS: usize>(
    simd: S,
    gradient: &[f32],
    row: &[f32],
    n: usize,
    pairs: [(u32, u32); TAPS],
    sums: &mut [[f64; LANES]],
) {
    let registers = LANES / S::F32_LANES;
    // Only as many registers as the virtual lanes need are used; the compiler removes the others.
    let mut run_sums = [[simd.splat_f32s(0.0); LANES]; TAPS];
    let sources = pairs.map(|(_, column)| &row[column as usize * n..][..gradient.len()]);
    let (groups, rest) = gradient.as_chunks::<LANES>();
    for (index, group) in groups.iter().enumerate() {
        let group = S::as_simd_f32s(group).0;
        for (source, sums) in sources.iter().zip(&mut run_sums) {
            let values = S::as_simd_f32s(&source[index * LANES..][..LANES]).0;
            for register in 0..registers {
                sums[register] =
                    simd.mul_add_f32s(group[register], values[register], sums[register]);
            }
        }
    }
    for ((source, run_sums), (tap, _)) in sources.iter().zip(run_sums).zip(pairs) {
        let mut lanes = [0.0; LANES];
        S::as_mut_simd_f32s(&mut lanes).0.copy_from_slice(&run_sums[..registers]);
        let values = &source[groups.len() * LANES..];
        for ((lane, gradient), value) in lanes.iter_mut().zip(rest).zip(values) {
            *lane = gradient.mul_add(*value, *lane);
        }
        add_lanes(&mut sums[tap as usize], &lanes);
    }
}
