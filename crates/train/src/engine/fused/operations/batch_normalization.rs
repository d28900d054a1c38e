use kiln_kernels::{
    GradientSums, Moments, Normalization, Workspace, gather_moments, input_gradient, sum_gradients,
};
use kiln_model::{Activation, LayerType, PlannedLayer};

use super::super::update::Parameter;
use super::{BackwardPass, Blocks, Builder, GradientBuffers, Operation, StepContext, store};

/// Adds batch normalization.
#[expect(clippy::cast_possible_truncation, reason = "the engine computes in f32")]
pub(super) fn add(layer: &PlannedLayer, builder: &mut Builder<'_>) {
    let LayerType::BatchNormalization(config) = &layer.kind else { return };
    builder.feature_major(layer.input);
    let mut parameters = builder.parameters(layer);
    // The weights file has them in this order: scale, offset, mean and variance.
    let (Some(running_variance), Some(running_mean)) = (parameters.pop(), parameters.pop()) else {
        return;
    };
    let beta = if config.center { parameters.pop() } else { None };
    let gamma = if config.scale { parameters.pop() } else { None };
    builder.push(BatchNormalization {
        gamma,
        beta,
        running_mean,
        running_variance,
        momentum: config.momentum as f32,
        epsilon: config.epsilon,
        blocks: Blocks::of(layer.input),
        is_frozen: !layer.training.trainable,
        relu: false,
        moments: Moments::default(),
        batch: Vec::new(),
        sums: Vec::new(),
    });
}

/// γ (x − mean) / √(variance + ε) + β for each channel, and its ReLU if one follows.
struct BatchNormalization {
    gamma: Option<Parameter>,
    beta: Option<Parameter>,
    running_mean: Parameter,
    running_variance: Parameter,
    /// The weight of the old running average.
    momentum: f32,
    epsilon: f64,
    blocks: Blocks,
    /// Whether training uses the running statistics and does not change them, as in Keras.
    is_frozen: bool,
    relu: bool,
    moments: Moments,
    /// What the last forward pass did with each channel.
    batch: Vec<Normalization>,
    sums: Vec<GradientSums>,
}

impl BatchNormalization {
    #[expect(clippy::cast_possible_truncation, reason = "the engine computes in f32")]
    fn normalization(&self, channel: usize, mean: f64, variance: f64) -> Normalization {
        let value = |parameter: &Option<Parameter>, other| {
            parameter.as_ref().map_or(other, |parameter| parameter.values[channel])
        };
        Normalization {
            mean: mean as f32,
            inverse_deviation: (1.0 / (variance + self.epsilon).sqrt()) as f32,
            gamma: value(&self.gamma, 1.0),
            beta: value(&self.beta, 0.0),
        }
    }
}

impl BatchNormalization {
    /// The normalization of inference.
    fn running(&self) -> Vec<Normalization> {
        let statistics = self.running_mean.values.iter().zip(&self.running_variance.values);
        let normalization = |(channel, (mean, variance)): (usize, (&f32, &f32))| {
            self.normalization(channel, f64::from(*mean), f64::from(*variance))
        };
        statistics.enumerate().map(normalization).collect()
    }
}

fn normalize(
    blocks: Blocks,
    input: &[f32],
    channels: &[Normalization],
    relu: bool,
    output: &mut Vec<f32>,
    workspace: &mut Workspace,
) {
    // Every element is overwritten.
    output.resize(input.len(), 0.0);
    blocks.for_each(output, &mut [], workspace, |block, output, _: &mut [()], workspace| {
        kiln_kernels::normalize(blocks.block(input, block), channels, relu, output, workspace);
    });
}

impl Operation for BatchNormalization {
    #[expect(clippy::cast_possible_truncation, reason = "the engine computes in f32")]
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        if self.is_frozen {
            self.batch = self.running();
            normalize(self.blocks, input, &self.batch, self.relu, output, context.workspace);
            return;
        }
        // The sums are relative to the running mean, which is near the mean of the batch.
        self.moments.reset(&self.running_mean.values);
        for input in self.blocks.split(input) {
            let n = self.blocks.count(input);
            gather_moments(input, n, &mut self.moments, context.workspace);
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        let statistics = self.moments.mean_and_variance().enumerate();
        batch.extend(
            statistics
                .map(|(channel, (mean, variance))| self.normalization(channel, mean, variance)),
        );
        self.batch = batch;
        let momentum = self.momentum;
        let running = self.running_mean.values.iter_mut().zip(&mut self.running_variance.values);
        for ((old_mean, old_variance), (mean, variance)) in
            running.zip(self.moments.mean_and_variance())
        {
            *old_mean = *old_mean * momentum + mean as f32 * (1.0 - momentum);
            *old_variance = *old_variance * momentum + variance as f32 * (1.0 - momentum);
        }
        normalize(self.blocks, input, &self.batch, self.relu, output, context.workspace);
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        normalize(self.blocks, input, &self.running(), self.relu, output, workspace);
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let BackwardPass { input, output, to_input, gradients } = pass;
        let GradientBuffers { gradient, next } = buffers;
        let blocks = self.blocks;
        self.sums.clear();
        self.sums.resize(self.batch.len(), GradientSums::default());
        let mut outputs = blocks.split(output);
        for (gradient, input) in blocks.split_mut(gradient).zip(blocks.split(input)) {
            let output = outputs.next().filter(|_| self.relu).unwrap_or(&[]);
            let n = blocks.count(input);
            sum_gradients(gradient, output, input, n, &self.batch, &mut self.sums, workspace);
        }
        if self.is_frozen {
            // Constants, so no gradient flows through the statistics.
            self.sums.fill(GradientSums::default());
        }
        if to_input {
            next.resize(input.len());
            let count = input.len() / self.batch.len();
            let (batch, sums) = (&self.batch, &self.sums);
            blocks.for_each(next, &mut [], workspace, |block, next, _: &mut [()], workspace| {
                let (gradient, input) = (blocks.block(gradient, block), blocks.block(input, block));
                input_gradient(gradient, input, batch, sums, count, next, workspace);
            });
            std::mem::swap(gradient, next);
        }
        if let Some(gamma) = &mut self.gamma {
            store(gradients, gamma, self.sums.iter().map(|sums| sums.gamma));
        }
        if let Some(beta) = &mut self.beta {
            store(gradients, beta, self.sums.iter().map(|sums| sums.beta));
        }
    }

    fn fuse_activation(&mut self, activation: Activation) -> bool {
        let can_fuse = activation == Activation::Relu && !self.relu;
        self.relu |= can_fuse;
        can_fuse
    }

    fn parameters(&self) -> Vec<&Parameter> {
        let trained = self.gamma.iter().chain(&self.beta);
        trained.chain([&self.running_mean, &self.running_variance]).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        let trained = self.gamma.iter_mut().chain(&mut self.beta);
        trained.chain([&mut self.running_mean, &mut self.running_variance]).collect()
    }
}
