use kiln_kernels::{Workspace, add_into, mask_and_copy};

use super::{BackwardPass, GradientBuffers, Gradients, Operation, StepContext};
use crate::engine::fused::update::Parameter;

/// Operations one after the other, and their outputs in the last training step.
pub(in crate::engine::fused) struct Sequence {
    steps: Vec<Step>,
}

struct Step {
    operation: Box<dyn Operation>,
    output: Vec<f32>,
}

impl Sequence {
    pub(super) fn new(operations: Vec<Box<dyn Operation>>) -> Self {
        let step = |operation| Step { operation, output: Vec::new() };
        Self { steps: operations.into_iter().map(step).collect() }
    }

    /// The output of the last [`forward`](Self::forward), which had this input.
    pub(in crate::engine::fused) fn output<'a>(&'a self, input: &'a [f32]) -> &'a [f32] {
        self.steps.last().map_or(input, |step| &step.output)
    }

    pub(in crate::engine::fused) fn forward(
        &mut self,
        input: &[f32],
        context: &mut StepContext<'_>,
    ) {
        for index in 0..self.steps.len() {
            let (before, Step { operation, output }) = self.split(input, index);
            operation.forward(before, output, context);
        }
    }

    /// The forward pass of a residual connection: writes output + shortcut to `sum`, where the shortcut is the output of
    /// another sequence for the same input, and with `relu` replaces negative sums by 0.
    pub(super) fn forward_sum(
        &mut self,
        input: &[f32],
        shortcut: &mut Self,
        relu: bool,
        sum: &mut Vec<f32>,
        context: &mut StepContext<'_>,
    ) {
        if let Some((last, others)) = self.steps.split_last_mut()
            && !last.operation.reads_output()
        {
            let mut before = input;
            for Step { operation, output } in others {
                operation.forward(before, output, context);
                before = output;
            }
            if let Some(last) = last.operation.as_shortcut_adder() {
                shortcut.forward(input, context);
                last.forward_sum(before, shortcut.output(input), relu, sum, context.workspace);
            } else {
                last.operation.forward(before, sum, context);
                // After the last operation, which may draw random numbers.
                shortcut.forward(input, context);
                add_into(sum, shortcut.output(input), relu, context.workspace);
            }
            return;
        }
        self.forward(input, context);
        shortcut.forward(input, context);
        let (values, shortcut) = (self.output(input), shortcut.output(input));
        // Every element is overwritten.
        sum.resize(values.len(), 0.0);
        kiln_kernels::add(values, shortcut, relu, sum, context.workspace);
    }

    /// The output in inference mode.
    pub(in crate::engine::fused) fn infer(
        &self,
        input: &[f32],
        workspace: &mut Workspace,
    ) -> Vec<f32> {
        let Some((first, others)) = self.steps.split_first() else { return input.to_vec() };
        let (mut values, mut next) = (Vec::new(), Vec::new());
        first.operation.infer(input, &mut values, workspace);
        for step in others {
            step.operation.infer(&values, &mut next, workspace);
            std::mem::swap(&mut values, &mut next);
        }
        values
    }

    /// Takes the gradient of the output in `buffers` back through the operations. Without `to_input`, it ends at the first
    /// operation with parameters that are trained, and what remains in `buffers` has no meaning.
    pub(in crate::engine::fused) fn backward(
        &mut self,
        input: &[f32],
        to_input: bool,
        gradients: Gradients,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let Some(first) = self.first(to_input) else { return };
        for index in (first..self.steps.len()).rev() {
            let (step, pass) =
                self.step_and_pass(input, None, index, to_input || index > first, gradients);
            step.backward(pass, buffers, workspace);
        }
    }

    /// The backward pass of a residual connection. `pass.output` is the sum with the shortcut, and with `relu` its ReLU;
    /// `buffers` have the gradient of this output, and afterwards that of the input. `layer_buffers` are for the gradients
    /// within this sequence.
    pub(super) fn backward_sum(
        &mut self,
        pass: BackwardPass<'_>,
        shortcut: &mut Self,
        relu: bool,
        buffers: &mut GradientBuffers,
        layer_buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let BackwardPass { input, output, to_input, gradients } = pass;
        let first = self.first(to_input);
        let mut end = self.steps.len();
        let last = first.and_then(|first| {
            let last = end.checked_sub(1)?;
            let (step, pass) =
                self.step_and_pass(input, Some(output), last, to_input || last > first, gradients);
            Some((step.as_shortcut_adder()?, pass))
        });
        let gradient = &mut buffers.gradient;
        if let Some((last, pass)) = last {
            last.backward_sum(pass, relu, gradient, &mut layer_buffers.gradient, workspace);
            end -= 1;
        } else {
            layer_buffers.gradient.resize(gradient.len());
            if relu {
                mask_and_copy(gradient, output, &mut layer_buffers.gradient, workspace);
            } else {
                layer_buffers.gradient.copy_from_slice(gradient);
            }
        }
        shortcut.backward(input, to_input, gradients, buffers, workspace);
        let Some(first) = first else { return };
        let adds = to_input && end > 0 && self.steps[0].operation.adds_input_gradient();
        for index in (first..end).rev() {
            layer_buffers.add_to_next = adds && index == 0;
            if layer_buffers.add_to_next {
                // The operation adds the gradient of its input to that of the shortcut.
                std::mem::swap(&mut layer_buffers.next, &mut buffers.gradient);
            }
            let (step, pass) =
                self.step_and_pass(input, None, index, to_input || index > first, gradients);
            step.backward(pass, layer_buffers, workspace);
        }
        layer_buffers.add_to_next = false;
        if adds {
            std::mem::swap(&mut layer_buffers.gradient, &mut buffers.gradient);
        } else if to_input {
            add_into(&mut buffers.gradient, &layer_buffers.gradient, false, workspace);
        }
    }

    /// The first operation of the backward pass in the order of the forward pass; `None` if nothing needs one. Nothing before
    /// the first trained parameters needs a gradient; for the pixels it would be the largest product.
    fn first(&self, to_input: bool) -> Option<usize> {
        let is_trained = |step: &Step| {
            step.operation.parameters().iter().any(|parameter| parameter.settings.trainable)
        };
        if to_input { Some(0) } else { self.steps.iter().position(is_trained) }
    }

    /// An operation, and what its backward pass depends on. `output` replaces the output of the operation.
    fn step_and_pass<'a>(
        &'a mut self,
        input: &'a [f32],
        output: Option<&'a [f32]>,
        index: usize,
        to_input: bool,
        gradients: Gradients,
    ) -> (&'a mut dyn Operation, BackwardPass<'a>) {
        let (input, Step { operation, output: own }) = self.split(input, index);
        let output = output.unwrap_or(own);
        (operation.as_mut(), BackwardPass { input, output, to_input, gradients })
    }

    /// The parameters in the order of the weights file.
    pub(in crate::engine::fused) fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.steps.iter().flat_map(|step| step.operation.parameters())
    }

    /// The parameters in the order of the weights file, mutable.
    pub(in crate::engine::fused) fn parameters_mut(
        &mut self,
    ) -> impl Iterator<Item = &mut Parameter> {
        self.steps.iter_mut().flat_map(|step| step.operation.parameters_mut())
    }

    /// The input of a step, and the step.
    fn split<'a>(&'a mut self, input: &'a [f32], index: usize) -> (&'a [f32], &'a mut Step) {
        let (before, rest) = self.steps.split_at_mut(index);
        (before.last().map_or(input, |step| &step.output), &mut rest[0])
    }
}
