//! Measures the passes of convolutions, and the peak of the processor in the same run. "Items" are the floating-point
//! operations of the direct form: two per product, without products with padding. For layers in the direct form, the
//! throughput divided by that of `peak` is the share of the peak. Minimal filtering needs fewer operations, so for those
//! layers the ratio can exceed 1.
//!
//!     cargo bench -p kiln-kernels

use std::fmt;

use divan::Bencher;
use divan::counter::ItemsCount;
use kiln_kernels::{Blend, Convolution, Instructions, Plane, Workspace, multiply_add_on_registers};

fn main() {
    divan::main();
}

/// Input channels, filters, and the height and width of the input; the kernel is 3 × 3 with padding 1 unless noted.
#[derive(Clone, Copy)]
struct Layer {
    channels: usize,
    filters: usize,
    size: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
    batch: usize,
}

const fn layer(channels: usize, filters: usize, size: usize) -> Layer {
    Layer { channels, filters, size, kernel: 3, stride: 1, groups: 1, batch: 32 }
}

const LAYERS: [Layer; 15] = [
    layer(1, 32, 28),
    layer(3, 32, 32),
    layer(4, 32, 28),
    layer(16, 16, 28),
    layer(16, 32, 28),
    layer(32, 32, 28),
    layer(32, 64, 14),
    layer(64, 64, 14),
    layer(64, 128, 7),
    layer(128, 128, 8),
    layer(64, 64, 32),
    Layer { stride: 2, ..layer(32, 64, 28) },
    Layer { kernel: 1, ..layer(64, 128, 14) },
    Layer { batch: 128, ..layer(64, 64, 14) },
    Layer { groups: 32, ..layer(32, 32, 28) },
];

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channels, filters, size, kernel, stride, groups, batch } = self;
        write!(formatter, "{channels}→{filters}, {size}², batch {batch}")?;
        if (*kernel, *stride, *groups) != (3, 1, 1) {
            write!(formatter, ", kernel {kernel}, stride {stride}, groups {groups}")?;
        }
        Ok(())
    }
}

impl Layer {
    fn convolution(self) -> Convolution {
        Convolution {
            input: Plane { channels: self.channels, height: self.size, width: self.size },
            filters: self.filters,
            kernel: [self.kernel; 2],
            stride: [self.stride; 2],
            padding: [self.kernel / 2; 4],
            dilation: [1; 2],
            groups: self.groups,
        }
    }

    /// Without the taps outside the input.
    fn operations(self) -> ItemsCount {
        let output = self.convolution().output_plane();
        let taps = |outputs: usize| {
            let reads = |output: usize, tap: usize| {
                let position = (output * self.stride + tap).wrapping_sub(self.kernel / 2);
                position < self.size
            };
            (0..outputs)
                .map(|y| (0..self.kernel).filter(|&tap| reads(y, tap)).count())
                .sum::<usize>()
        };
        let products = taps(output.height) * taps(output.width);
        let channels = self.channels / self.groups;
        ItemsCount::new(2 * products * self.filters * channels * self.batch)
    }
}

/// Values without denormal numbers.
fn filled(count: usize) -> Vec<f32> {
    (0..count).map(|index| (index * 37 % 101) as f32 / 101.0 - 0.5).collect()
}

struct Buffers {
    x: Vec<f32>,
    weights: Vec<f32>,
    out: Vec<f32>,
    workspace: Workspace,
}

fn buffers(layer: Layer) -> Buffers {
    let convolution = layer.convolution();
    Buffers {
        x: filled(convolution.input.len() * layer.batch),
        weights: filled(convolution.weights_len()),
        out: filled(convolution.output_plane().len() * layer.batch),
        workspace: Workspace::default(),
    }
}

#[divan::bench(args = LAYERS, max_time = 0.7)]
fn forward(bencher: Bencher<'_, '_>, layer: Layer) {
    let Buffers { x, weights, mut out, mut workspace } = buffers(layer);
    bencher.counter(layer.operations()).bench_local(|| {
        let convolution = layer.convolution();
        convolution.forward(&weights, &[], &x, layer.batch, &mut out, false, &mut workspace);
    });
}

#[divan::bench(args = LAYERS, max_time = 0.7)]
fn input_gradient(bencher: Bencher<'_, '_>, layer: Layer) {
    let Buffers { mut x, weights, out, mut workspace } = buffers(layer);
    bencher.counter(layer.operations()).bench_local(|| {
        let convolution = layer.convolution();
        convolution.input_gradient(&weights, &out, layer.batch, &mut x, false, &mut workspace);
    });
}

#[divan::bench(args = LAYERS, max_time = 0.7)]
fn weight_gradient(bencher: Bencher<'_, '_>, layer: Layer) {
    let Buffers { x, mut weights, out, mut workspace } = buffers(layer);
    bencher.counter(layer.operations()).bench_local(|| {
        let convolution = layer.convolution();
        let blend = Blend::Replace;
        convolution.weight_gradient(&x, &out, layer.batch, &mut weights, blend, &mut workspace);
    });
}

#[divan::bench(max_time = 1)]
fn peak(bencher: Bencher<'_, '_>) {
    let instructions = Instructions::default();
    let operations = multiply_add_on_registers(1, instructions);
    let steps = 100_000;
    bencher
        .counter(ItemsCount::new(operations * steps))
        .bench_local(|| multiply_add_on_registers(steps, instructions));
}
