//! The optimisers' update rules, in place: a gradient, a parameter and what is kept for it from step
//! to step. Orders of operations are those of Burn's optimisers, which the generic engine uses.

use crate::gradient_clipping::GradientClipping;
use crate::optimizer::OptimizerKind;

/// A parameter's values and what belongs to them. The last three are empty where the rule keeps no
/// such numbers, the gradient where it is [folded](Rule::folds) into the update.
pub(super) struct Parameter {
    pub(super) values: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    /// The running mean of the gradient.
    mean: Vec<f32>,
    /// The running mean, or for Adagrad the sum, of its square.
    square: Vec<f32>,
    /// What momentum carries on.
    velocity: Vec<f32>,
}

impl Parameter {
    /// What the rule keeps for it from step to step, by name.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&'static str, &[f32])> {
        let Self { mean, square, velocity, .. } = self;
        let all = [("mean", mean), ("square", square), ("velocity", velocity)];
        all.into_iter().map(|(name, values)| (name, values.as_slice())).filter(not_empty)
    }

    /// The same, to be set.
    pub(super) fn kept_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Vec<f32>)> {
        let Self { mean, square, velocity, .. } = self;
        let all = [("mean", mean), ("square", square), ("velocity", velocity)];
        all.into_iter().filter(|(_, values)| !values.is_empty())
    }
}

fn not_empty((_, values): &(&'static str, &[f32])) -> bool {
    !values.is_empty()
}

/// An update rule and how often it was applied.
pub(super) struct Rule {
    kind: OptimizerKind,
    clipping: GradientClipping,
    steps: i32,
}

impl Rule {
    pub(super) const fn new(kind: OptimizerKind, clipping: GradientClipping) -> Self {
        Self { kind, clipping, steps: 0 }
    }

    /// Plain gradient descent needs no gradient: the product that would be it can be subtracted from
    /// the weights as it is computed. Gives λ of the weight decay where that is so.
    pub(super) fn folds(&self) -> Option<f64> {
        match self.kind {
            OptimizerKind::Sgd { momentum, weight_decay, .. }
                if momentum == 0.0 && self.clipping == GradientClipping::default() =>
            {
                Some(weight_decay)
            }
            _ => None,
        }
    }

    pub(super) fn parameter(&self, values: Vec<f32>) -> Parameter {
        let keeps = |keeps: bool| if keeps { vec![0.0; values.len()] } else { Vec::new() };
        let (mean, square, velocity) = match self.kind {
            OptimizerKind::Sgd { momentum, .. } => (false, false, momentum > 0.0),
            OptimizerKind::Adam { .. } | OptimizerKind::Adamw { .. } => (true, true, false),
            OptimizerKind::Rmsprop { momentum, centered, .. } => (centered, true, momentum > 0.0),
            OptimizerKind::Adagrad { .. } => (false, true, false),
        };
        Parameter {
            gradient: keeps(self.folds().is_none()),
            mean: keeps(mean),
            square: keeps(square),
            velocity: keeps(velocity),
            values,
        }
    }

    /// The steps taken so far, as far as the rule needs to know.
    pub(super) const fn steps(&self) -> i32 {
        self.steps
    }

    pub(super) const fn set_steps(&mut self, steps: i32) {
        self.steps = steps;
    }

    /// Clips the gradients and takes one step with all parameters.
    pub(super) fn apply(&mut self, learning_rate: f64, mut parameters: Vec<&mut Parameter>) {
        clip(self.clipping, &mut parameters);
        self.steps = self.steps.saturating_add(1);
        for parameter in parameters {
            self.update(learning_rate, parameter);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "f32 is what is computed in, as in Burn")]
    fn update(&self, learning_rate: f64, parameter: &mut Parameter) {
        let rate = learning_rate as f32;
        let Parameter { values, gradient, mean, square, velocity } = parameter;
        match self.kind {
            OptimizerKind::Sgd { momentum, nesterov, weight_decay } => {
                let (momentum, decay) = (momentum as f32, weight_decay as f32);
                if decay > 0.0 {
                    zip(gradient, values, |g, w| w * decay + g);
                }
                if momentum > 0.0 {
                    zip(velocity, gradient, |v, g| v * momentum + g);
                    if nesterov {
                        zip(gradient, velocity, |g, v| v * momentum + g);
                        zip(values, gradient, |w, g| w - rate * g);
                    } else {
                        zip(values, velocity, |w, v| w - rate * v);
                    }
                } else {
                    zip(values, gradient, |w, g| w - rate * g);
                }
            }
            OptimizerKind::Adam { beta_1, beta_2, epsilon } => {
                let (beta_1, beta_2) = (beta_1 as f32, beta_2 as f32);
                let root = (1.0 - beta_2.powi(self.steps)).sqrt();
                let scale = root / (1.0 - beta_1.powi(self.steps));
                let epsilon = epsilon as f32 * root;
                moments(values, gradient, mean, square, [beta_1, beta_2], |w, m, v| {
                    w - rate * (m * scale / (v.sqrt() + epsilon))
                });
            }
            OptimizerKind::Adamw { beta_1, beta_2, epsilon, weight_decay } => {
                let (beta_1, beta_2) = (beta_1 as f32, beta_2 as f32);
                let mean_scale = 1.0 / (1.0 - beta_1.powi(self.steps));
                let square_scale = 1.0 / (1.0 - beta_2.powi(self.steps));
                let epsilon = epsilon as f32;
                let keep = (1.0 - learning_rate * f64::from(weight_decay as f32)) as f32;
                moments(values, gradient, mean, square, [beta_1, beta_2], |w, m, v| {
                    w * keep - rate * (m * mean_scale / ((v * square_scale).sqrt() + epsilon))
                });
            }
            OptimizerKind::Rmsprop { rho, momentum, epsilon, centered } => {
                let (rho, momentum, epsilon) = (rho as f32, momentum as f32, epsilon as f32);
                zip(square, gradient, |v, g| v * rho + g * g * (1.0 - rho));
                if centered {
                    zip(mean, gradient, |m, g| m * rho + g * (1.0 - rho));
                    for ((g, v), m) in gradient.iter_mut().zip(square).zip(mean) {
                        *g /= (*v - *m * *m).sqrt() + epsilon;
                    }
                } else {
                    zip(gradient, square, |g, v| g / (v.sqrt() + epsilon));
                }
                if momentum > 0.0 {
                    zip(velocity, gradient, |v, g| v * momentum + g);
                    zip(values, velocity, |w, v| w - rate * v);
                } else {
                    zip(values, gradient, |w, g| w - rate * g);
                }
            }
            OptimizerKind::Adagrad { epsilon } => {
                let epsilon = epsilon as f32;
                for ((w, g), s) in values.iter_mut().zip(gradient).zip(square) {
                    *s += *g * *g;
                    *w -= *g / (s.sqrt() + epsilon) * rate;
                }
            }
        }
    }
}

/// Updates Adam's two running means, and with them each value as `update` says.
fn moments(
    values: &mut [f32],
    gradient: &[f32],
    mean: &mut [f32],
    square: &mut [f32],
    [beta_1, beta_2]: [f32; 2],
    update: impl Fn(f32, f32, f32) -> f32,
) {
    let kept = mean.iter_mut().zip(square);
    for ((w, g), (m, v)) in values.iter_mut().zip(gradient).zip(kept) {
        *m = *m * beta_1 + g * (1.0 - beta_1);
        *v = *v * beta_2 + g * g * (1.0 - beta_2);
        *w = update(*w, *m, *v);
    }
}

fn zip(values: &mut [f32], others: &[f32], function: impl Fn(f32, f32) -> f32) {
    for (value, other) in values.iter_mut().zip(others) {
        *value = function(*value, *other);
    }
}

/// The values first, then the norm over all gradients together.
#[expect(clippy::cast_possible_truncation, reason = "f32 is what is computed in")]
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

/// The sum of the squares.
fn square_sum(values: &[f32]) -> f64 {
    // Not so many that the sums of a block lose more than their last digits.
    values.chunks(4096).map(|block| f64::from(block_square_sum(block))).sum()
}

/// The sum of the squares, in sixteen sums that are computed side by side.
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
