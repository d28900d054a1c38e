use image::{Rgb, RgbImage};
use kiln_store::escape;

use crate::bitmap_text::{self, CHARACTER_WIDTH, LINE_HEIGHT};
use crate::error::Result;
use crate::image_grid::{BACKGROUND, GAP, Tone, encode};

/// With more classes than this, cells have no numbers and classes no names.
const MAX_NUMBERED: usize = 30;
/// Longer names are cut to this many characters.
const LONGEST_NAME: usize = 26;
/// Above this share, numbers are white.
const DARK: f64 = 0.5;
/// The color of a cell with all images of its row; the others are between it and white.
const FULL: [u8; 3] = Tone::Right.color();

/// A confusion matrix as PNG, for programs that show no SVG: for each true class (rows), how many of its images were
/// predicted as each class (columns). The shade of a cell is its share of the row. Columns are numbered like the rows.
///
/// # Errors
///
/// [`ReportError::Inconsistent`](crate::ReportError::Inconsistent) if the picture would be too large.
pub fn confusion_picture(class_names: &[String], confusion: &[Vec<u64>]) -> Result<Vec<u8>> {
    let classes = class_names.len();
    let numbered = classes <= MAX_NUMBERED;
    let names: Vec<String> = class_names
        .iter()
        .enumerate()
        .map(|(index, name)| format!("{index} {}", escape::shorten(name, LONGEST_NAME)))
        .collect();
    let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0) as u32;
    let name_width = longest(&mut names.iter().map(|name| name.chars().count())) * CHARACTER_WIDTH;
    let digits = longest(&mut confusion.iter().flatten().map(|count| count.to_string().len()));
    let (left, top, cell) = match numbered {
        true => {
            (GAP + name_width + GAP / 2, 2 * GAP + 2 * LINE_HEIGHT, (digits + 1) * CHARACTER_WIDTH)
        }
        // At most 256 classes have a matrix.
        false => (GAP, 2 * GAP + LINE_HEIGHT, (900 / classes.max(1) as u32).max(2)),
    };
    let cell = if numbered { cell.max(LINE_HEIGHT + GAP / 2) } else { cell };
    let side = cell * classes as u32;
    let title = "rows: true class, columns: predicted class";
    let width = (left + side + GAP).max(title.len() as u32 * CHARACTER_WIDTH + 2 * GAP);
    let mut picture = RgbImage::from_pixel(width, top + side + GAP, BACKGROUND);
    let plain = Tone::Plain.color();
    bitmap_text::draw(&mut picture, GAP, GAP, plain, title);

    let centered = |picture: &mut RgbImage, [x, y]: [u32; 2], color: [u8; 3], text: &str| {
        let width = text.chars().count() as u32 * CHARACTER_WIDTH;
        let left = x + cell.saturating_sub(width) / 2;
        bitmap_text::draw(picture, left, y + (cell - LINE_HEIGHT) / 2, color, text);
    };
    for (row, counts) in confusion.iter().enumerate() {
        let y = top + row as u32 * cell;
        let all = counts.iter().copied().fold(0, u64::saturating_add).max(1);
        if numbered {
            let name_top = y + (cell - LINE_HEIGHT) / 2;
            bitmap_text::draw(&mut picture, GAP, name_top, plain, &names[row]);
            centered(&mut picture, [left + row as u32 * cell, top - cell], plain, &row.to_string());
        }
        for (column, count) in counts.iter().enumerate() {
            let x = left + column as u32 * cell;
            let share = *count as f64 / all as f64;
            fill(&mut picture, [x, y], cell, share);
            if numbered && *count > 0 {
                let color = if share > DARK { [255; 3] } else { plain };
                centered(&mut picture, [x, y], color, &count.to_string());
            }
        }
    }
    encode(&picture)
}

/// Fills a cell with the color of a share from 0 to 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two bytes")]
fn fill(picture: &mut RgbImage, [left, top]: [u32; 2], side: u32, share: f64) {
    let mixed = |channel: usize| {
        let (low, high) = (f64::from(BACKGROUND.0[channel]), f64::from(FULL[channel]));
        (low + (high - low) * share.clamp(0.0, 1.0)).round() as u8
    };
    let color = Rgb(std::array::from_fn(mixed));
    for y in top..top + side {
        for x in left..left + side {
            if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
                *pixel = color;
            }
        }
    }
}
