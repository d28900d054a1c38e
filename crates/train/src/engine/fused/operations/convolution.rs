use kiln_kernels::{Convolution, Pooling, Workspace, row_sums};
use kiln_model::{Activation, LayerType, PlannedLayer};

use super::super::activation::{activate, activate_and_save, multiply_by_derivative, saves_values};
use super::super::update::Parameter;
use super::max_pooling2d::max_gradient;
use super::{
    BackwardPass, Blocks, Builder, GradientBuffers, Operation, StepContext, padding, plane,
};

/// Adds a convolution or a depthwise convolution.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    let (window, groups) = match &layer.kind {
        LayerType::Conv2d(config) => (config.window(), config.groups),
        LayerType::DepthwiseConv2d(config) => (config.window(), layer.input.channels()),
        _ => return,
    };
    builder.feature_major(layer.input);
    let mut parameters = builder.parameters(layer).into_iter();
    let Some(weight) = parameters.next() else { return };
    builder.push(Conv2d {
        convolution: Convolution {
            input: plane(layer.input),
            filters: layer.output.channels(),
            kernel: window.size.as_array(),
            stride: window.strides.as_array(),
            padding: padding(window, layer.input),
            dilation: window.dilation.as_array(),
            groups,
        },
        weight,
        bias: parameters.next(),
        pooling: None,
        activation: layer.activation,
        indices: Vec::new(),
        saved: Vec::new(),
    });
}

/// activation(pooling(W ∗ x + b))
struct Conv2d {
    convolution: Convolution,
    /// In the order of the weights file.
    weight: Parameter,
    bias: Option<Parameter>,
    /// A maximum over windows of the output, which is then never written.
    pooling: Option<Pooling>,
    activation: Activation,
    /// The place of each maximum in its window.
    indices: Vec<u16>,
    /// What the derivative of the activation needs, if it is not the output.
    saved: Vec<f32>,
}

impl Conv2d {
    /// Computes pooling(W ∗ x + b), and the places of the maxima if there is a pooling. ReLU is applied in the pass that
    /// writes the output.
    fn correlate(
        &self,
        input: &[f32],
        output: &mut Vec<f32>,
        indices: &mut Vec<u16>,
        workspace: &mut Workspace,
    ) {
        let (from, to) = self.blocks();
        let bias = self.bias.as_ref().map_or(&[][..], |bias| &bias.values);
        let relu = self.activation == Activation::Relu;
        let weight = &self.weight.values;
        if let Some(pooling) = &self.pooling {
            let to = from.with_width(pooling.output_plane().len());
            let size = to.width * from.count(input);
            // Every element is overwritten.
            output.resize(size, 0.0);
            indices.resize(size, 0);
            to.for_each_pair(
                output,
                indices,
                to.len(),
                workspace,
                |block, output, indices, workspace| {
                    let (input, n) = (from.block(input, block), to.count(output));
                    let convolution = &self.convolution;
                    convolution
                        .forward_max(weight, bias, input, n, output, indices, relu, workspace);
                },
            );
            return;
        }
        // Every element is overwritten.
        output.resize(to.width * from.count(input), 0.0);
        to.for_each(output, workspace, |block, output, workspace| {
            let (input, n) = (from.block(input, block), to.count(output));
            self.convolution.forward(weight, bias, input, n, output, relu, workspace);
        });
    }

    /// Of the input and of W ∗ x.
    fn blocks(&self) -> (Blocks, Blocks) {
        let output = self.convolution.output_plane();
        (Blocks::of_plane(self.convolution.input), Blocks::of_plane(output))
    }
}

impl Operation for Conv2d {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        let mut indices = std::mem::take(&mut self.indices);
        self.correlate(input, output, &mut indices, context.workspace);
        self.indices = indices;
        if saves_values(self.activation) {
            activate_and_save(self.activation, output, &[], &mut self.saved, context.workspace);
        } else if self.activation != Activation::Relu {
            activate(self.activation, output, &[], context.workspace);
        }
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        self.correlate(input, output, &mut Vec::new(), workspace);
        if self.activation != Activation::Relu {
            activate(self.activation, output, &[], workspace);
        }
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let BackwardPass { input, output, to_input, gradients } = pass;
        let values = if saves_values(self.activation) { &self.saved } else { output };
        multiply_by_derivative(self.activation, &mut buffers.gradient, values, workspace);

        let GradientBuffers { gradient, next, add_to_next } = buffers;
        let (from, to) = self.blocks();
        if let Some(pooling) = &self.pooling {
            max_gradient(pooling, &self.indices, gradient, next, workspace);
            std::mem::swap(gradient, next);
        }
        if to_input {
            // Computed before the update below changes the weights of the forward pass.
            let (weight, add) = (&self.weight.values, *add_to_next);
            if !add {
                next.resize(input.len());
            }
            from.for_each(next, workspace, |block, next, workspace| {
                let (gradient, n) = (to.block(gradient, block), from.count(next));
                self.convolution.input_gradient(weight, gradient, n, next, add, workspace);
            });
        }
        let (values, blocks) = (input.len() + gradient.len(), from.split(input).len());
        if let Some((out, blend)) = gradients.destination(&mut self.weight) {
            let convolution = &self.convolution;
            workspace.sum_blocks(values, blocks, out, blend, |block, out, blend, workspace| {
                let (input, gradient) = (from.block(input, block), to.block(gradient, block));
                let n = from.count(input);
                convolution.weight_gradient(input, gradient, n, out, blend, workspace);
            });
        }
        if let Some((out, blend)) = self.bias.as_mut().and_then(|bias| gradients.destination(bias))
        {
            workspace.sum_blocks(values, blocks, out, blend, |block, out, blend, workspace| {
                let gradient = to.block(gradient, block);
                row_sums(gradient, to.count(gradient), out, blend, workspace);
            });
        }
        if to_input {
            std::mem::swap(gradient, next);
        }
    }

    fn fuse_activation(&mut self, activation: Activation) -> bool {
        let can_fuse = self.activation == Activation::Linear;
        if can_fuse {
            self.activation = activation;
        }
        can_fuse
    }

    fn fuse_max_pooling(&mut self, pooling: Pooling) -> bool {
        // ReLU and the maximum can be exchanged: max(relu(x)) = relu(max(x)). Where the result is 0, so is the gradient.
        let commutes = matches!(self.activation, Activation::Linear | Activation::Relu);
        let can_fuse = self.pooling.is_none() && commutes && self.convolution.can_pool(&pooling);
        if can_fuse {
            self.pooling = Some(pooling);
        }
        can_fuse
    }

    fn reads_output(&self) -> bool {
        self.activation != Activation::Linear && !saves_values(self.activation)
    }

    fn adds_input_gradient(&self) -> bool {
        // The backward pass of a fused pooling overwrites `next`.
        self.pooling.is_none()
    }

    fn parameters(&self) -> Vec<&Parameter> {
        std::iter::once(&self.weight).chain(&self.bias).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        std::iter::once(&mut self.weight).chain(&mut self.bias).collect()
    }
}
