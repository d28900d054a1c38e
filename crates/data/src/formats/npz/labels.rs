//! Arrays of labels.

use super::store::Store;
use crate::class_names::MAX_CLASSES;
use crate::formats::arrays::{Labels, PartLabels, Texts};
use crate::formats::npy::{Kind, Npy};
use crate::{DataError, Part};

/// The labels of a part, and the number of columns if they are one-hot.
pub(super) fn read_labels(
    store: &mut Store,
    name: &str,
    part: Part,
) -> Result<(PartLabels, Option<usize>), DataError> {
    store.with_array(name, |npy, reader| {
        let columns = match npy.shape.as_slice() {
            [_] | [_, 1] => 1,
            [_, columns @ 2..=MAX_CLASSES] => *columns,
            _ => {
                let problem = format!(
                    "labels must have the shape (images), (images, 1) or (images, classes) with a single 1 in each row; \
                     the shape is {}",
                    npy.shape_text()
                );
                return Err(npy.error(problem));
            }
        };
        let labels = match npy.kind {
            Kind::Unicode | Kind::Bytes if columns == 1 => {
                let mut texts = Texts::default();
                npy.read_texts(reader, |text| {
                    let is_new = texts.push(&text);
                    if is_new { Ok(()) } else { Err(npy.error("more than 65,536 different labels")) }
                })?;
                Labels::Texts(texts)
            }
            Kind::Unicode | Kind::Bytes => {
                return Err(npy.error("several texts for each image; Kiln needs one label for each image"));
            }
            _ if npy.is_column_major() && columns > 1 => {
                let mut all = Vec::new();
                npy.read_numbers(reader, 1, |numbers| {
                    all.extend_from_slice(numbers);
                    Ok(())
                })?;
                let mut labels = Vec::new();
                one_hot(npy, columns, &npy.row_major(&all), &mut labels)?;
                Labels::Numbers(labels)
            }
            _ => {
                let mut labels = Vec::new();
                npy.read_numbers(reader, columns, |numbers| {
                    if columns > 1 {
                        return one_hot(npy, columns, numbers, &mut labels);
                    }
                    for number in numbers {
                        if number.fract() != 0.0 || number.abs() > 9e15 {
                            let row = labels.len();
                            let problem = format!("row {row} (from 0) has label {number}; labels are whole numbers from 0");
                            return Err(npy.error(problem));
                        }
                        labels.push(*number as i64);
                    }
                    Ok(())
                })?;
                Labels::Numbers(labels)
            }
        };
        let labels = PartLabels { part, path: npy.path.clone(), place: npy.place(), labels };
        Ok((labels, (columns > 1).then_some(columns)))
    })
}

/// Appends the labels of one-hot rows.
fn one_hot(
    npy: &Npy,
    columns: usize,
    numbers: &[f64],
    labels: &mut Vec<i64>,
) -> Result<(), DataError> {
    for values in numbers.chunks_exact(columns) {
        let row = labels.len();
        let mut ones =
            (0..).zip(values).filter(|(_, value)| **value == 1.0).map(|(class, _)| class);
        let (first, second) = (ones.next(), ones.next());
        if let Some(other) = values.iter().find(|value| **value != 0.0 && **value != 1.0) {
            let problem = format!(
                "row {row} (from 0) has {columns} values, one of them {other}; labels with several columns must be one-hot: \
                 a single 1, else 0"
            );
            return Err(npy.error(problem));
        }
        match (first, second) {
            (Some(class), None) => labels.push(class),
            (Some(first), Some(second)) => {
                let problem = format!(
                    "row {row} (from 0) has several classes, such as {first} and {second}: multi-label data, \
                     which Kiln does not support; keep one class for each image"
                );
                return Err(npy.error(problem));
            }
            (None, _) => {
                let problem = format!(
                    "row {row} (from 0) has no class: multi-label data, which Kiln does not support; \
                     keep one class for each image"
                );
                return Err(npy.error(problem));
            }
        }
    }
    Ok(())
}
