use kiln_kernels::{
    GradientSums, InputGradient, NextOperation, Normalization, Statistics, Workspace,
    normalization_gradients, normalize_batch,
};
use kiln_model::{Activation, LayerType, PlannedLayer};

use super::super::update::Parameter;
use super::{
    AddsShortcut, BackwardPass, Blocks, Buffer, Builder, GradientBuffers, Operation, StepContext,
    store,
};

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
        normalizations: Vec::new(),
        statistics: Vec::new(),
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
    /// What the last forward pass did with each channel.
    normalizations: Vec<Normalization>,
    /// Of the channels of the last batch.
    statistics: Vec<Statistics>,
    sums: Vec<GradientSums>,
}

impl BatchNormalization {
    /// Writes what the running statistics do with each channel.
    #[expect(clippy::cast_possible_truncation, reason = "the engine computes in f32")]
    fn write_running(&self, channels: &mut Vec<Normalization>) {
        let value = |parameter: &Option<Parameter>, channel: usize, other| {
            parameter.as_ref().map_or(other, |parameter| parameter.values[channel])
        };
        channels.clear();
        let statistics = self.running_mean.values.iter().zip(&self.running_variance.values);
        channels.extend(statistics.enumerate().map(|(channel, (mean, variance))| Normalization {
            mean: *mean,
            inverse_deviation: (1.0 / (f64::from(*variance) + self.epsilon).sqrt()) as f32,
            gamma: value(&self.gamma, channel, 1.0),
            beta: value(&self.beta, channel, 0.0),
        }));
    }

    /// Normalizes a batch with its own statistics, and adds them to the running ones.
    #[expect(clippy::cast_possible_truncation, reason = "the engine computes in f32")]
    fn normalize_batch(
        &mut self,
        input: &[f32],
        shortcut: Option<&[f32]>,
        relu: bool,
        output: &mut Vec<f32>,
        workspace: &mut Workspace,
    ) {
        let mut normalizations = std::mem::take(&mut self.normalizations);
        // The sums are relative to the running mean, which is near the mean of the batch.
        self.write_running(&mut normalizations);
        // Every element is overwritten.
        output.resize(input.len(), 0.0);
        self.statistics.resize(normalizations.len(), Statistics::default());
        normalize_batch(
            input,
            self.blocks.layout(normalizations.len(), input),
            self.epsilon,
            &mut normalizations,
            &mut self.statistics,
            shortcut,
            relu,
            output,
            workspace,
        );
        self.normalizations = normalizations;
        let momentum = self.momentum;
        let running = self.running_mean.values.iter_mut().zip(&mut self.running_variance.values);
        for ((old_mean, old_variance), Statistics { mean, variance }) in
            running.zip(&self.statistics)
        {
            *old_mean = *old_mean * momentum + *mean as f32 * (1.0 - momentum);
            *old_variance = *old_variance * momentum + *variance as f32 * (1.0 - momentum);
        }
    }

    /// The backward pass, from the gradient of the output of the next operation.
    fn gradients(
        &mut self,
        pass: BackwardPass<'_>,
        next: NextOperation<'_>,
        gradient: &mut [f32],
        workspace: &mut Workspace,
    ) {
        let BackwardPass { input, to_input, gradients, .. } = pass;
        let to_input = match (to_input, self.is_frozen) {
            (false, _) => InputGradient::Unneeded,
            (true, true) => InputGradient::WithConstants,
            (true, false) => InputGradient::WithStatistics,
        };
        self.sums.resize(self.normalizations.len(), GradientSums::default());
        normalization_gradients(
            gradient,
            input,
            self.blocks.layout(self.normalizations.len(), input),
            &self.normalizations,
            next,
            to_input,
            &mut self.sums,
            workspace,
        );
        if let Some(gamma) = &mut self.gamma {
            store(gradients, gamma, self.sums.iter().map(|sums| sums.gamma));
        }
        if let Some(beta) = &mut self.beta {
            store(gradients, beta, self.sums.iter().map(|sums| sums.beta));
        }
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
    blocks.for_each(output, workspace, |block, output, workspace| {
        kiln_kernels::normalize(blocks.block(input, block), channels, relu, output, workspace);
    });
}

impl Operation for BatchNormalization {
    fn forward(&mut self, input: &[f32], output: &mut Vec<f32>, context: &mut StepContext<'_>) {
        if !self.is_frozen {
            self.normalize_batch(input, None, self.relu, output, context.workspace);
            return;
        }
        let mut normalizations = std::mem::take(&mut self.normalizations);
        self.write_running(&mut normalizations);
        normalize(self.blocks, input, &normalizations, self.relu, output, context.workspace);
        self.normalizations = normalizations;
    }

    fn infer(&self, input: &[f32], output: &mut Vec<f32>, workspace: &mut Workspace) {
        let mut channels = Vec::new();
        self.write_running(&mut channels);
        normalize(self.blocks, input, &channels, self.relu, output, workspace);
    }

    fn backward(
        &mut self,
        pass: BackwardPass<'_>,
        buffers: &mut GradientBuffers,
        workspace: &mut Workspace,
    ) {
        let next = NextOperation::Activation { relu: self.relu };
        self.gradients(pass, next, &mut buffers.gradient, workspace);
    }

    fn fuse_activation(&mut self, activation: Activation) -> bool {
        let can_fuse = activation == Activation::Relu && !self.relu;
        self.relu |= can_fuse;
        can_fuse
    }

    fn reads_output(&self) -> bool {
        // Where a ReLU was active follows from the input.
        false
    }

    fn as_shortcut_adder(&mut self) -> Option<&mut dyn AddsShortcut> {
        (!self.is_frozen && !self.relu).then_some(self)
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

impl AddsShortcut for BatchNormalization {
    fn forward_sum(
        &mut self,
        input: &[f32],
        shortcut: &[f32],
        relu: bool,
        sum: &mut Vec<f32>,
        workspace: &mut Workspace,
    ) {
        self.normalize_batch(input, Some(shortcut), relu, sum, workspace);
    }

    fn backward_sum(
        &mut self,
        pass: BackwardPass<'_>,
        relu: bool,
        gradient: &mut [f32],
        input_gradient: &mut Buffer,
        workspace: &mut Workspace,
    ) {
        input_gradient.resize(gradient.len());
        let relu_output = relu.then_some(pass.output);
        let next = NextOperation::ResidualSum { relu_output, input_gradient };
        self.gradients(pass, next, gradient, workspace);
    }
}
