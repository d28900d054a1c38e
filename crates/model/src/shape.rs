use std::fmt;

/// The shape of one sample between two layers, without the batch's dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A stack of planes: channels, then rows, then columns.
    Image {
        /// Planes: 1 for grey, 3 for colour, filters behind a convolution.
        channels: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// A flat list of numbers.
    Features(usize),
}

impl Shape {
    /// The number of values in one sample.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::Image { channels, height, width } => channels * height * width,
            Self::Features(features) => features,
        }
    }

    /// Whether a sample has no values at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The dimension along which a layer shares its parameters: channels, or features.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Image { channels, .. } => channels,
            Self::Features(features) => features,
        }
    }
}

/// `1×28×28`, or `784`.
impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { channels, height, width } => {
                write!(formatter, "{channels}×{height}×{width}")
            }
            Self::Features(features) => write!(formatter, "{features}"),
        }
    }
}
