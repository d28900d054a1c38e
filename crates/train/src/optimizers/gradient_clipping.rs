use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use kiln_config::{ConfigError, Table};
use serde::Serialize;

/// The clipping of large gradients before the update: the keys `global_clipnorm` and `clipvalue` of
/// `[optimizer]`, with Keras' names. If both are set, values are clipped first.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct GradientClipping {
    /// The largest Euclidean norm over the gradients of all parameters together. If it is exceeded, all of
    /// them are scaled by the same factor (Pascanu et al. 2013).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_clipnorm: Option<f64>,
    /// The largest absolute value of a gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clipvalue: Option<f64>,
}

impl GradientClipping {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let mut limit = |key| {
            let limit = table.checked(key, 0.0, "a number above 0", |limit| *limit > 0.0)?;
            // 0 is the default and means no limit. It cannot be given.
            Ok::<_, ConfigError>((limit > 0.0).then_some(limit))
        };
        Ok(Self { global_clipnorm: limit("global_clipnorm")?, clipvalue: limit("clipvalue")? })
    }

    /// Clips the gradients of a module's parameters. Burn's own clipping computes a norm for each
    /// parameter, not one over all of them.
    pub(crate) fn apply<M: Module>(
        self,
        module: &M,
        mut gradients: GradientsParams,
    ) -> GradientsParams {
        if let Some(limit) = self.clipvalue {
            let mut clip = Change { gradients, change: Clamp(limit) };
            module.visit(&mut clip);
            gradients = clip.gradients;
        }
        if let Some(limit) = self.global_clipnorm {
            let mut squares = SquareSum { gradients: &gradients, sum: None };
            module.visit(&mut squares);
            if let Some(sum) = squares.sum {
                // Computed on the device, so that the step does not wait for it. The factor is 1 if the norm is within the limit.
                let norm = sum.sqrt().clamp_min(limit);
                let mut scale = Change { gradients, change: Scale(norm.full_like(limit) / norm) };
                module.visit(&mut scale);
                gradients = scale.gradients;
            }
        }
        gradients
    }
}

/// The sum of the squares of all gradients, `[1]`; `None` before the first.
struct SquareSum<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SquareSum<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(parameter.id) {
            let square = gradient.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

/// Applies `change` to every gradient.
struct Change<C> {
    gradients: GradientsParams,
    change: C,
}

trait GradientChange {
    fn of<const D: usize>(&self, gradient: Tensor<D>) -> Tensor<D>;
}

struct Clamp(f64);

impl GradientChange for Clamp {
    fn of<const D: usize>(&self, gradient: Tensor<D>) -> Tensor<D> {
        gradient.clamp(-self.0, self.0)
    }
}

/// A factor, `[1]`.
struct Scale(Tensor<1>);

impl GradientChange for Scale {
    fn of<const D: usize>(&self, gradient: Tensor<D>) -> Tensor<D> {
        gradient * self.0.clone().reshape([1; D])
    }
}

impl<C: GradientChange> ModuleVisitor for Change<C> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(parameter.id) {
            self.gradients.register::<D>(parameter.id, self.change.of(gradient));
        }
    }
}
