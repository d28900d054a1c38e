//! The pictures in SVG. They stand alone as files and can be put inline into a page: all their styles are bound to the
//! class `kiln-chart`, they follow the reader's light or dark theme, and `<title>` elements give numbers on hovering.

mod confusion;
mod curves;
mod scale;
mod svg;

pub use confusion::confusion_chart;
pub use curves::history_chart;
