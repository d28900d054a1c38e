//! Tables of text: pixels by column, as Kaggle publishes MNIST, or paths of image files.
//!
//! A table is a file, or a directory with `train.csv`, `val.csv` and `test.csv`, or with one other table such as `labels.csv`.
//! Any of them can be compressed with gzip.

mod paths;
mod pixels;

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::arrays::{Labels, PartLabels, Texts, class_list, invalid};
use super::{Contents, Format, Location};
use crate::content::Content;
use crate::{DataConfig, DataError, FormatName, Part};
use paths::{PathRows, read_paths};
use pixels::read_pixels;

pub use pixels::{UnlabeledImages, read_unlabeled};

pub(crate) struct CsvFormat;

/// The columns that can have the label, in the order in which they are tried.
const LABEL_COLUMNS: [&str; 5] = ["label", "labels", "class", "target", "category"];

/// The columns that can have the path of an image.
const PATH_COLUMNS: [&str; 9] = [
    "file",
    "path",
    "image",
    "filename",
    "image_path",
    "file_name",
    "filepath",
    "file_path",
    "image_file",
];

/// The columns that can have the part of an image.
const PART_COLUMNS: [&str; 3] = ["split", "set", "fold"];

/// Columns that number the rows.
const INDEX_COLUMNS: [&str; 4] = ["", "id", "index", "unnamed: 0"];

/// Limit for the length of a line, which is kept in memory. An image of 2048×2048 pixels in color fits.
const MAX_LINE_BYTES: usize = 64 << 20;

/// How many missing files a message lists.
const MAX_LISTED: usize = 20;

impl Format for CsvFormat {
    fn name(&self) -> FormatName {
        FormatName::Csv
    }

    fn description(&self) -> &'static str {
        "a CSV file of pixels or of image files, or a directory with train.csv"
    }

    fn detects(&self, path: &Path) -> bool {
        if !path.is_dir() {
            return is_table(path);
        }
        let Ok(tables) = tables(path) else { return false };
        // Next to directories of classes, a table describes them.
        let is_named = tables.iter().any(|table| table.is_named && table.part == Part::Training);
        is_named || tables.len() == 1 && visible_directories(path) < 2
    }

    fn files(&self, location: &Location<'_>) -> Result<Vec<PathBuf>, DataError> {
        let directory = directory_of(location.path);
        let mut files = Vec::new();
        for table in find_tables(location.path)? {
            files.push(table.path.clone());
            let header = Header::read(&table.path, location.config)?;
            if let Kind::Paths { .. } = header.kind {
                let rows = PathRows::read(&table, location.config, directory)?;
                files.extend(rows.rows.into_iter().map(|row| row.path));
            }
        }
        files.push(directory.join("classes.txt"));
        Ok(files)
    }

    fn read(&self, location: &Location<'_>) -> Result<Contents, DataError> {
        let tables = find_tables(location.path)?;
        let mut headers = Vec::new();
        for table in &tables {
            headers.push(Header::read(&table.path, location.config)?);
        }
        let names = match location.named {
            Some(named) => Some(named.class_names.iter().map(ToString::to_string).collect()),
            None => class_list(directory_of(location.path))?,
        };
        if headers.iter().any(|header| matches!(header.kind, Kind::Paths { .. })) {
            read_paths(location, &tables, names)
        } else {
            read_pixels(location, &tables, &headers, names)
        }
    }
}

/// The directory of the paths in a table.
fn directory_of(path: &Path) -> &Path {
    if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) }
}

fn is_table(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    !name.starts_with('.') && (name.ends_with(".csv") || name.ends_with(".csv.gz"))
}

/// A file of rows.
struct Table {
    path: PathBuf,
    part: Part,
    /// Whether the name of the file states the part.
    is_named: bool,
}

/// The tables of a directory, in the order of their parts.
fn tables(directory: &Path) -> Result<Vec<Table>, DataError> {
    let unreadable = |source| DataError::Read { path: directory.to_owned(), source };
    let mut tables = Vec::new();
    for entry in directory.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if !is_table(&path) || !path.is_file() {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let stem = name.trim_end_matches(".gz").trim_end_matches(".csv");
        let last = stem.rsplit(['_', '-', '.']).next().unwrap_or_default();
        let part = part_of(stem).or_else(|| part_of(last));
        let is_named = part.is_some();
        // A table that shows how to submit predictions has no data.
        if !stem.contains("sample") && !stem.contains("submission") {
            tables.push(Table { path, part: part.unwrap_or(Part::Training), is_named });
        }
    }
    tables.sort_by(|a, b| (!a.is_named, a.part, &a.path).cmp(&(!b.is_named, b.part, &b.path)));
    Ok(tables)
}

fn part_of(name: &str) -> Option<Part> {
    match name.to_ascii_lowercase().as_str() {
        "train" | "training" => Some(Part::Training),
        "val" | "valid" | "validation" => Some(Part::Validation),
        "test" | "testing" => Some(Part::Test),
        _ => None,
    }
}

fn visible_directories(path: &Path) -> usize {
    let entries = path.read_dir().into_iter().flatten().flatten();
    let is_visible = |entry: &std::fs::DirEntry| {
        entry.path().is_dir() && !entry.file_name().to_string_lossy().starts_with(['.', '_'])
    };
    entries.filter(is_visible).count()
}

/// The tables of a dataset, in the order of their parts.
fn find_tables(path: &Path) -> Result<Vec<Table>, DataError> {
    if !path.is_dir() {
        return Ok(vec![Table { path: path.to_owned(), part: Part::Training, is_named: false }]);
    }
    let mut tables = tables(path)?;
    if tables.iter().any(|table| table.is_named && table.part == Part::Training) {
        tables.retain(|table| table.is_named);
    }
    for pair in tables.windows(2) {
        if pair[0].part == pair[1].part {
            let name = |table: &Table| {
                table.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
            };
            let problem = format!(
                "both {} and {} can be the table of {} images; give the file that you want as data.source, or remove the other",
                name(&pair[0]),
                name(&pair[1]),
                pair[0].part
            );
            return Err(invalid(path, "", problem));
        }
    }
    // A single table can state the part of each image.
    if let [table] = tables.as_mut_slice() {
        table.is_named = false;
    }
    match tables.first() {
        Some(table) if table.part == Part::Training => Ok(tables),
        _ => Err(invalid(path, "", "there is no train.csv; a directory of tables must have it")),
    }
}

/// The bytes of a table. Keeps the error of the file, which the CSV reader wraps.
struct Text {
    path: PathBuf,
    content: Content,
    /// The bytes that can be read before the end of the line.
    left: usize,
    /// The first error.
    failed: Option<DataError>,
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer).and_then(|count| {
            self.left = self.left.checked_sub(count).ok_or_else(|| {
                let problem = "a line is longer than 64 MiB; this is not a table of images";
                invalid(&self.path, "", problem)
            })?;
            Ok(count)
        });
        read.map_err(|error| {
            self.failed = Some(error);
            io::Error::other("unreadable")
        })
    }
}

/// The records of a table, one after the other.
struct Rows {
    path: PathBuf,
    reader: Reader<BufReader<Text>>,
    record: ByteRecord,
    /// The number of fields of the first record.
    columns: usize,
}

impl Rows {
    fn open(path: &Path) -> Result<Self, DataError> {
        let (path, content) = (path.to_owned(), Content::open(path)?);
        let text = Text { path: path.clone(), content, left: MAX_LINE_BYTES, failed: None };
        let reader = BufReader::with_capacity(1 << 16, text);
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(reader);
        Ok(Self { path, reader, record: ByteRecord::new(), columns: 0 })
    }

    /// Reads the next record. `false` at the end.
    fn next(&mut self) -> Result<bool, DataError> {
        self.reader.get_mut().get_mut().left = MAX_LINE_BYTES;
        let read = self.reader.read_byte_record(&mut self.record).map_err(|error| {
            let failed = self.reader.get_mut().get_mut().failed.take();
            failed.unwrap_or_else(|| invalid(&self.path, "", format!("not a CSV table: {error}")))
        })?;
        if !read {
            return Ok(false);
        }
        let fields = self.record.len();
        if self.columns == 0 {
            self.columns = fields;
        }
        if fields != self.columns {
            let problem = format!(
                "the line has {fields} columns, the first line {}; every line needs the same number",
                self.columns
            );
            return Err(self.error(problem));
        }
        Ok(true)
    }

    /// The line of the current record, from 1.
    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    fn error(&self, problem: impl Into<String>) -> DataError {
        invalid(&self.path, format!(":{}", self.line()), problem)
    }

    /// The text of a field of the current record.
    fn full_text(&self, column: usize) -> Result<&str, DataError> {
        let text = std::str::from_utf8(self.record.get(column).unwrap_or_default());
        text.map_err(|_| self.error("the text is not UTF-8; save the table as UTF-8"))
    }

    /// The same, without spaces around it.
    fn text(&self, column: usize) -> Result<&str, DataError> {
        self.full_text(column).map(str::trim)
    }
}

/// The meaning of the columns of a table.
struct Header {
    has_header: bool,
    names: Vec<String>,
    label: Option<usize>,
    part: Option<usize>,
    kind: Kind,
}

enum Kind {
    Paths { column: usize },
    Pixels { columns: Vec<usize>, ignored: Vec<String> },
}

fn is_number(field: &[u8]) -> bool {
    std::str::from_utf8(field).is_ok_and(|text| text.trim().parse::<f64>().is_ok())
}

impl Header {
    /// Reads the first line of a table.
    fn read(path: &Path, config: &DataConfig) -> Result<Self, DataError> {
        let mut rows = Rows::open(path)?;
        if !rows.next()? {
            return Err(invalid(path, "", "the table is empty"));
        }
        Self::of(&rows, config)
    }

    /// The columns according to the first line, which is the current one.
    fn of(rows: &Rows, config: &DataConfig) -> Result<Self, DataError> {
        let record = &rows.record;
        // Without names of columns, the label is first, and everything else is a number. Names can be numbers too.
        let first = record.get(0).unwrap_or_default().trim_ascii();
        let is_name = |name: &&str| first.eq_ignore_ascii_case(name.as_bytes());
        let has_name = LABEL_COLUMNS.iter().chain(&INDEX_COLUMNS).any(is_name)
            || config.labels.as_deref().is_some_and(|name| is_name(&name));
        if !has_name && record.len() > 1 && record.iter().skip(1).all(is_number) {
            if let Some(labels) = &config.labels {
                let problem = format!(
                    "the table has no names of columns, so data.labels = \"{labels}\" is not possible; remove the key, or add a line with names"
                );
                return Err(rows.error(problem));
            }
            let columns = (1..record.len()).collect();
            return Ok(Self {
                has_header: false,
                names: Vec::new(),
                label: Some(0),
                part: None,
                kind: Kind::Pixels { columns, ignored: Vec::new() },
            });
        }
        let mut names = Vec::with_capacity(record.len());
        for column in 0..record.len() {
            // Some programs start UTF-8 files with a byte order mark.
            names.push(rows.text(column)?.trim_start_matches('\u{feff}').trim().to_owned());
        }
        let find = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        let label = match &config.labels {
            Some(wanted) => find(wanted),
            None => LABEL_COLUMNS.iter().find_map(|wanted| find(wanted)),
        };
        let part =
            PART_COLUMNS.iter().find_map(|wanted| find(wanted)).filter(|it| Some(*it) != label);
        let paths =
            PATH_COLUMNS.iter().find_map(|wanted| find(wanted)).filter(|it| Some(*it) != label);
        let kind = match paths {
            Some(column) => Kind::Paths { column },
            None => {
                let is_index = |column: &usize| {
                    INDEX_COLUMNS.iter().any(|name| names[*column].eq_ignore_ascii_case(name))
                };
                let others = (0..names.len()).filter(|it| Some(*it) != label && Some(*it) != part);
                let (ignored, columns): (Vec<usize>, Vec<usize>) = others.partition(is_index);
                let ignored = ignored.into_iter().map(|column| names[column].clone()).collect();
                Kind::Pixels { columns, ignored }
            }
        };
        Ok(Self { has_header: true, names, label, part, kind })
    }

    /// The error for a table without labels.
    fn no_labels(&self, path: &Path, config: &DataConfig) -> DataError {
        let shown: Vec<&str> = self.names.iter().take(8).map(String::as_str).collect();
        let more = if self.names.len() > shown.len() { ", …" } else { "" };
        let expected = match &config.labels {
            Some(labels) => format!("no column is called `{labels}`, the value of data.labels"),
            None => format!(
                "no column is called {}; set data.labels = \"NAME\" to the name of the column with the labels",
                LABEL_COLUMNS.join(", ")
            ),
        };
        invalid(path, ":1", format!("{expected}; columns: {}{more}", shown.join(", ")))
    }
}

/// Index of a part in arrays.
fn index(part: Part) -> usize {
    match part {
        Part::Training => 0,
        Part::Validation => 1,
        Part::Test => 2,
    }
}

const PARTS: [Part; 3] = [Part::Training, Part::Validation, Part::Test];

fn part_labels(location: &Location<'_>, tables: &[Table], part: Part, labels: Texts) -> PartLabels {
    let table = tables.iter().find(|table| table.part == part);
    let path = table.map_or(location.path, |table| &table.path).to_owned();
    PartLabels { part, path, place: String::new(), labels: Labels::Texts(labels) }
}

/// The part in a column of the current record.
fn row_part(rows: &Rows, column: usize) -> Result<Part, DataError> {
    let text = rows.text(column)?;
    part_of(text).ok_or_else(|| {
        rows.error(format!("`{text}` is not a part of a dataset; write train, val or test"))
    })
}

fn push_label(rows: &Rows, column: usize, labels: &mut Texts) -> Result<(), DataError> {
    let text = rows.text(column)?;
    if text.is_empty() {
        return Err(rows.error("the label is empty; every image needs one"));
    }
    if text.len() > 1000 {
        return Err(rows.error("the label is longer than 1,000 bytes"));
    }
    if labels.push(text) {
        Ok(())
    } else {
        Err(rows.error("there are more than 65,536 different labels"))
    }
}
