//! Reads the rows of Parquet files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::{Type, TypePtr};

use super::arrays::{Classes, Labels, MAX_ROWS, PartLabels, Texts, class_list, invalid};
use super::{Contents, Encoded, Location, SourcePixels};
use crate::{DataError, Part};

/// The columns that can have the image.
const IMAGE_COLUMNS: [&str; 4] = ["image", "img", "images", "picture"];

/// The columns that can have the label.
const LABEL_COLUMNS: [&str; 4] = ["label", "labels", "fine_label", "class"];

/// Reads the files of a dataset.
pub(crate) fn read_files(
    location: &Location<'_>,
    files: &[(PathBuf, Part)],
    mut notes: Vec<String>,
) -> Result<Contents, DataError> {
    let mut images = Vec::new();
    let mut file_names = Vec::new();
    let mut labels: Vec<PartLabels> = Vec::new();
    let mut names = match location.named {
        Some(named) => Some(named.class_names.iter().map(ToString::to_string).collect()),
        None => class_list(location.path)?,
    };
    for (path, part) in files {
        let before = images.len();
        let table = Table::open(path, location.config.labels.as_deref())?;
        if names.is_none() {
            names = table.class_names();
        }
        let part_labels = table.read(&mut images, &mut file_names)?;
        // Hugging Face publishes test images without labels with the label -1.
        let is_unlabeled = matches!(&part_labels, Labels::Numbers(all) if !all.is_empty() && all.iter().all(|it| *it == -1));
        if is_unlabeled && *part != Part::Training {
            images.truncate(before);
            file_names.truncate(before);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            notes.push(format!(
                "{name} has no labels, so it is not used for {}",
                match part {
                    Part::Validation => "validation",
                    _ => "testing",
                }
            ));
            continue;
        }
        if images.len() > MAX_ROWS {
            return Err(invalid(path, "", "more images than the limit of 4,294,967,295"));
        }
        labels.push(PartLabels {
            part: *part,
            path: path.clone(),
            place: String::new(),
            labels: part_labels,
        });
    }
    if !labels.iter().any(|labels| labels.part == Part::Training && labels.labels.len() > 0) {
        return Err(invalid(location.path, "", "there are no training images"));
    }
    let Classes { names, labels, parts } = Classes::new(&labels, names)?;
    Ok(Contents {
        class_names: names,
        labels,
        parts,
        pixels: SourcePixels::Encoded(images),
        file_names: Some(file_names),
        notes,
        fingerprint: None,
    })
}

/// A file and the columns that Kiln reads.
struct Table<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
    image: TypePtr,
    label: TypePtr,
}

fn damaged(path: &Path, error: &ParquetError) -> DataError {
    invalid(
        path,
        "",
        format!("the file is damaged or not a Parquet file ({error}); download it again"),
    )
}

impl<'a> Table<'a> {
    fn open(path: &'a Path, labels: Option<&str>) -> Result<Self, DataError> {
        let unreadable = |source| DataError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let reader = SerializedFileReader::new(file).map_err(|error| damaged(path, &error))?;
        let columns = reader.metadata().file_metadata().schema().get_fields();
        let find = |wanted: &[&str]| {
            wanted.iter().find_map(|wanted| columns.iter().find(|it| it.name() == *wanted)).cloned()
        };
        let all = || columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ");
        let image = find(&IMAGE_COLUMNS).ok_or_else(|| {
            let problem =
                format!("no column is called {}; columns: {}", IMAGE_COLUMNS.join(", "), all());
            invalid(path, "", problem)
        })?;
        let label = match labels {
            Some(wanted) => find(&[wanted]).ok_or_else(|| {
                let problem = format!("no column is called `{wanted}`, the value of data.labels; columns: {}", all());
                invalid(path, "", problem)
            })?,
            None => find(&LABEL_COLUMNS).ok_or_else(|| {
                let problem = format!(
                    "no column is called {}; set data.labels = \"NAME\" to the name of the column with the labels; columns: {}",
                    LABEL_COLUMNS.join(", "),
                    all()
                );
                invalid(path, "", problem)
            })?,
        };
        Ok(Self { path, reader, image, label })
    }

    /// The names of the classes that Hugging Face's `datasets` writes into the metadata.
    fn class_names(&self) -> Option<Vec<String>> {
        let metadata = self.reader.metadata().file_metadata().key_value_metadata()?;
        let entry = metadata.iter().find(|entry| entry.key == "huggingface")?;
        let value: serde_json::Value = serde_json::from_str(entry.value.as_deref()?).ok()?;
        let names = value.pointer("/info/features")?.get(self.label.name())?.get("names")?;
        let names = names.as_array()?.iter().map(|name| name.as_str().map(ToOwned::to_owned));
        names.collect::<Option<Vec<String>>>().filter(|names| !names.is_empty())
    }

    /// Appends the images and their names. Returns their labels.
    fn read(
        &self,
        images: &mut Vec<Encoded>,
        file_names: &mut Vec<String>,
    ) -> Result<Labels, DataError> {
        let columns = vec![Arc::clone(&self.image), Arc::clone(&self.label)];
        let root = self.reader.metadata().file_metadata().schema().name();
        let projection = Type::group_type_builder(root).with_fields(columns).build();
        let rows = projection.and_then(|projection| self.reader.get_row_iter(Some(projection)));
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        let mut numbers = Vec::new();
        let mut texts = Texts::default();
        for (row, columns) in rows.map_err(|error| damaged(self.path, &error))?.enumerate() {
            let columns = columns.map_err(|error| damaged(self.path, &error))?;
            let place = || format!(", row {row}");
            for (name, field) in columns.into_columns() {
                if name == self.image.name() {
                    let (bytes, path) =
                        image(field).map_err(|problem| invalid(self.path, place(), problem))?;
                    images.push(Encoded::Bytes(bytes));
                    file_names.push(path.unwrap_or_else(|| format!("{file}#{row}")));
                } else {
                    match label(field).map_err(|problem| invalid(self.path, place(), problem))? {
                        Label::Number(number) => numbers.push(number),
                        Label::Text(text) if texts.push(&text) => {}
                        Label::Text(_) => {
                            return Err(invalid(
                                self.path,
                                place(),
                                "there are more than 65,536 different labels",
                            ));
                        }
                    }
                }
            }
        }
        Ok(if numbers.is_empty() { Labels::Texts(texts) } else { Labels::Numbers(numbers) })
    }
}

/// The bytes of an image, and the name of its file.
fn image(field: Field) -> Result<(Vec<u8>, Option<String>), String> {
    match field {
        Field::Bytes(bytes) => Ok((bytes.data().to_vec(), None)),
        Field::Group(row) => {
            let (mut found, mut path) = (None, None);
            for (name, field) in row.into_columns() {
                match (name.as_str(), field) {
                    ("bytes", Field::Bytes(bytes)) => found = Some(bytes.data().to_vec()),
                    ("path", Field::Str(text)) if !text.is_empty() => path = Some(text),
                    _ => {}
                }
            }
            let found = found.ok_or(
                "the image has no bytes; the table must contain the images, not only their paths",
            )?;
            Ok((found, path))
        }
        Field::Null => Err("there is no image".to_owned()),
        _ => Err("the image is not encoded bytes (PNG, JPEG, …)".to_owned()),
    }
}

enum Label {
    Number(i64),
    Text(String),
}

fn label(field: Field) -> Result<Label, String> {
    Ok(Label::Number(match field {
        Field::Byte(number) => number.into(),
        Field::Short(number) => number.into(),
        Field::Int(number) => number.into(),
        Field::Long(number) => number,
        Field::UByte(number) => number.into(),
        Field::UShort(number) => number.into(),
        Field::UInt(number) => number.into(),
        Field::Str(text) => return Ok(Label::Text(text)),
        Field::Null => return Err("the label is missing; every image needs one".to_owned()),
        Field::ListInternal(_) => {
            return Err(
                "the image has a list of labels: multi-label data, which Kiln does not support"
                    .to_owned(),
            );
        }
        _ => return Err("the label is neither a whole number nor a text".to_owned()),
    }))
}
