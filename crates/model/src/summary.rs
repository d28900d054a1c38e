use std::fmt;

use crate::activation::Activation;
use crate::architecture::{Architecture, PlannedLayer};

/// The output of `kiln summary`: a table like that of Keras' `model.summary()`, and the cost of a
/// training step.
#[derive(Debug, Clone)]
pub struct Summary {
    /// One row per layer.
    pub rows: Vec<SummaryRow>,
    /// The number of values in all parameters.
    pub parameters: usize,
    /// The number of values that the optimizer updates.
    pub trainable: usize,
    /// The floating-point operations of the forward pass, per sample.
    pub forward_flops: u64,
    /// The number of images in a training step.
    pub batch_size: usize,
    /// The floating-point operations of a training step: the forward pass, the weight gradients of the layers that are
    /// trained, and the input gradients of all layers after the first one that is trained.
    pub step_flops: u64,
    /// The bytes of the parameters.
    pub parameter_bytes: u64,
    /// The bytes of the gradients.
    pub gradient_bytes: u64,
    /// The bytes of the optimizer state.
    pub optimizer_bytes: u64,
    /// The bytes of a batch and of the activations that are stored for the backward pass.
    pub activation_bytes: u64,
}

/// One layer of a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRow {
    /// The name, type and activation: `hidden_1 (dense, relu)`, and `frozen` if it is not trained; two spaces before it for each layer that owns it.
    pub layer: String,
    /// The shape of one output sample.
    pub output: String,
    /// The number of values in its parameters.
    pub parameters: usize,
}

impl Architecture {
    /// Summarizes the model for training steps of `batch_size` images with an optimizer that stores
    /// `optimizer_slots` numbers per parameter (0 for plain SGD, 2 for Adam).
    #[must_use]
    pub fn summary(&self, batch_size: usize, optimizer_slots: usize) -> Summary {
        let last = self.layers().last().map(|layer| layer.name.as_str());
        let rows = self.nested_layers().map(|(depth, layer)| {
            // Shows a final softmax as configured, although the loss applies it.
            let activation = match layer.activation {
                Activation::Linear if last == Some(&layer.name) && self.softmax_in_loss() => {
                    "softmax"
                }
                Activation::Linear => "",
                other => other.as_str(),
            };
            let frozen =
                if layer.training.trainable || !layer.has_parameters() { "" } else { "frozen" };
            let kind = [layer.kind.keyword(), activation, frozen];
            let kind: Vec<&str> = kind.into_iter().filter(|part| !part.is_empty()).collect();
            SummaryRow {
                layer: format!("{}{} ({})", "  ".repeat(depth), layer.name, kind.join(", ")),
                output: layer.output.to_string(),
                parameters: layer.parameters.iter().map(crate::ParameterSpec::len).sum(),
            }
        });
        let flops = || self.nested_layers().map(|(_, layer)| layer.flops);
        // Saturates, because a model may be huge.
        let forward_flops = flops().fold(0, u64::saturating_add);
        let is_trained =
            |layer: &PlannedLayer| layer.parameters.iter().any(|parameter| parameter.trainable);
        let first = self.nested_layers().position(|(_, layer)| is_trained(layer));
        // Each gradient costs as much as the forward pass. That of the weights is computed for layers that are trained, and
        // that of the input for all layers after the first one of these.
        let passes = |index: usize, layer: &PlannedLayer| {
            1 + u64::from(is_trained(layer)) + u64::from(first.is_some_and(|first| index > first))
        };
        let step_flops =
            self.nested_layers().enumerate().fold(0_u64, |sum, (index, (_, layer))| {
                sum.saturating_add(passes(index, layer).saturating_mul(layer.flops))
            });
        // All values are `f32`.
        let bytes = |values: usize| 4 * values as u64;
        let trainable = self.trainable_parameters();
        let saved: usize = self.nested_layers().map(|(_, layer)| layer.saved_activations).sum();
        Summary {
            rows: rows.collect(),
            parameters: self.parameters(),
            trainable,
            forward_flops,
            batch_size,
            step_flops: step_flops.saturating_mul(batch_size as u64),
            parameter_bytes: bytes(self.parameters()),
            gradient_bytes: bytes(trainable),
            optimizer_bytes: bytes(trainable).saturating_mul(optimizer_slots as u64),
            activation_bytes: bytes(self.input().len() + saved).saturating_mul(batch_size as u64),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layer_width = self.rows.iter().map(|row| row.layer.chars().count()).max();
        let layer_width = layer_width.unwrap_or(0).max(5);
        let output_width = self.rows.iter().map(|row| row.output.chars().count()).max();
        let output_width = output_width.unwrap_or(0).max(12);
        writeln!(
            f,
            "{:layer_width$}  {:>output_width$}  {:>12}",
            "Layer", "Output shape", "Parameters"
        )?;
        writeln!(f, "{}", "─".repeat(layer_width + output_width + 16))?;
        for row in &self.rows {
            let parameters = thousands(row.parameters as u64);
            writeln!(
                f,
                "{:layer_width$}  {:>output_width$}  {parameters:>12}",
                row.layer, row.output
            )?;
        }
        writeln!(f, "{}", "─".repeat(layer_width + output_width + 16))?;
        let not_trainable = self.parameters - self.trainable;
        writeln!(
            f,
            "Parameters:      {} ({})",
            thousands(self.parameters as u64),
            size(self.parameter_bytes)
        )?;
        writeln!(f, "  trainable:     {}", thousands(self.trainable as u64))?;
        writeln!(f, "  not trainable: {}", thousands(not_trainable as u64))?;
        writeln!(f, "Forward pass:    {} FLOPs per image", thousands(self.forward_flops))?;
        // Saturates, because the batch size may be huge.
        let memory = [self.gradient_bytes, self.optimizer_bytes, self.activation_bytes]
            .into_iter()
            .fold(self.parameter_bytes, u64::saturating_add);
        writeln!(
            f,
            "Training step:   {} FLOPs and {} for a batch of {}",
            thousands(self.step_flops),
            size(memory),
            self.batch_size
        )?;
        write!(
            f,
            "  memory:        parameters {}, gradients {}, optimizer {}, activations {}",
            size(self.parameter_bytes),
            size(self.gradient_bytes),
            size(self.optimizer_bytes),
            size(self.activation_bytes)
        )
    }
}

/// Formats `286810` as `286,810`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Formats bytes as `1.1 MiB`.
fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let bytes = bytes as f64;
    match bytes {
        b if b >= 1_073_741_824.0 => format!("{:.1} GiB", b / 1_073_741_824.0),
        b if b >= 1_048_576.0 => format!("{:.1} MiB", b / 1_048_576.0),
        b if b >= 1_024.0 => format!("{:.1} KiB", b / 1_024.0),
        b => format!("{b} B"),
    }
}
