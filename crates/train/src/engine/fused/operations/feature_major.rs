use kiln_kernels::{Workspace, transpose};

use super::{BackwardPass, GradientBuffers, Operation, StepContext};

/// Brings the pixels, `[n, width]`, into the order of features, `[width, n]`. There is nothing to train before it, so its
/// backward pass is never needed.
pub(super) struct FeatureMajor {
    /// Values per image.
    pub(super) width: usize,
}

impl Operation for FeatureMajor {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        self.infer(input, output, context.workspace);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, _: &mut Workspace) {
        transpose(input, input.len() / self.width, self.width, output);
    }

    fn backward(&mut self, _: BackwardPass<'_>, _: &mut GradientBuffers, _: &mut Workspace) {}
}
