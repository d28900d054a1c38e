//! Tables of pixels by column.

use std::path::Path;

use super::{Header, Kind, PARTS, Rows, Table, index, part_labels, push_label, row_part};
use crate::cache::Images;
use crate::formats::arrays::{Axes, Classes, MAX_ROWS, Texts, invalid, reserve};
use crate::formats::{Contents, Location, SourcePixels};
use crate::source_images::SourceImages;
use crate::{DataConfig, DataError, ImageShape, Part};

/// Rows of one part.
#[derive(Default)]
struct PartRows {
    labels: Texts,
    pixels: Vec<u8>,
}

pub(super) fn read_pixels(
    location: &Location<'_>,
    tables: &[Table],
    headers: &[Header],
    names: Option<Vec<String>>,
) -> Result<Contents, DataError> {
    let config = location.config;
    let mut notes = Vec::new();
    let mut parts: [PartRows; 3] = Default::default();
    let mut axes: Option<Axes> = None;
    let mut columns_before = 0;
    for (table, header) in tables.iter().zip(headers) {
        let path = &table.path;
        let Kind::Pixels { columns, ignored } = &header.kind else { continue };
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let is_first = axes.is_none();
        let has_labels = if header.has_header {
            header.label.is_some()
        } else {
            // Without a label, there is one column less than in the training table.
            is_first || columns.len() == columns_before
        };
        if !has_labels {
            if is_first {
                return Err(header.no_labels(path, config));
            }
            notes.push(format!(
                "{file} has no labels, so it is not used for {}; classify it with `kiln predict`",
                match table.part {
                    Part::Validation => "validation",
                    _ => "testing",
                }
            ));
            continue;
        }
        if !header.has_header {
            notes.push(format!(
                "{file} has no names of columns; the first column was read as the label"
            ));
        }
        if !ignored.is_empty() {
            let ignored: Vec<String> = ignored.iter().map(|name| format!("`{name}`")).collect();
            notes.push(format!("columns of {file} that are not used: {}", ignored.join(", ")));
        }
        if !is_first && columns.len() != columns_before {
            let problem = format!(
                "there are {} pixels in a row, {columns_before} in the training table",
                columns.len()
            );
            return Err(invalid(path, ":1", problem));
        }
        if is_first {
            columns_before = columns.len();
            axes = Some(
                Axes::of_row(columns.len(), config)
                    .map_err(|problem| invalid(path, ":1", problem))?,
            );
        }
        let Some(axes) = axes else { continue };
        let label = header.label.unwrap_or(0);
        let mut rows = Rows::open(path)?;
        if header.has_header {
            rows.next()?;
        }
        let mut image = Vec::with_capacity(columns.len());
        while rows.next()? {
            let part = match header.part {
                Some(column) if !table.is_named => row_part(&rows, column)?,
                _ => table.part,
            };
            image.clear();
            for &column in columns {
                image.push(pixel(&rows, &header.names, column)?);
            }
            let part = &mut parts[index(part)];
            push_label(&rows, label, &mut part.labels)?;
            reserve(&mut part.pixels, image.len(), path)?;
            axes.append(&image, &mut part.pixels);
        }
    }
    let Some(axes) = axes else {
        return Err(invalid(location.path, "", "there is no table of pixels"));
    };
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for (part, rows) in PARTS.into_iter().zip(parts) {
        if pixels.is_empty() {
            pixels = rows.pixels;
        } else {
            reserve(&mut pixels, rows.pixels.len(), location.path)?;
            pixels.extend_from_slice(&rows.pixels);
        }
        labels.push(part_labels(location, tables, part, rows.labels));
    }
    if labels[0].labels.len() == 0 {
        return Err(invalid(&tables[0].path, "", "there are no training images"));
    }
    if pixels.len() / axes.shape.values() > MAX_ROWS {
        return Err(invalid(location.path, "", "more images than the limit of 4,294,967,295"));
    }
    Ok(Classes::new(&labels, names)?.with_pixels(axes.shape, pixels, notes))
}

/// The byte in a column of the current record.
fn pixel(rows: &Rows, names: &[String], column: usize) -> Result<u8, DataError> {
    let field = rows.record.get(column).unwrap_or_default().trim_ascii();
    let digits = field.iter().try_fold(0_u32, |number, byte| {
        byte.is_ascii_digit().then(|| (number * 10 + u32::from(byte - b'0')).min(1000))
    });
    if let (Some(number @ ..=255), false) = (digits, field.is_empty()) {
        return Ok(number as u8);
    }
    let text = rows.text(column)?;
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && (0.0..=255.0).contains(&number) => Ok(number as u8),
        _ => {
            let name = names.get(column).map_or(String::new(), |name| format!(" (`{name}`)"));
            let shown: String = text.chars().take(40).collect();
            Err(rows.error(format!(
                "column {}{name} has `{shown}`, but a pixel is a whole number from 0 to 255",
                column + 1
            )))
        }
    }
}

/// Images of a table without labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnlabeledImages {
    /// The shape of every image.
    pub shape: ImageShape,
    /// `[n, channels, height, width]`, row-major.
    pub pixels: Vec<u8>,
}

/// Reads the images of a CSV table of pixels, such as the test images of a competition. A column of labels is skipped if
/// its name says so. `config` provides `labels` and `layout`, and the shape to which the images are brought: `image`,
/// `channels`, `resize` and `background`.
///
/// # Errors
///
/// The file cannot be read, or is not a table of pixels.
pub fn read_unlabeled(path: &Path, config: &DataConfig) -> Result<UnlabeledImages, DataError> {
    let header = Header::read(path, &DataConfig { labels: None, ..config.clone() })?;
    let label = match &config.labels {
        Some(wanted) => header.names.iter().position(|name| name.eq_ignore_ascii_case(wanted)),
        None => header.label,
    };
    let Kind::Pixels { mut columns, .. } = header.kind else {
        return Err(invalid(
            path,
            ":1",
            "this is a table of image files; give the files themselves",
        ));
    };
    if header.has_header {
        columns.retain(|column| Some(*column) != label);
    } else if Axes::of_row(columns.len(), config).is_err() {
        columns.insert(0, 0);
    }
    let axes =
        Axes::of_row(columns.len(), config).map_err(|problem| invalid(path, ":1", problem))?;
    let mut rows = Rows::open(path)?;
    if header.has_header {
        rows.next()?;
    }
    let mut pixels = Vec::new();
    let mut image = Vec::with_capacity(columns.len());
    while rows.next()? {
        image.clear();
        for &column in &columns {
            image.push(pixel(&rows, &header.names, column)?);
        }
        reserve(&mut pixels, image.len(), path)?;
        axes.append(&image, &mut pixels);
    }
    let array = SourcePixels::Array { shape: axes.shape, pixels };
    let images = SourceImages::new(array, |row| format!("row {row}"), config)?;
    let shape = images.shape();
    let mut pixels = Vec::new();
    reserve(&mut pixels, images.count() * shape.values(), path)?;
    pixels.resize(images.count() * shape.values(), 0);
    for (row, target) in pixels.chunks_exact_mut(shape.values()).enumerate() {
        images
            .decode(row, target)
            .map_err(|problem| invalid(path, format!(", row {row}"), problem))?;
    }
    Ok(UnlabeledImages { shape, pixels })
}
