use std::fmt;

use serde::Serialize;

use crate::activation::Activation;
use crate::architecture::{Architecture, PlannedLayer};
use crate::layers::ParameterSpec;
use crate::shape::Shape;

/// The bytes of a value: all values are `f32`.
pub(crate) const VALUE_BYTES: u64 = 4;

/// The output of `kiln summary`: a table like that of Keras' `model.summary()`, and the cost of a
/// training step. Sums saturate, because a model or a batch may be huge.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The shape of one image.
    pub input: Shape,
    /// One row per layer that no other layer owns.
    #[serde(rename = "layers")]
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

/// One layer of a [`Summary`]. Its numbers include those of the layers that it owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SummaryRow {
    /// The unique name, such as `stage_1.shortcut.conv2d`.
    pub name: String,
    /// The type: `conv2d`.
    #[serde(rename = "type")]
    pub keyword: &'static str,
    /// The activation function at its end, as it is configured.
    pub activation: &'static str,
    /// Whether it has parameters and `trainable = false`.
    pub frozen: bool,
    /// The shape of one output sample.
    pub output: Shape,
    /// The number of values in its parameters.
    pub parameters: usize,
    /// The floating-point operations of the forward pass, per sample.
    pub flops: u64,
    /// The bytes of its parameters, their gradients and their optimizer state, and of the activations of a batch that are
    /// stored for the backward pass.
    pub memory_bytes: u64,
    /// The layers that it owns.
    #[serde(rename = "layers", skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<SummaryRow>,
    /// Whether it repeats the layer before it in its list, with weights of its own.
    #[serde(skip)]
    is_repetition: bool,
}

/// The settings besides the layers that the memory of a training step depends on.
#[derive(Clone, Copy)]
struct Step {
    batch_size: usize,
    optimizer_slots: usize,
}

impl Step {
    fn row(self, layer: &PlannedLayer, before: Option<&PlannedLayer>) -> SummaryRow {
        let rows: Vec<SummaryRow> =
            layer.branches.iter().flat_map(|branch| self.rows(&branch.layers)).collect();
        let parameters: usize = layer.parameters.iter().map(ParameterSpec::len).sum();
        let is_same = |before: &PlannedLayer| {
            let shapes = |layer: &PlannedLayer| (layer.input, layer.output, layer.activation);
            shapes(before) == shapes(layer)
                && before.kind == layer.kind
                && before.training == layer.training
        };
        SummaryRow {
            name: layer.name.clone(),
            keyword: layer.kind.keyword(),
            activation: layer.activation.as_str(),
            frozen: !layer.training.trainable && layer.has_parameters(),
            output: layer.output,
            parameters: parameters + rows.iter().map(|row| row.parameters).sum::<usize>(),
            flops: rows.iter().map(|row| row.flops).fold(layer.flops, u64::saturating_add),
            memory_bytes: rows
                .iter()
                .map(|row| row.memory_bytes)
                .fold(self.memory(layer, parameters), u64::saturating_add),
            rows,
            is_repetition: before.is_some_and(is_same),
        }
    }

    fn rows(self, layers: &[PlannedLayer]) -> Vec<SummaryRow> {
        let before = std::iter::once(None).chain(layers.iter().map(Some));
        layers.iter().zip(before).map(|(layer, before)| self.row(layer, before)).collect()
    }

    /// The bytes of the layer itself.
    fn memory(self, layer: &PlannedLayer, parameters: usize) -> u64 {
        let trainable = layer.parameters.iter().filter(|parameter| parameter.trainable);
        let trainable: usize = trainable.map(ParameterSpec::len).sum();
        // The gradients, and the state of the optimizer.
        let copies = (self.optimizer_slots as u64).saturating_add(1);
        let parameters =
            (parameters as u64).saturating_add(copies.saturating_mul(trainable as u64));
        let activations = (layer.saved_activations as u64).saturating_mul(self.batch_size as u64);
        VALUE_BYTES.saturating_mul(parameters.saturating_add(activations))
    }
}

impl Architecture {
    /// Summarizes the model for training steps of `batch_size` images with an optimizer that stores
    /// `optimizer_slots` numbers per parameter (0 for plain SGD, 2 for Adam).
    #[must_use]
    pub fn summary(&self, batch_size: usize, optimizer_slots: usize) -> Summary {
        let mut rows = Step { batch_size, optimizer_slots }.rows(self.layers());
        // Shows a final softmax as configured, although the loss applies it.
        if let Some(last) = rows.last_mut().filter(|_| self.softmax_in_loss()) {
            last.activation = Activation::Softmax.as_str();
        }
        let forward_flops = rows.iter().map(|row| row.flops).fold(0, u64::saturating_add);
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
        let bytes = |values: usize| VALUE_BYTES.saturating_mul(values as u64);
        let trainable = self.trainable_parameters();
        Summary {
            input: self.input(),
            rows,
            parameters: self.parameters(),
            trainable,
            forward_flops,
            batch_size,
            step_flops: step_flops.saturating_mul(batch_size as u64),
            parameter_bytes: bytes(self.parameters()),
            gradient_bytes: bytes(trainable),
            optimizer_bytes: bytes(trainable).saturating_mul(optimizer_slots as u64),
            activation_bytes: bytes(self.saved_activations()).saturating_mul(batch_size as u64),
        }
    }
}

impl Summary {
    /// The bytes that a training step stores: the sum of all rows, and the images.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        [self.gradient_bytes, self.optimizer_bytes, self.activation_bytes]
            .into_iter()
            .fold(self.parameter_bytes, u64::saturating_add)
    }
}

/// The heading of the table.
const HEADING: [&str; 5] = ["Layer", "Output shape", "Parameters", "FLOPs", "Memory"];

/// The cells of a row and of those that it owns, indented. Of layers that repeat the one before them and own layers, there
/// is a single row with their sums.
fn add_cells(rows: &[SummaryRow], owner: Option<&str>, depth: usize, cells: &mut Vec<[String; 5]>) {
    let mut rest = rows;
    let mut shown: Option<&SummaryRow> = None;
    while let Some((row, others)) = rest.split_first() {
        // The name of an owner is that of the row above.
        let short = |row: &'_ SummaryRow| {
            let owner = owner.map(|owner| format!("{owner}."));
            owner.and_then(|owner| row.name.strip_prefix(&owner)).unwrap_or(&row.name).to_owned()
        };
        let folds = |row: &SummaryRow| row.is_repetition && !row.rows.is_empty();
        let (label, count) = match shown.filter(|_| folds(row)) {
            None => (row.label(&short(row)), 1),
            Some(first) => {
                let count = rest.iter().take_while(|row| folds(row)).count();
                (format!("{count} more like {}", short(first)), count)
            }
        };
        let all = &rest[..count];
        let sum =
            |number: fn(&SummaryRow) -> u64| all.iter().map(number).fold(0, u64::saturating_add);
        cells.push([
            format!("{}{label}", "  ".repeat(depth)),
            row.output.to_string(),
            thousands(sum(|row| row.parameters as u64)),
            scaled(sum(|row| row.flops)),
            size(sum(|row| row.memory_bytes)),
        ]);
        if count == 1 && !folds(row) {
            add_cells(&row.rows, Some(&row.name), depth + 1, cells);
            shown = Some(row);
        }
        rest = if count > 1 { &rest[count..] } else { others };
    }
}

impl SummaryRow {
    /// The name, and in parentheses the type, if the name does not say it, and the activation.
    fn label(&self, name: &str) -> String {
        let own = name.rsplit_once('.').map_or(name, |(_, own)| own);
        let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        let name_has_type = own
            .strip_prefix(self.keyword)
            .is_some_and(|rest| rest.is_empty() || rest.strip_prefix('_').is_some_and(is_number));
        let is_type_shown = name_has_type || self.keyword == self.activation;
        let linear = Activation::Linear.as_str();
        let parts = [
            Some(self.keyword).filter(|_| !is_type_shown),
            Some(self.activation).filter(|activation| *activation != linear),
            Some("frozen").filter(|_| self.frozen),
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        if parts.is_empty() { name.to_owned() } else { format!("{name} ({})", parts.join(", ")) }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let images = VALUE_BYTES.saturating_mul(self.input.len() as u64);
        let images = size(images.saturating_mul(self.batch_size as u64));
        let mut cells = vec![HEADING.map(str::to_owned)];
        cells.push(["images", &self.input.to_string(), "0", "0", &images].map(str::to_owned));
        add_cells(&self.rows, None, 0, &mut cells);
        let width = |column: usize| {
            cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let widths: [usize; 5] = std::array::from_fn(width);
        let line = "─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
        for (index, [layer, output, parameters, flops, memory]) in cells.iter().enumerate() {
            let [first, second, third, fourth, fifth] = widths;
            writeln!(
                f,
                "{layer:first$}  {output:>second$}  {parameters:>third$}  {flops:>fourth$}  {memory:>fifth$}",
            )?;
            if index == 0 {
                writeln!(f, "{line}")?;
            }
        }
        writeln!(f, "{line}")?;
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
        writeln!(
            f,
            "Training step:   {} FLOPs and {} for a batch of {}",
            thousands(self.step_flops),
            size(self.memory_bytes()),
            self.batch_size
        )?;
        write!(
            f,
            "  memory:        parameters {}, gradients {},\n                 optimizer {}, activations {}",
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

/// Formats `4718592` as `4.72 M`: three digits, and the prefix of the SI.
fn scaled(number: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let mut value = number as f64;
    let mut prefixes = ["", " k", " M", " G", " T", " P", " E"].into_iter();
    let mut prefix = prefixes.next().unwrap_or_default();
    // 999.5 k has four digits when rounded.
    while value >= 999.5 {
        let Some(next) = prefixes.next() else { break };
        (value, prefix) = (value / 1_000.0, next);
    }
    let decimals = match value {
        _ if prefix.is_empty() => 0,
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}{prefix}")
}

/// Formats bytes as `1.1 MiB`.
fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let bytes = bytes as f64;
    match bytes {
        b if b >= 1_099_511_627_776.0 => format!("{:.1} TiB", b / 1_099_511_627_776.0),
        b if b >= 1_073_741_824.0 => format!("{:.1} GiB", b / 1_073_741_824.0),
        b if b >= 1_048_576.0 => format!("{:.1} MiB", b / 1_048_576.0),
        b if b >= 1_024.0 => format!("{:.1} KiB", b / 1_024.0),
        b => format!("{b} B"),
    }
}
