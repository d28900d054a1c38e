//! Zeros around an image.

use burn::module::Module;
use burn::tensor::ops::PadMode;
use kiln_config::{ConfigError, FromValue, Kind, Table, Value};
use rand_core::Rng;
use serde::{Serialize, Serializer};

use super::window::{MAX_SPAN, Window};
use super::{Context, Features, Layer, LayerModule, LayerRules, Mode, ModuleParts};
use crate::shape::Shape;

/// `{ type = "zero_padding2d", padding = 1 }`: rows and columns of zeros around an image. Before a convolution without
/// padding, it is the padding of PyTorch's convolutions, which differs from `"same"` if the stride is above 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ZeroPadding2dConfig {
    /// The number of rows and columns.
    pub padding: Borders,
}

/// Numbers for the four sides of an image: `1`, `[rows, columns]` or `[[top, bottom], [left, right]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Borders {
    /// Above and below.
    pub rows: (usize, usize),
    /// To the left and to the right.
    pub columns: (usize, usize),
}

impl ZeroPadding2dConfig {
    pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        let one = Borders { rows: (1, 1), columns: (1, 1) };
        Ok(Self { padding: table.default("padding", one)? })
    }
}

impl LayerRules for ZeroPadding2dConfig {
    fn output_shape(&self, input: Shape, _: &Context<'_>) -> Result<Shape, String> {
        let [channels, height, width] = Window::image(input)?;
        let Borders { rows: (top, bottom), columns: (left, right) } = self.padding;
        Ok(Shape::Image { channels, height: height + top + bottom, width: width + left + right })
    }

    fn passes_values(&self, _: Shape) -> bool {
        self.padding == Borders { rows: (0, 0), columns: (0, 0) }
    }

    fn module(&self, _: ModuleParts<'_>) -> Layer {
        let Borders { rows, columns } = self.padding;
        Layer::ZeroPadding2d(ZeroPadding2d { borders: [rows, columns] })
    }
}

#[derive(Module, Debug)]
pub(crate) struct ZeroPadding2d {
    /// (top, bottom) and (left, right).
    #[module(skip)]
    borders: [(usize, usize); 2],
}

impl LayerModule for ZeroPadding2d {
    fn forward<R: Rng>(&self, x: Features, _: &mut Mode<'_, R>) -> Features {
        Features::Image(x.image().pad(self.borders, PadMode::Constant(0.0)))
    }
}

impl FromValue for Borders {
    fn from_value(value: &Value) -> Result<Self, ConfigError> {
        let error = || {
            value.expected(&format!(
                "a whole number from 0 to {MAX_SPAN}, [rows, columns] or [[top, bottom], [left, right]]"
            ))
        };
        let number = |value: &Value| match value.kind {
            Kind::Integer(number) => {
                usize::try_from(number).ok().filter(|number| *number <= MAX_SPAN).ok_or_else(error)
            }
            _ => Err(error()),
        };
        let sides = |value: &Value| match &value.kind {
            Kind::Array(items) => match items.as_slice() {
                [first, last] => Ok((number(first)?, number(last)?)),
                _ => Err(error()),
            },
            _ => number(value).map(|both| (both, both)),
        };
        match &value.kind {
            Kind::Array(items) => match items.as_slice() {
                [rows, columns] => Ok(Self { rows: sides(rows)?, columns: sides(columns)? }),
                _ => Err(error()),
            },
            _ => sides(value).map(|both| Self { rows: both, columns: both }),
        }
    }
}

impl Serialize for Borders {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { rows, columns } = *self;
        if rows.0 != rows.1 || columns.0 != columns.1 {
            [rows, columns].serialize(serializer)
        } else if rows != columns {
            [rows.0, columns.0].serialize(serializer)
        } else {
            rows.0.serialize(serializer)
        }
    }
}
