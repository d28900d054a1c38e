//! The window of a convolution or a pooling layer, which moves over the rows and columns of an image.

use kiln_config::{ConfigError, FromValue, Kind, Table, Value};
use serde::{Serialize, Serializer};

use crate::shape::Shape;

/// Limit for the rows and columns that a window spans. A larger one is a typo, and with padding it would need images of
/// any size.
pub(crate) const MAX_SPAN: usize = 1_024;

/// A number for the rows and one for the columns: `3`, or `[3, 5]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The number for rows, above 0.
    pub height: usize,
    /// The number for columns, above 0.
    pub width: usize,
}

impl Pair {
    /// The same number for rows and columns.
    #[must_use]
    pub const fn both(number: usize) -> Self {
        Self { height: number, width: number }
    }

    /// `[height, width]`.
    #[must_use]
    pub const fn as_array(self) -> [usize; 2] {
        [self.height, self.width]
    }
}

impl FromValue for Pair {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let error = || {
            let error = value.expected("a whole number above 0, or two of them: [height, width]");
            match &value.kind {
                Kind::String(text) => match numbers_in(text).as_slice() {
                    [side] => error.help(format!("write {side} without quotes")),
                    [height, width] => error.help(format!("write [{height}, {width}]")),
                    _ => error,
                },
                Kind::Array(items) => match items.as_slice() {
                    [Value { kind: Kind::Integer(side), .. }] if *side > 0 => {
                        error.help(format!("write {side}"))
                    }
                    _ => error,
                },
                _ => error,
            }
        };
        let number = |value: &Value| match value.kind {
            Kind::Integer(number) => {
                usize::try_from(number).ok().filter(|number| *number > 0).ok_or_else(error)
            }
            _ => Err(error()),
        };
        match &value.kind {
            Kind::Array(items) => match items.as_slice() {
                [height, width] => Ok(Self { height: number(height)?, width: number(width)? }),
                _ => Err(error()),
            },
            _ => number(value).map(Self::both),
        }
    }
}

/// The numbers in a text such as `3x3` or `(3, 3)`.
fn numbers_in(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty()).collect()
}

impl Serialize for Pair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.height == self.width {
            self.height.serialize(serializer)
        } else {
            self.as_array().serialize(serializer)
        }
    }
}

kiln_config::keywords! {
    /// The treatment of the borders of an image.
    pub enum Padding as "padding" {
        /// The window stays inside the image, so the output is smaller.
        Valid = "valid",
        /// The image is surrounded by zeros so that the output has ⌈side / stride⌉ rows and columns, as in Keras. If their
        /// number is odd, the last side gets one more. PyTorch's "same" exists for a stride of 1 only; its usual
        /// `padding=1` with a stride of 2 puts the zeros on other sides.
        Same = "same",
    }
}

/// The keys of a pooling layer: its window, how far it moves, and what it does at the borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PoolingWindow {
    /// The rows and columns of the window.
    pub pool_size: Pair,
    /// How many rows and columns the window moves at a time.
    pub strides: Pair,
    /// The treatment of the borders. The padding has no values: it never is the maximum and does not count in a mean.
    pub padding: Padding,
}

impl PoolingWindow {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let pool_size = table.default("pool_size", Pair::both(2))?;
        Ok(Self {
            pool_size,
            strides: table.default("strides", pool_size)?,
            padding: read_padding(table)?,
        })
    }

    pub(crate) fn output(self, input: Shape) -> Result<Shape, String> {
        let [channels, ..] = Window::image(input)?;
        self.window().output(input, channels)
    }

    /// The padding around an image of this size: (top, bottom) and (left, right).
    pub(crate) fn zeros(self, input: Shape) -> [(usize, usize); 2] {
        self.window().zeros(input)
    }

    /// Whether each window is one pixel, and each pixel a window.
    pub(crate) fn is_identity(self) -> bool {
        self.pool_size == Pair::both(1) && self.strides == Pair::both(1)
    }

    /// The window.
    #[must_use]
    pub fn window(self) -> Window {
        let Self { pool_size: size, strides, padding } = self;
        Window { size, strides, dilation: Pair::both(1), padding }
    }
}

/// Reads the key `padding` of a convolution or a pooling layer.
pub(crate) fn read_padding(table: &mut Table<'_>) -> Result<Padding, ConfigError> {
    let is_text = matches!(table.value("padding").map(|value| &value.kind), Some(Kind::String(_)));
    table.default("padding", Padding::Valid).map_err(|error| match is_text {
        true => error,
        // A number, as in PyTorch.
        false => error.also(
            "or put { type = \"zero_padding2d\", padding = 1 } before the layer for another number of zeros",
        ),
    })
}

/// A window, how far it moves, and what it does at the borders.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// The rows and columns of the window.
    pub size: Pair,
    /// How many rows and columns the window moves at a time.
    pub strides: Pair,
    /// The distance between the pixels under the window; 1 if they are adjacent.
    pub dilation: Pair,
    /// The treatment of the borders.
    pub padding: Padding,
}

impl Window {
    /// The image of one sample, as `[channels, height, width]`. The error is for a layer that has flat features as its
    /// input.
    pub(crate) fn image(input: Shape) -> Result<[usize; 3], String> {
        match input {
            Shape::Image { channels, height, width } => Ok([channels, height, width]),
            Shape::Features(features) => Err(format!(
                "it needs images, but its input is flat ({features} features); remove it, or put it before the layer that makes \
                 the input flat: a flatten or a global pooling layer"
            )),
        }
    }

    /// The rows and columns of the output for an image of this size.
    pub(crate) fn output(self, input: Shape, channels: usize) -> Result<Shape, String> {
        let [_, height, width] = Self::image(input)?;
        let spans = [
            span(self.size.height, self.dilation.height),
            span(self.size.width, self.dilation.width),
        ];
        let [rows, columns] = match spans {
            [Some(rows), Some(columns)] if rows <= MAX_SPAN && columns <= MAX_SPAN => {
                [rows, columns]
            }
            _ => {
                return Err(format!(
                    "its window spans more than {MAX_SPAN} rows or columns; make it smaller"
                ));
            }
        };
        let Pair { height: down, width: across } = self.strides;
        if self.padding == Padding::Same {
            let (height, width) = (height.div_ceil(down), width.div_ceil(across));
            return Ok(Shape::Image { channels, height, width });
        }
        if rows > height || columns > width {
            #[expect(clippy::cast_possible_wrap, reason = "sides of images are far below 2^63")]
            let side = |side: usize, span: usize, stride: usize| {
                (side as i64 - span as i64).div_euclid(i64::try_from(stride).unwrap_or(i64::MAX))
                    + 1
            };
            return Err(format!(
                "its window of {rows}×{columns} pixels does not fit into its input, {input}: the output would be \
                 {channels}×{}×{}; set padding = \"same\" in it or in the layers before it, make its window at most \
                 {height}×{width}, or remove a layer before it that shrinks the image",
                side(height, rows, down),
                side(width, columns, across),
            ));
        }
        Ok(Shape::Image {
            channels,
            height: (height - rows) / down + 1,
            width: (width - columns) / across + 1,
        })
    }

    /// The zeros around an image of this size: (top, bottom) and (left, right). The layer must have accepted
    /// it.
    #[must_use]
    pub fn zeros(self, input: Shape) -> [(usize, usize); 2] {
        let Shape::Image { height, width, .. } = input else {
            return [(0, 0); 2];
        };
        if self.padding == Padding::Valid {
            return [(0, 0); 2];
        }
        let zeros = |side: usize, size, dilation, stride: usize| {
            let steps = side.div_ceil(stride).saturating_sub(1);
            let span = span(size, dilation).unwrap_or(usize::MAX);
            let all = steps.saturating_mul(stride).saturating_add(span).saturating_sub(side);
            // The odd one comes last, as in Keras.
            (all / 2, all - all / 2)
        };
        [
            zeros(height, self.size.height, self.dilation.height, self.strides.height),
            zeros(width, self.size.width, self.dilation.width, self.strides.width),
        ]
    }
}

/// The pixels from the first to the last one under a window.
fn span(size: usize, dilation: usize) -> Option<usize> {
    (size - 1).checked_mul(dilation)?.checked_add(1)
}

/// The largest divisor of `number` up to `limit`.
pub(crate) fn divisor(number: usize, limit: usize) -> usize {
    (1..=limit.min(number)).rev().find(|divisor| number.is_multiple_of(*divisor)).unwrap_or(1)
}
