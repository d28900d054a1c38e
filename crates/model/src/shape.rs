use std::fmt;

/// The shape of one sample between two layers, without the batch dimension.
///
/// Displays as `1×28×28` or `784`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `[channels, height, width]`.
    Image {
        /// 1 for gray images, 3 for RGB, the number of filters after a convolution.
        channels: usize,
        /// The number of rows.
        height: usize,
        /// The number of columns.
        width: usize,
    },
    /// `[features]`.
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

    /// The number of values in one sample, or `None` if it is too large for this machine.
    #[must_use]
    pub const fn checked_len(self) -> Option<usize> {
        match self {
            Self::Image { channels, height, width } => match channels.checked_mul(height) {
                Some(rows) => rows.checked_mul(width),
                None => None,
            },
            Self::Features(features) => Some(features),
        }
    }

    /// Whether a sample has no values.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The number of channels of an image, or of features.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Image { channels, .. } => channels,
            Self::Features(features) => features,
        }
    }
}

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
