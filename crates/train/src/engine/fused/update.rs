//! A step of all parameters in place: gradient clipping, then the optimizer's update.

use kiln_kernels::Workspace;

use crate::optimizers::{
    FusedParameter, GradientClipping, OptimizerConfig, OptimizerKind, ParameterSettings, UpdateStep,
};
use crate::schedules::StepSettings;

/// A parameter's values, their gradient and the optimizer's state.
pub(super) struct Parameter {
    pub(super) values: Vec<f32>,
    /// Empty if the gradient is subtracted while it is computed; see [`Rule::fused_weight_decay`], or if the parameter is not
    /// trained.
    pub(super) gradient: Vec<f32>,
    pub(super) settings: ParameterSettings,
    /// One for each name in `names`, as long as the values; none if the parameter is not trained.
    slots: Vec<Vec<f32>>,
    names: &'static [&'static str],
    /// The running average of the values; empty before the first step, and if the experiment asks for no average.
    pub(super) average: Vec<f32>,
}

impl Parameter {
    /// The optimizer's state, by name.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&'static str, &[f32])> {
        self.names.iter().copied().zip(self.slots.iter().map(Vec::as_slice))
    }

    /// The values, gradients and slots in parts of [`PART`] values.
    fn parts(&mut self) -> impl Iterator<Item = UpdatePart<'_>> {
        let settings = self.settings;
        let mut slots: Vec<_> = self.slots.iter_mut().map(|slot| slot.chunks_mut(PART)).collect();
        let parts = self.values.chunks_mut(PART).zip(self.gradient.chunks_mut(PART));
        parts.map(move |(values, gradient)| {
            let slots = slots.iter_mut().filter_map(Iterator::next).collect();
            (settings, Some(FusedParameter { values, gradient, slots }))
        })
    }

    /// Like [`kept`](Self::kept), mutable.
    pub(super) fn kept_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Vec<f32>)> {
        self.names.iter().copied().zip(&mut self.slots)
    }
}

/// The values of a parameter that one thread updates at a time. An update that passes over them several times finds them in
/// the L2 cache.
const PART: usize = 1 << 14;

/// A part of a parameter until it is updated, and the settings of the parameter.
type UpdatePart<'a> = (ParameterSettings, Option<FusedParameter<'a>>);

/// An optimizer, and how many steps it has taken.
pub(super) struct Rule {
    optimizer: OptimizerKind,
    clipping: GradientClipping,
    steps: i32,
    /// Whether all parameters that are trained have the default settings.
    is_uniform: bool,
    /// 1 − decay of the running average of the weights, if the experiment asks for one.
    average_share: Option<f32>,
}

impl Rule {
    /// `parameters` are the settings of all parameters.
    pub(super) fn new(
        config: &OptimizerConfig,
        average_decay: Option<f64>,
        parameters: &[ParameterSettings],
    ) -> Self {
        Self {
            optimizer: config.kind,
            clipping: config.clipping,
            steps: 0,
            is_uniform: parameters
                .iter()
                .all(|own| !own.trainable || *own == ParameterSettings::default()),
            average_share: average_decay.map(|decay| (1.0 - decay) as f32),
        }
    }

    /// Whether the experiment asks for a running average of the weights.
    pub(super) const fn averages(&self) -> bool {
        self.average_share.is_some()
    }

    /// Adds the weights after a step to the running average, if the experiment asks for one.
    pub(super) fn add_to_average<'a>(
        &self,
        parameters: impl Iterator<Item = &'a mut Parameter>,
        workspace: &mut Workspace,
    ) {
        let Some(share) = self.average_share else { return };
        for Parameter { values, average, .. } in parameters {
            if average.is_empty() {
                average.clone_from(values);
            } else {
                let (count, none): (_, &mut [()]) = (values.len(), &mut []);
                workspace.split_loops(
                    count,
                    count,
                    average,
                    none,
                    #[inline(always)]
                    |part, average, _| {
                        for (a, w) in average.iter_mut().zip(&values[part]) {
                            // The order of operations is that of the generic engine.
                            *a += (w - *a) * share;
                        }
                    },
                );
            }
        }
    }

    /// λ of the weight decay, if the gradient can be subtracted from the weights while it is computed.
    /// Clipping has to see the whole gradient first, and one learning rate and one λ must apply to all parameters.
    pub(super) fn fused_weight_decay(&self) -> Option<f64> {
        let unclipped = self.clipping == GradientClipping::default();
        let is_plain = unclipped && self.is_uniform;
        self.optimizer.rule().fused().filter(|_| is_plain)?.plain_descent()
    }

    /// A parameter with these values, before the first step.
    pub(super) fn parameter(&self, values: Vec<f32>, settings: ParameterSettings) -> Parameter {
        let zeros = vec![0.0; values.len()];
        let names = if settings.trainable { self.optimizer.rule().slots() } else { &[] };
        let has_gradient = settings.trainable && self.fused_weight_decay().is_none();
        Parameter {
            slots: vec![zeros.clone(); names.len()],
            gradient: if has_gradient { zeros } else { Vec::new() },
            settings,
            names,
            average: Vec::new(),
            values,
        }
    }

    pub(super) const fn steps(&self) -> i32 {
        self.steps
    }

    pub(super) const fn set_steps(&mut self, steps: i32) {
        self.steps = steps;
    }

    /// Clips the gradients and updates all parameters that are trained.
    pub(super) fn apply(
        &mut self,
        settings: StepSettings,
        mut parameters: Vec<&mut Parameter>,
        workspace: &mut Workspace,
    ) {
        parameters.retain(|parameter| parameter.settings.trainable);
        clip(self.clipping, &mut parameters);
        self.steps = self.steps.saturating_add(1);
        let StepSettings { learning_rate, momentum } = settings;
        let optimizer = self.optimizer.with_momentum(momentum);
        let undecayed = optimizer.without_weight_decay();
        let number = self.steps;
        let count = parameters.iter().map(|parameter| parameter.values.len()).sum();
        let mut parts: Vec<_> =
            parameters.into_iter().flat_map(|parameter| parameter.parts()).collect();
        workspace.for_each_part(count, 1, &mut parts, |_, parts, _| {
            for (settings, parameter) in parts {
                let learning_rate = learning_rate * settings.learning_rate_factor;
                let optimizer = if settings.decays { &optimizer } else { &undecayed };
                // There is always an update: `unsupported` rejects optimizers without one.
                if let (Some(fused), Some(parameter)) = (optimizer.rule().fused(), parameter.take())
                {
                    fused.update(UpdateStep { learning_rate, number }, parameter);
                }
            }
        });
    }
}

/// Clips each value first, then the norm over the gradients of all parameters.
fn clip(clipping: GradientClipping, parameters: &mut [&mut Parameter]) {
    if let Some(limit) = clipping.clipvalue {
        let limit = limit as f32;
        for parameter in &mut *parameters {
            parameter.gradient.iter_mut().for_each(|g| *g = g.clamp(-limit, limit));
        }
    }
    if let Some(limit) = clipping.global_clipnorm {
        let sum: f64 = parameters.iter().map(|parameter| square_sum(&parameter.gradient)).sum();
        let norm = sum.sqrt();
        if norm > limit {
            let scale = (limit / norm) as f32;
            for parameter in parameters {
                parameter.gradient.iter_mut().for_each(|g| *g *= scale);
            }
        }
    }
}

/// The sum of the squares, in f64 over blocks. A block is short enough for f32 to lose only the last
/// digits of its sum.
fn square_sum(values: &[f32]) -> f64 {
    values.chunks(4096).map(|block| f64::from(block_square_sum(block))).sum()
}

/// The sum of the squares. The compiler may not reorder additions, so sixteen separate sums make room
/// for vector instructions.
fn block_square_sum(values: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    let chunks = values.chunks_exact(sums.len());
    let rest: f32 = chunks.remainder().iter().map(|value| value * value).sum();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value * value;
        }
    }
    sums.iter().sum::<f32>() + rest
}
