use kiln_kernels::{
    SetStatistics, Sets, Workspace, normalize_sets, row_sums, sets_input_gradient,
    sets_scale_gradient,
};
use kiln_model::{LayerType, PlannedLayer};

use super::super::update::Parameter;
use super::{BackwardPass, Blocks, Builder, GradientBuffers, Operation, StepContext, plane};

/// Adds group normalization or layer normalization.
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    let plane = plane(layer.input);
    let (sets, epsilon, scale) = match &layer.kind {
        LayerType::GroupNormalization(config) => {
            (Sets::groups(plane, config.groups), config.epsilon, config.scale)
        }
        LayerType::LayerNormalization(config) => {
            // Flat features are normalized over all of them, which are the channels of one position.
            (Sets::positions(plane), config.epsilon, config.scale)
        }
        _ => return,
    };
    builder.feature_major(layer.input);
    let mut parameters = builder.parameters(layer).into_iter();
    let gamma = if scale { parameters.next() } else { None };
    let (beta, blocks) = (parameters.next(), Blocks::of(layer.input));
    let statistics = Vec::new();
    builder.push(GroupNormalization { sets, epsilon, gamma, beta, blocks, statistics });
}

/// γ (x − mean) / √(variance + ε) + β, with the statistics of sets of values of each image.
struct GroupNormalization {
    sets: Sets,
    epsilon: f64,
    gamma: Option<Parameter>,
    beta: Option<Parameter>,
    blocks: Blocks,
    /// Of the blocks of the last forward pass.
    statistics: Vec<SetStatistics>,
}

impl GroupNormalization {
    fn normalize(
        &self,
        input: &[f32],
        output: &mut Vec<f32>,
        statistics: &mut Vec<SetStatistics>,
        workspace: &mut Workspace,
    ) {
        let blocks = self.blocks;
        // Every element is overwritten.
        output.resize(input.len(), 0.0);
        statistics.resize_with(blocks.split(input).len(), SetStatistics::default);
        let [gamma, beta] = [&self.gamma, &self.beta].map(values_of);
        let (sets, epsilon) = (self.sets, self.epsilon);
        blocks.for_each_pair(
            output,
            statistics,
            1,
            workspace,
            |block, output, statistics, workspace| {
                let (input, n) = (blocks.block(input, block), blocks.count(output));
                let statistics = &mut statistics[0];
                normalize_sets(sets, input, n, gamma, beta, epsilon, output, statistics, workspace);
            },
        );
    }
}

fn values_of(parameter: &Option<Parameter>) -> &[f32] {
    parameter.as_ref().map_or(&[], |parameter| &parameter.values)
}

impl Operation for GroupNormalization {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        let mut statistics = std::mem::take(&mut self.statistics);
        self.normalize(input, output, &mut statistics, context.workspace);
        self.statistics = statistics;
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        self.normalize(input, output, &mut Vec::new(), workspace);
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let BackwardPass { input, to_input, gradients, .. } = pass;
        let GradientBuffers { gradient, next, .. } = buffers;
        let (sets, blocks) = (self.sets, self.blocks);
        let values = input.len() + gradient.len();
        if to_input {
            // Computed before the update below changes γ.
            next.resize(input.len());
            let gamma = values_of(&self.gamma);
            let statistics = &mut self.statistics;
            blocks.for_each_pair(
                next,
                statistics,
                1,
                workspace,
                |block, next, statistics, workspace| {
                    let (input, gradient) =
                        (blocks.block(input, block), blocks.block(gradient, block));
                    let n = blocks.count(next);
                    let statistics = &mut statistics[0];
                    sets_input_gradient(
                        sets, gradient, input, n, gamma, next, statistics, workspace,
                    );
                },
            );
        }
        if let Some((out, blend)) =
            self.gamma.as_mut().and_then(|gamma| gradients.destination(gamma))
        {
            let statistics = &self.statistics;
            workspace.sum_blocks(
                values,
                statistics.len(),
                out,
                blend,
                |block, out, blend, workspace| {
                    let (input, gradient) =
                        (blocks.block(input, block), blocks.block(gradient, block));
                    let (n, statistics) = (blocks.count(input), &statistics[block]);
                    sets_scale_gradient(
                        sets, gradient, input, n, out, blend, statistics, workspace,
                    );
                },
            );
        }
        if let Some((out, blend)) = self.beta.as_mut().and_then(|beta| gradients.destination(beta))
        {
            let count = self.statistics.len();
            workspace.sum_blocks(values, count, out, blend, |block, out, blend, workspace| {
                let gradient = blocks.block(gradient, block);
                row_sums(gradient, blocks.count(gradient), out, blend, workspace);
            });
        }
        if to_input {
            std::mem::swap(gradient, next);
        }
    }

    fn parameters(&self) -> Vec<&Parameter> {
        self.gamma.iter().chain(&self.beta).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        self.gamma.iter_mut().chain(&mut self.beta).collect()
    }
}
