use kiln_kernels::Workspace;

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

    /// [`forward`](Self::forward), but the last operation writes to `output`, which then may be changed. Returns whether it is
    /// possible: if the backward pass does not read the output. Otherwise nothing is computed.
    pub(super) fn forward_to(
        &mut self,
        input: &[f32],
        output: &mut Vec<f32>,
        context: &mut StepContext<'_>,
    ) -> bool {
        let Some((last, others)) = self.steps.split_last_mut() else { return false };
        if last.operation.reads_output() {
            return false;
        }
        let mut before = input;
        for Step { operation, output } in others {
            operation.forward(before, output, context);
            before = output;
        }
        last.operation.forward(before, output, context);
        true
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
        // Nothing before the first trained parameters needs a gradient; for the pixels it would be the largest product.
        let is_trained = |step: &Step| {
            step.operation.parameters().iter().any(|parameter| parameter.settings.trainable)
        };
        let first = match self.steps.iter().position(is_trained) {
            _ if to_input => 0,
            Some(first) => first,
            None => return,
        };
        for index in (first..self.steps.len()).rev() {
            let (input, Step { operation, output }) = self.split(input, index);
            let to_input = to_input || index > first;
            let pass = BackwardPass { input, output, to_input, gradients };
            operation.backward(pass, buffers, workspace);
        }
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
