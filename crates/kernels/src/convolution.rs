//! Convolution in two dimensions: the forward pass, the gradient of the input and the gradient of the weights. Chooses between
//! the direct form, the depthwise form and minimal filtering (Winograd).

use std::ops::Range;

use crate::correlation::{DirectCorrelation, Source};
use crate::depthwise::{DepthwiseCorrelation, DepthwiseWeightGradient, is_depthwise};

use crate::finish::Finish;
use crate::weight_gradient::WeightGradient;
use crate::winograd;
use crate::workspace::{Shards, none};
use crate::{Blend, Pooling, Workspace};

/// The size of one image of a batch. A batch is `[channels][height][width][n]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Feature maps.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Plane {
    /// The values of one image.
    #[must_use]
    pub const fn len(self) -> usize {
        self.channels * self.height * self.width
    }

    /// The values of one channel.
    pub(crate) const fn channel_len(self) -> usize {
        self.height * self.width
    }

    /// Whether there are no values.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// A two-dimensional convolution (as in every framework, a cross-correlation).
///
/// ```text
/// out[o, y, x] = bias[o] + Σ weights[o, c, i, j] · in[c, y · stride + i · dilation − top, x · stride + j · dilation − left]
/// ```
///
/// over the channels c of the group of o and the kernel positions (i, j); values outside the input are 0.
///
/// Weights are `[filters, channels / groups, kernel height, kernel width]`, PyTorch's order and that of the weights
/// file. Every call packs them again, so the optimizer, checkpoints and files need only one order. Packing takes about
/// one percent of a pass in the direct form at batch size 32, and more with minimal filtering on small planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// The size of an input image.
    pub input: Plane,
    /// Output channels.
    pub filters: usize,
    /// Height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal.
    pub stride: [usize; 2],
    /// Zeros around the input: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Vertical and horizontal distance of the kernel positions.
    pub dilation: [usize; 2],
    /// Groups of channels; filters see only the channels of their own group.
    pub groups: usize,
}

/// One dimension of a convolution.
#[derive(Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) kernel: usize,
    stride: usize,
    dilation: usize,
    pub(crate) before: usize,
    pub(crate) input: usize,
    pub(crate) output: usize,
}

impl Axis {
    /// `padding` is before and after the input.
    pub(crate) fn new(
        kernel: usize,
        stride: usize,
        dilation: usize,
        padding: [usize; 2],
        input: usize,
    ) -> Self {
        let output = (input + padding[0] + padding[1])
            .checked_sub((kernel - 1) * dilation + 1)
            .map_or(0, |rest| rest / stride + 1);
        Self { kernel, stride, dilation, before: padding[0], input, output }
    }

    /// The input position that kernel position `tap` reads for an output position.
    pub(crate) fn input_of(self, output: usize, tap: usize) -> Option<usize> {
        (output * self.stride + tap * self.dilation)
            .checked_sub(self.before)
            .filter(|&position| position < self.input)
    }

    /// The output position that reads an input position with kernel position `tap`.
    pub(crate) fn output_of(self, input: usize, tap: usize) -> Option<usize> {
        let shifted = (input + self.before).checked_sub(tap * self.dilation)?;
        let position = shifted / self.stride;
        (shifted.is_multiple_of(self.stride) && position < self.output).then_some(position)
    }

    /// The most input positions between the first and the last one that an output position reads, both included.
    pub(crate) fn input_span(self) -> usize {
        ((self.kernel - 1) * self.dilation + 1).min(self.input.max(1))
    }

    /// The most output positions between the first and the last one that read an input position, both included.
    pub(crate) fn output_span(self) -> usize {
        ((self.kernel - 1) * self.dilation / self.stride + 1).min(self.output.max(1))
    }

    /// The output positions for which kernel position `tap` reads within the input.
    pub(crate) fn outputs(self, tap: usize) -> Range<usize> {
        let offset = tap * self.dilation;
        let first = self.before.saturating_sub(offset).div_ceil(self.stride);
        let last = (self.input + self.before).saturating_sub(offset).div_ceil(self.stride);
        first.min(self.output)..last.min(self.output).max(first.min(self.output))
    }

    /// The kernel positions that read within the input for an output position.
    pub(crate) fn taps_of(self, output: usize) -> Range<usize> {
        let start = output * self.stride;
        let first = self.before.saturating_sub(start).div_ceil(self.dilation);
        let last = (self.input + self.before).saturating_sub(start).div_ceil(self.dilation);
        first..last.min(self.kernel)
    }

    /// The pairs of an output position and a kernel position that read within the input.
    pub(crate) fn all_taps(self) -> usize {
        (0..self.kernel).map(|tap| self.outputs(tap).len()).sum()
    }

    /// The input position that one of [`taps_of`](Self::taps_of) reads.
    pub(crate) const fn position(self, output: usize, tap: usize) -> usize {
        output * self.stride + tap * self.dilation - self.before
    }

    pub(crate) const fn stride(self) -> usize {
        self.stride
    }
}

impl Convolution {
    /// The size of an output image. It is empty if the kernel is larger than the padded input.
    #[must_use]
    pub fn output_plane(&self) -> Plane {
        let [height, width] = self.axes().map(|axis| axis.output);
        Plane { channels: self.filters, height, width }
    }

    /// The number of weights.
    #[must_use]
    pub fn weights_len(&self) -> usize {
        self.filters * self.group_channels() * self.taps()
    }

    /// Input channels per group.
    pub(crate) fn group_channels(&self) -> usize {
        self.input.channels / self.groups
    }

    /// Filters per group.
    pub(crate) fn group_filters(&self) -> usize {
        self.filters / self.groups
    }

    /// The products of a pass over `n` images, with those outside the input.
    pub(crate) fn products(&self, n: usize) -> usize {
        self.output_plane().len() * self.group_channels() * self.taps() * n
    }

    /// Kernel positions.
    pub(crate) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Vertical and horizontal.
    pub(crate) fn axes(&self) -> [Axis; 2] {
        let input = [self.input.height, self.input.width];
        std::array::from_fn(|index| {
            let padding = [self.padding[index], self.padding[index + 2]];
            let [kernel, stride, dilation] =
                [self.kernel[index], self.stride[index], self.dilation[index]];
            Axis::new(kernel, stride, dilation, padding, input[index])
        })
    }

    fn check(&self, weights: usize, input: usize, output: usize, n: usize) {
        assert!(self.kernel.iter().chain(&self.stride).chain(&self.dilation).all(|&size| size > 0));
        assert!(self.input.channels > 0 && self.filters > 0, "at least one channel and filter");
        assert!(self.groups > 0 && self.input.channels.is_multiple_of(self.groups), "whole groups");
        assert!(self.filters.is_multiple_of(self.groups), "whole groups of filters");
        assert_eq!(weights, self.weights_len(), "one value per weight");
        assert_eq!(input, self.input.len() * n, "the input has the size of the batch");
        assert_eq!(output, self.output_plane().len() * n, "the output has the size of the batch");
    }

    /// Writes the output for `x`, `[channels][height][width][n]`, to `out`, `[filters][height][width][n]`. `bias` has
    /// one value per filter, or is empty. With `relu`, negative values become 0.
    ///
    /// # Panics
    ///
    /// A slice does not have the size that the geometry and `n` demand, or the groups do not divide the channels.
    #[expect(clippy::too_many_arguments, reason = "the operands of the operation")]
    pub fn forward(
        &self,
        weights: &[f32],
        bias: &[f32],
        x: &[f32],
        n: usize,
        out: &mut [f32],
        relu: bool,
        workspace: &mut Workspace,
    ) {
        self.check(weights.len(), x.len(), out.len(), n);
        assert!(bias.is_empty() || bias.len() == self.filters, "one bias per filter");
        let source = Source::Input;
        let finish = Finish::relu(relu);
        let pass = Pass { source, weights, bias, values: x, n, finish, maxima: None };
        self.correlate(pass, out, workspace);
    }

    /// Whether [`forward_max`](Self::forward_max) can compute this pooling of the output.
    #[must_use]
    pub fn can_pool(&self, pooling: &Pooling) -> bool {
        let is_of_output =
            pooling.input == self.output_plane() && !pooling.output_plane().is_empty();
        // Four such windows are a tile of minimal filtering.
        is_of_output && pooling.is_2x2_partition() && winograd::is_faster(self)
    }

    /// Writes the maxima of windows of 2 × 2 of the output, and their indices, as [`forward`](Self::forward) and then
    /// [`Pooling::max`] do, but never writes the output itself. With `relu`, negative maxima become 0.
    ///
    /// # Panics
    ///
    /// Those of [`forward`](Self::forward), and if the convolution [cannot](Self::can_pool) do this.
    #[expect(clippy::too_many_arguments, reason = "the operands of the operation")]
    pub fn forward_max(
        &self,
        weights: &[f32],
        bias: &[f32],
        x: &[f32],
        n: usize,
        out: &mut [f32],
        indices: &mut [u16],
        relu: bool,
        workspace: &mut Workspace,
    ) {
        let output = self.output_plane();
        self.check(weights.len(), x.len(), output.len() * n, n);
        assert!(bias.is_empty() || bias.len() == self.filters, "one bias per filter");
        assert!(winograd::is_faster(self), "a convolution that can pool its output");
        let maxima = Plane { height: output.height / 2, width: output.width / 2, ..output };
        assert_eq!(out.len(), maxima.len() * n, "the maxima have the size of the batch");
        assert_eq!(indices.len(), out.len(), "one index per maximum");
        let (source, indices) = (Source::Input, Shards::new(indices));
        let maxima = Some(&indices);
        let finish = Finish::relu(relu);
        let pass = Pass { source, weights, bias, values: x, n, finish, maxima };
        winograd::correlate(self, pass, out, workspace);
    }

    /// Writes the gradient of the input to `out`, or with `add` adds it; `gradient` is that of the output.
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward).
    pub fn input_gradient(
        &self,
        weights: &[f32],
        gradient: &[f32],
        n: usize,
        out: &mut [f32],
        add: bool,
        workspace: &mut Workspace,
    ) {
        self.check(weights.len(), out.len(), gradient.len(), n);
        let (source, values) = (Source::Gradient, gradient);
        let finish = if add { Finish::Add } else { Finish::Store };
        let pass = Pass { source, weights, bias: &[], values, n, finish, maxima: None };
        self.correlate(pass, out, workspace);
    }

    fn correlate(&self, pass: Pass<'_>, out: &mut [f32], workspace: &mut Workspace) {
        if winograd::is_faster(self) {
            winograd::correlate(self, pass, out, workspace);
            return;
        }
        let instructions = workspace.instructions;
        let plane = match pass.source {
            Source::Input => self.output_plane(),
            Source::Gradient => self.input,
        };
        let parts = workspace.parts(self.products(pass.n));
        workspace.split(parts, plane.channels, out, none(), |targets, out, _, buffers| {
            let kernel = DirectCorrelation { convolution: self, pass, targets, out, buffers };
            if is_depthwise(self) {
                instructions.dispatch(DepthwiseCorrelation(kernel));
            } else {
                instructions.dispatch(kernel);
            }
        });
    }

    /// Blends the gradient of the weights, summed over the batch, into `out`, which has the order of the weights.
    ///
    /// # Panics
    ///
    /// As [`forward`](Self::forward).
    pub fn weight_gradient(
        &self,
        x: &[f32],
        gradient: &[f32],
        n: usize,
        out: &mut [f32],
        blend: Blend,
        workspace: &mut Workspace,
    ) {
        self.check(out.len(), x.len(), gradient.len(), n);
        if winograd::is_faster(self) {
            winograd::weight_gradient(self, x, gradient, n, out, blend, workspace);
            return;
        }
        let instructions = workspace.instructions;
        let parts = workspace.parts(self.products(n));
        workspace.split(parts, self.filters, out, none(), |targets, out, _, buffers| {
            let convolution = self;
            let kernel =
                WeightGradient { convolution, x, gradient, n, targets, out, blend, buffers };
            if is_depthwise(self) {
                instructions.dispatch(DepthwiseWeightGradient(kernel));
            } else {
                instructions.dispatch(kernel);
            }
        });
    }
}

/// The operands of a forward pass or of an input gradient.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) source: Source,
    /// In the order of the weights file.
    pub(crate) weights: &'a [f32],
    /// One value per target channel; empty for 0.
    pub(crate) bias: &'a [f32],
    /// The input, or the gradient of the output.
    pub(crate) values: &'a [f32],
    /// Images.
    pub(crate) n: usize,
    /// What is stored in place of a result.
    pub(crate) finish: Finish,
    /// Where the indices of the maxima of windows of 2 × 2 are written, if they are computed in place of the output.
    pub(crate) maxima: Option<&'a Shards<'a, u16>>,
}
