//! Reads the rows of Parquet files.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::basic::{Compression, ConvertedType, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::Type;

use super::arrays::{
    Classes, Labels, MAX_PIXEL_BYTES, MAX_ROWS, PartLabels, Texts, class_list, invalid,
};
use super::parquet_library::call;
use super::parquet_pages::CheckedPages;
use super::{Contents, Encoded, Location, SourcePixels};
use crate::{DataError, Part};

/// The columns that can have the image.
const IMAGE_COLUMNS: [&str; 4] = ["image", "img", "images", "picture"];

/// The columns that can have the label.
const LABEL_COLUMNS: [&str; 4] = ["label", "labels", "fine_label", "class"];

/// The number of rows that are read at a time. Their images are in memory twice.
const BATCH: usize = 64;

const NO_LABEL: &str = "the label is missing; every image needs one";
const NO_IMAGE: &str = "there is no image";
const NOT_BYTES: &str = "the image is not encoded bytes (PNG, JPEG, …)";
const NO_BYTES: &str =
    "the image has no bytes; the table must contain the images, not only their paths";

/// Reads the files of a dataset.
pub(crate) fn read_files(
    location: &Location<'_>,
    files: &[(PathBuf, Part)],
    mut notes: Vec<String>,
) -> Result<Contents, DataError> {
    let mut images = Images::default();
    let mut labels: Vec<PartLabels> = Vec::new();
    let mut names = match location.named {
        Some(named) => Some(named.class_names.iter().map(ToString::to_string).collect()),
        None => class_list(location.path)?,
    };
    for (path, part) in files {
        let before = images.pictures.len();
        let table = Table::open(path, location.config.labels.as_deref())?;
        if names.is_none() {
            names = table.class_names();
        }
        let part_labels = table.read(&mut images)?;
        // Hugging Face publishes test images without labels with the label -1.
        let is_unlabeled = matches!(&part_labels, Labels::Numbers(all) if !all.is_empty() && all.iter().all(|it| *it == -1));
        if is_unlabeled && *part != Part::Training {
            images.pictures.truncate(before);
            images.names.truncate(before);
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
        pixels: SourcePixels::Encoded(images.pictures),
        file_names: Some(images.names),
        notes,
        fingerprint: None,
    })
}

/// The images of all files.
#[derive(Default)]
struct Images {
    pictures: Vec<Encoded>,
    /// The file of each image, or its row in the table.
    names: Vec<String>,
    /// The length of all encoded pictures.
    bytes: u64,
}

impl Images {
    fn push(&mut self, picture: Vec<u8>, name: String, table: &Path) -> Result<(), DataError> {
        self.bytes += picture.len() as u64;
        // The same compressed bytes can stand for any number of images.
        if self.bytes > MAX_PIXEL_BYTES {
            return Err(invalid(table, "", "the encoded images have more than 64 GiB"));
        }
        if self.pictures.len() == MAX_ROWS {
            return Err(invalid(table, "", "more images than the limit of 4,294,967,295"));
        }
        self.pictures.push(Encoded::Bytes(picture));
        self.names.push(name);
        Ok(())
    }
}

/// A file, and the places of the columns that Kiln reads among those with values.
struct Table<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
    /// The length of the file.
    bytes: u64,
    /// The encoded pictures.
    pictures: usize,
    /// The names of the pictures' files.
    paths: Option<usize>,
    labels: usize,
    label_name: String,
}

impl<'a> Table<'a> {
    fn open(path: &'a Path, labels: Option<&str>) -> Result<Self, DataError> {
        let unreadable = |source| DataError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.metadata().map_err(unreadable)?.len();
        let reader = call(path, || SerializedFileReader::new(file))?;
        let wrong = |problem: String| invalid(path, "", problem);
        let columns = reader.metadata().file_metadata().schema().get_fields();
        let all = || columns.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ");
        let find = |wanted: &[&str]| {
            wanted.iter().find_map(|wanted| columns.iter().find(|it| it.name() == *wanted))
        };
        let image = find(&IMAGE_COLUMNS).ok_or_else(|| {
            wrong(format!("no column is called {}; columns: {}", IMAGE_COLUMNS.join(", "), all()))
        })?;
        let label = match labels {
            Some(wanted) => find(&[wanted]).ok_or_else(|| {
                wrong(format!("no column is called `{wanted}`, the value of data.labels; columns: {}", all()))
            })?,
            None => find(&LABEL_COLUMNS).ok_or_else(|| {
                wrong(format!(
                    "no column is called {}; set data.labels = \"NAME\" to the name of the column with the labels; columns: {}",
                    LABEL_COLUMNS.join(", "),
                    all()
                ))
            })?,
        };

        let of =
            |problem: &str, column: &Type| wrong(format!("column {}: {problem}", column.name()));
        let (image, label) = (image.as_ref(), label.as_ref());
        let is_bytes = |column: &Type| physical(column) == Some(Physical::BYTE_ARRAY);
        let (pictures, paths) = if is_bytes(image) {
            (vec![image.name()], None)
        } else {
            let children = if image.is_group() { image.get_fields() } else { &[] };
            let child = |name| children.iter().find(|it| it.name() == name && is_bytes(it));
            if child("bytes").is_none() {
                let problem = if child("path").is_some() { NO_BYTES } else { NOT_BYTES };
                return Err(of(problem, image));
            }
            let path = child("path").map(|_| vec![image.name(), "path"]);
            (vec![image.name(), "bytes"], path)
        };
        match physical(label) {
            Some(Physical::BYTE_ARRAY) => {}
            Some(Physical::INT32 | Physical::INT64) if is_integer(label) => {}
            _ if label.get_basic_info().converted_type() == ConvertedType::LIST => {
                return Err(of(
                    "a list of labels: multi-label data, which Kiln does not support",
                    label,
                ));
            }
            _ => return Err(of("the labels are neither whole numbers nor texts", label)),
        }
        let place = |parts: &[&str]| {
            let leaves = reader.metadata().file_metadata().schema_descr().columns();
            let is_it = |leaf: &parquet::schema::types::ColumnDescPtr| {
                leaf.path().parts() == parts && leaf.max_rep_level() == 0
            };
            leaves.iter().position(is_it)
        };
        let lists = |column: &Type| of("each row has a list of values", column);
        let label_name = label.name().to_owned();
        let pictures = place(&pictures).ok_or_else(|| lists(image))?;
        let paths = paths.and_then(|path| place(&path));
        let labels = place(&[&label_name]).ok_or_else(|| lists(label))?;
        Ok(Self { path, reader, bytes, pictures, paths, labels, label_name })
    }

    /// The names of the classes that Hugging Face's `datasets` writes into the metadata.
    fn class_names(&self) -> Option<Vec<String>> {
        let metadata = self.reader.metadata().file_metadata().key_value_metadata()?;
        let entry = metadata.iter().find(|entry| entry.key == "huggingface")?;
        let value: serde_json::Value = serde_json::from_str(entry.value.as_deref()?).ok()?;
        let names = value.pointer("/info/features")?.get(&self.label_name)?.get("names")?;
        let names = names.as_array()?.iter().map(|name| name.as_str().map(ToOwned::to_owned));
        names.collect::<Option<Vec<String>>>().filter(|names| !names.is_empty())
    }

    /// Appends the images. Returns their labels.
    fn read(&self, images: &mut Images) -> Result<Labels, DataError> {
        let mut labels = Labels::Numbers(Vec::new());
        let mut row = 0;
        for group in 0..self.reader.num_row_groups() {
            let group = call(self.path, || self.reader.get_row_group(group))?;
            self.read_group(&*group, &mut row, images, &mut labels)?;
        }
        Ok(labels)
    }

    /// `row` is the number of the next row.
    fn read_group(
        &self,
        group: &dyn RowGroupReader,
        row: &mut usize,
        images: &mut Images,
        labels: &mut Labels,
    ) -> Result<(), DataError> {
        let mut pictures = self.column(group, self.pictures)?;
        let mut paths = self.paths.map(|place| self.column(group, place)).transpose()?;
        let mut label_column = self.column(group, self.labels)?;
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        loop {
            let of_pictures = call(self.path, || pictures.next_batch())?;
            let mut of_paths = match &mut paths {
                Some(paths) => call(self.path, || paths.next_batch())?,
                None => std::iter::repeat_with(|| None).take(of_pictures.len()).collect(),
            };
            let of_labels = call(self.path, || label_column.next_batch())?;
            if of_labels.len() != of_pictures.len() || of_paths.len() != of_pictures.len() {
                return Err(invalid(
                    self.path,
                    "",
                    "the file is damaged: its columns differ in length; download it again",
                ));
            }
            if of_pictures.is_empty() {
                return Ok(());
            }
            let rows = of_pictures.into_iter().zip(of_paths.drain(..)).zip(of_labels);
            for ((picture, path), label) in rows {
                let wrong = |problem: &str| invalid(self.path, format!(", row {row}"), problem);
                let path = match path {
                    Some(Cell::Bytes(path)) if !path.is_empty() => {
                        Some(String::from_utf8_lossy(path.data()).into_owned())
                    }
                    _ => None,
                };
                let picture = match picture {
                    Some(Cell::Bytes(picture)) => picture.data().to_vec(),
                    Some(Cell::Number(_)) => return Err(wrong(NOT_BYTES)),
                    None => return Err(wrong(if path.is_some() { NO_BYTES } else { NO_IMAGE })),
                };
                push_label(labels, label).map_err(wrong)?;
                let name = path.unwrap_or_else(|| format!("{file}#{row}"));
                images.push(picture, name, self.path)?;
                *row += 1;
            }
        }
    }

    fn column(&self, group: &dyn RowGroupReader, place: usize) -> Result<Column, DataError> {
        let metadata = group.metadata().column(place);
        let compression = metadata.compression();
        if !matches!(
            compression,
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_)
        ) {
            // "GZIP(GzipLevel(6))"
            let name = compression.to_string();
            let name = name.split('(').next().unwrap_or_default();
            return Err(invalid(
                self.path,
                "",
                format!(
                    "the columns are compressed with {name}, which Kiln does not read; write the file with snappy or zstd"
                ),
            ));
        }
        // The library assumes that these numbers are not negative.
        let start = metadata.dictionary_page_offset().unwrap_or(metadata.data_page_offset());
        let end =
            start.checked_add(metadata.compressed_size()).and_then(|end| u64::try_from(end).ok());
        let is_in_file = end.is_some_and(|end| end <= self.bytes);
        if start < 0 || metadata.compressed_size() < 0 || !is_in_file {
            let problem = "the file is damaged: a column is not in it; download it again";
            return Err(invalid(self.path, "", problem));
        }
        let pages = call(self.path, || group.get_column_page_reader(place))?;
        let reader = get_column_reader(metadata.column_descr_ptr(), Box::new(CheckedPages(pages)));
        let is_unsigned = metadata.column_descr().converted_type() == ConvertedType::UINT_32;
        Ok(Column { reader, max_level: metadata.column_descr().max_def_level(), is_unsigned })
    }
}

fn physical(column: &Type) -> Option<Physical> {
    column.is_primitive().then(|| column.get_physical_type())
}

/// Whether a column of integers has numbers: integers can also be dates, times and decimal fractions.
fn is_integer(column: &Type) -> bool {
    use ConvertedType::{INT_8, INT_16, INT_32, INT_64, NONE, UINT_8, UINT_16, UINT_32, UINT_64};
    let info = column.get_basic_info();
    let integers = [INT_8, INT_16, INT_32, INT_64, UINT_8, UINT_16, UINT_32, UINT_64];
    match info.converted_type() {
        // Times in nanoseconds have no converted type.
        NONE => info.logical_type_ref().is_none(),
        converted => integers.contains(&converted),
    }
}

/// Adds the label of a row. All labels of a file are of one type.
fn push_label(labels: &mut Labels, label: Option<Cell>) -> Result<(), &'static str> {
    match (label, &mut *labels) {
        (None, _) => Err(NO_LABEL),
        (Some(Cell::Number(number)), Labels::Numbers(numbers)) => {
            numbers.push(number);
            Ok(())
        }
        (Some(Cell::Bytes(bytes)), labels) => {
            if labels.len() == 0 {
                *labels = Labels::Texts(Texts::default());
            }
            let Labels::Texts(texts) = labels else { return Err("the label is not a number") };
            let text = bytes.as_utf8().map_err(|_| "the label is not UTF-8")?;
            let has_room = texts.push(text);
            if has_room { Ok(()) } else { Err("there are more than 65,536 different labels") }
        }
        (Some(Cell::Number(_)), Labels::Texts(_)) => Err("the label is not a text"),
    }
}

/// A value of a row.
enum Cell {
    Number(i64),
    Bytes(ByteArray),
}

/// A column without lists, which is read from the first row of a row group to the last.
struct Column {
    reader: ColumnReader,
    /// A value with a lower level is missing.
    max_level: i16,
    /// Whether 32-bit integers are unsigned.
    is_unsigned: bool,
}

impl Column {
    /// The values of the next rows, at most [`BATCH`]; none at the end of the row group.
    fn next_batch(&mut self) -> Result<Vec<Option<Cell>>, ParquetError> {
        let (level, is_unsigned) = (self.max_level, self.is_unsigned);
        let number = |number: i32| match is_unsigned {
            true => Cell::Number(number.cast_unsigned().into()),
            false => Cell::Number(number.into()),
        };
        match &mut self.reader {
            ColumnReader::Int32ColumnReader(reader) => next_values(reader, level, number),
            ColumnReader::Int64ColumnReader(reader) => next_values(reader, level, Cell::Number),
            ColumnReader::ByteArrayColumnReader(reader) => next_values(reader, level, Cell::Bytes),
            _ => Err(ParquetError::General("a column has another type than the table".to_owned())),
        }
    }
}

fn next_values<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    max_level: i16,
    cell: impl Fn(T::T) -> Cell,
) -> Result<Vec<Option<Cell>>, ParquetError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let (rows, _, _) = reader.read_records(BATCH, Some(&mut levels), None, &mut values)?;
    let mut values = values.into_iter().map(cell);
    if max_level == 0 {
        return Ok(values.map(Some).collect());
    }
    // Missing values are not stored.
    Ok(levels
        .iter()
        .take(rows)
        .map(|level| if *level == max_level { values.next() } else { None })
        .collect())
}
