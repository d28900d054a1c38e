//! The presentation of one run: its charts and pictures, `report.md`, and the text of `kiln show`.
//!
//! [`finish()`] writes the report of a run that was trained and tested; [`stop`] writes that of a run that ended
//! early. Both read and write files through `kiln-store`. [`RunContent`] is what there is to say about a run.
//!
//! [`chart`] draws SVG charts from plain structs; `kiln-compare` fills them to draw many runs.

mod bitmap_text;
pub mod chart;
mod confusion_picture;
mod content;
mod error;
mod evaluation;
mod filters;
mod finish;
mod image_grid;
mod markdown;
mod mistakes;
mod settings;
mod short_names;
mod show;
mod summary;
mod terminal;

pub use confusion_picture::confusion_picture;
pub use content::{RunContent, TextTable};
pub use error::{ReportError, Result};
pub use evaluation::{EvaluatedImages, evaluation, show_evaluation};
pub use filters::{Filters, filters_picture};
pub use finish::{finish, stop};
pub use image_grid::{CaptionLine, CaptionedImage, IMAGE_SIDE, ImageShape, Tone, image_grid};
pub use markdown::markdown;
pub use mistakes::{TestImages, mistakes_picture};
pub use settings::SettingsLine;
pub use short_names::short_names;
pub use show::{Shown, annotations_text, show, table};
pub use summary::Fact;
pub use terminal::Terminal;
