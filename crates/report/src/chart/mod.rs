//! Charts in SVG. They are complete files and can also be placed inline in a page: all styles are limited to the
//! class `kiln-chart`, the colors follow the reader's light or dark theme, and `<title>` elements show numbers on
//! hovering.
//!
//! Charts that compare runs are drawn from plain structs ([`Heatmap`], [`Overlay`], [`SettingChart`], [`EffectsChart`]), which
//! `kiln-compare` fills.

mod confused;
mod confusion;
mod curves;
mod effects;
mod extent;
mod frame;
mod heatmap;
mod heatmap_text;
mod legend;
mod overlay;
mod palette;
mod scale;
mod setting;
mod svg;

pub use confused::confused_chart;
pub use confusion::confusion_chart;
pub use curves::history_chart;
pub use effects::{EffectRow, EffectRows, EffectsChart, effects_chart};
pub use heatmap::{Heatmap, HeatmapCell, heatmap_chart};
pub use heatmap_text::heatmap_text;
pub use overlay::{Overlay, OverlayCurve, OverlayPoint, overlay_chart};
pub use setting::{SettingChart, SettingLine, SettingPoint, setting_chart};

/// The styles of all charts, for a page that contains some of them [`inline`].
#[must_use]
pub fn style() -> &'static str {
    svg::STYLE
}

/// A chart for a page that already has the [`style`]: without its own styles and XML namespace, which HTML does not
/// need. It stays legible when scaled down to three quarters; a narrower page must scroll it.
#[must_use]
pub fn inline(chart: &str) -> String {
    let style = format!("<style>{}</style>\n", svg::STYLE);
    let width = chart.split(" width=\"").nth(1).and_then(|rest| rest.split('"').next());
    let least = width.and_then(|width| width.parse::<f64>().ok()).unwrap_or_default() * 0.75;
    chart.replacen(&style, "", 1).replacen(
        " xmlns=\"http://www.w3.org/2000/svg\"",
        &format!(" style=\"min-width:{least:.0}px\""),
        1,
    )
}
