//! The pictures in SVG. They stand alone as files and can be put inline into a page: all their styles are bound to the
//! class `kiln-chart`, they follow the reader's light or dark theme, and `<title>` elements give numbers on hovering.
//!
//! Pictures that compare runs are drawn from structs of their own ([`Heatmap`], [`Overlay`], [`SettingChart`]), which
//! `kiln-compare` fills.

mod confusion;
mod curves;
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

pub use confusion::confusion_chart;
pub use curves::history_chart;
pub use heatmap::{Heatmap, HeatmapCell, heatmap_chart};
pub use heatmap_text::heatmap_text;
pub use overlay::{Overlay, OverlayCurve, OverlayPoint, overlay_chart};
pub use setting::{SettingChart, SettingLine, SettingPoint, setting_chart};

/// The styles of all charts, for a page that holds some of them [`inline`].
#[must_use]
pub fn style() -> &'static str {
    svg::STYLE
}

/// A chart as it stands in a page that has the [`style`] already: without its own, and without the name of its language,
/// which HTML knows. It may be scaled down to three quarters, and is still legible; a narrower page has to scroll it.
#[must_use]
pub fn inline(chart: &str) -> String {
    let style = format!("<style>{}</style>\n", svg::STYLE);
    let width = chart.split(" width=\"").nth(1).and_then(|behind| behind.split('"').next());
    let least = width.and_then(|width| width.parse::<f64>().ok()).unwrap_or_default() * 0.75;
    chart.replacen(&style, "", 1).replacen(
        " xmlns=\"http://www.w3.org/2000/svg\"",
        &format!(" style=\"min-width:{least:.0}px\""),
        1,
    )
}
