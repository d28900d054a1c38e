//! The colors of charts that compare runs. They stay distinguishable in every form of color blindness.

/// A color in sRGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rgb(pub(super) [u8; 3]);

/// Every sixteenth color of cividis (Nuñez, Anderton and Renslow, 2018), a color map with evenly increasing lightness
/// that also works for color-blind readers. The values are Matplotlib's.
const CIVIDIS: [u32; 17] = [
    0x00224e, 0x002e6a, 0x1a386f, 0x32436d, 0x434e6c, 0x535a6d, 0x61656f, 0x6f7073, 0x7d7c78,
    0x8c8878, 0x9b9476, 0xaba072, 0xbcae6c, 0xcdbb63, 0xdec958, 0xf0d846, 0xfee838,
];

impl Rgb {
    pub(super) const BLACK: Self = Self([0; 3]);
    const WHITE: Self = Self([255; 3]);

    const fn hex(value: u32) -> Self {
        let [_, red, green, blue] = value.to_be_bytes();
        Self([red, green, blue])
    }

    /// The color for a share from 0 (dark) to 1 (light).
    pub(super) fn ramp(share: f64) -> Self {
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        let place = share * (CIVIDIS.len() - 1) as f64;
        let below = (place as usize).min(CIVIDIS.len() - 2);
        let [Self(from), Self(to)] = [below, below + 1].map(|index| Self::hex(CIVIDIS[index]));
        let part = place - below as f64;
        let mixed = |channel: usize| {
            let (from, to) = (f64::from(from[channel]), f64::from(to[channel]));
            (from + part * (to - from)).round() as u8
        };
        Self([mixed(0), mixed(1), mixed(2)])
    }

    /// Black or white, whichever has the higher contrast to this background color. The higher of the two is at least
    /// √21, about 4.58; WCAG 2 requires 4.5 for text.
    pub(super) fn ink(self) -> Self {
        if self.contrast(Self::BLACK) >= self.contrast(Self::WHITE) {
            Self::BLACK
        } else {
            Self::WHITE
        }
    }

    /// The contrast ratio of WCAG 2, from 1 to 21.
    fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// The relative luminance of WCAG 2, from 0 to 1.
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.0.map(|channel| {
            let share = f64::from(channel) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

impl std::fmt::Display for Rgb {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [red, green, blue] = self.0;
        write!(formatter, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// The colors for lines: those of Okabe and Ito (2008) without yellow, which is hard to see on white.
const LINE_COLORS: usize = 7;

/// The number of lines with a style of their own; see [`line_class`].
pub(super) const MAX_COLORED: usize = 12;

/// If there are more lines than that, this many are colored and the others are gray.
pub(super) const EMPHASIZED: usize = 5;

/// The CSS classes of the line at index `place` of `lines`: a color, dashed in the second round. If there are too
/// many lines, those after the first few are gray.
pub(super) fn line_class(place: usize, lines: usize) -> String {
    if lines > MAX_COLORED && place >= EMPHASIZED {
        return "other".to_owned();
    }
    let dashed = if place >= LINE_COLORS { " dashed" } else { "" };
    format!("color{}{dashed}", place % LINE_COLORS)
}

/// The shape of the marks of the line at index `place`: one for each color, for readers who do not see the colors.
pub(super) fn line_shape(place: usize) -> usize {
    place % LINE_COLORS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ramp_has_the_colors_of_cividis() {
        let shown = [0.0, 0.25, 0.5, 1.0, -3.0, 7.0].map(|share| Rgb::ramp(share).to_string());
        assert_eq!(shown, ["#00224e", "#434e6c", "#7d7c78", "#fee838", "#00224e", "#fee838"]);
        assert_eq!(Rgb::ramp(f64::NAN).to_string(), "#00224e");
        // Matplotlib's cividis at 0.3 is #4f576c. Between two of the seventeen colors the map is nearly linear.
        let Rgb(mixed) = Rgb::ramp(0.3);
        assert!(
            mixed.iter().zip([0x4f, 0x57, 0x6c]).all(|(own, true_one)| own.abs_diff(true_one) <= 2)
        );
    }

    #[test]
    fn numbers_are_legible_on_every_color() {
        for step in 0..=1000 {
            let ground = Rgb::ramp(f64::from(step) / 1000.0);
            assert!(ground.contrast(ground.ink()) >= 4.5, "{ground}");
        }
        // From the examples of WCAG 2: black on white has contrast 21.
        assert!((Rgb::BLACK.contrast(Rgb::WHITE) - 21.0).abs() < 1e-9);
    }

    #[test]
    fn twelve_lines_look_different_and_of_more_the_first_stand_out() {
        let looks: std::collections::BTreeSet<_> =
            (0..12).map(|place| line_class(place, 12)).collect();
        assert_eq!(looks.len(), 12);
        assert_eq!(line_class(4, 13), "color4");
        assert_eq!(line_class(5, 13), "other");
    }
}
