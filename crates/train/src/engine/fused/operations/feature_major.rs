use kiln_kernels::Workspace;

use super::{BackwardPass, Blocks, GradientBuffers, Operation, StepContext};

/// Brings the pixels, `[n, width]`, into the order of features. There is nothing to train before it, so its backward pass is
/// never needed.
pub(super) struct FeatureMajor(pub(super) Blocks);

impl Operation for FeatureMajor {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        self.infer(input, output, context.workspace);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, _: &mut Workspace) {
        self.0.arrange(input, output);
    }

    fn backward(&mut self, _: BackwardPass<'_>, _: &mut GradientBuffers, _: &mut Workspace) {}
}
