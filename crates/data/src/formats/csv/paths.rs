//! Tables of image files.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::{
    Header, Kind, MAX_LISTED, PARTS, Rows, Table, directory_of, index, part_labels, push_label,
    row_part,
};
use crate::formats::arrays::{Classes, MAX_ROWS, Texts, invalid};
use crate::formats::{Contents, Encoded, Location, SourcePixels};
use crate::{DataConfig, DataError, Part};

/// An image file of a table.
pub(super) struct PathRow {
    pub(super) path: PathBuf,
    /// Relative to the dataset, with `/`.
    name: String,
    part: Part,
}

/// The image files of a table.
pub(super) struct PathRows {
    pub(super) rows: Vec<PathRow>,
    /// The label of each row.
    labels: Vec<String>,
    has_labels: bool,
}

impl PathRows {
    /// Reads a table of paths, and checks that the files exist.
    pub(super) fn read(
        table: &Table,
        config: &DataConfig,
        directory: &Path,
    ) -> Result<Self, DataError> {
        let header = Header::read(&table.path, config)?;
        let Kind::Paths { column } = header.kind else {
            return Err(invalid(
                &table.path,
                ":1",
                "this table has no column of image files, as the training table has",
            ));
        };
        let mut read =
            Self { rows: Vec::new(), labels: Vec::new(), has_labels: header.label.is_some() };
        if !read.has_labels {
            return Ok(read);
        }
        let mut rows = Rows::open(&table.path)?;
        rows.next()?;
        let mut missing = Vec::new();
        let mut resolver = Resolver::new(table, directory)?;
        let mut label = Texts::default();
        while rows.next()? {
            let name = rows.full_text(column)?.to_owned();
            let part = match header.part {
                Some(column) if !table.is_named => row_part(&rows, column)?,
                _ => table.part,
            };
            if let Some(column) = header.label {
                push_label(&rows, column, &mut label)?;
                read.labels.push(rows.text(column)?.to_owned());
            }
            match resolver.resolve(&name) {
                Resolved::File { path, name } => read.rows.push(PathRow { path, name, part }),
                Resolved::Outside => {
                    let problem = format!(
                        "`{name}` is outside of the directory of the table; copy the image into it, and write a relative path"
                    );
                    return Err(rows.error(problem));
                }
                Resolved::Missing => missing.push(format!("{name} (line {})", rows.line())),
            }
            if read.rows.len() > MAX_ROWS {
                return Err(rows.error("more images than the limit of 4,294,967,295"));
            }
        }
        if missing.is_empty() {
            return Ok(read);
        }
        Err(DataError::MissingImages {
            path: table.path.clone(),
            count: missing.len(),
            shown: missing.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", "),
            missing,
        })
    }
}

/// Finds the files of a table.
struct Resolver {
    /// Where files are searched, the directory of the table first.
    bases: Vec<PathBuf>,
    directory: PathBuf,
    /// The directory without symbolic links.
    root: PathBuf,
    /// Directories that are inside of the root.
    inside: HashSet<PathBuf>,
}

enum Resolved {
    File { path: PathBuf, name: String },
    Outside,
    Missing,
}

impl Resolver {
    fn new(table: &Table, directory: &Path) -> Result<Self, DataError> {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let unreadable = |source| DataError::Read { path: directory.to_owned(), source };
        let root = directory.canonicalize().map_err(unreadable)?;
        let mut bases = vec![directory.to_owned()];
        let stem = table.path.file_name().unwrap_or_default().to_string_lossy();
        let stem = stem.trim_end_matches(".gz").trim_end_matches(".csv");
        for name in ["images", "image", "imgs", "img", "data", stem] {
            let base = directory.join(name);
            if base.is_dir() {
                bases.push(base);
            }
        }
        Ok(Self { bases, directory: directory.to_owned(), root, inside: HashSet::new() })
    }

    fn resolve(&mut self, name: &str) -> Resolved {
        let relative = Path::new(name);
        // `..` may stay inside, but a dataset that needs it cannot be moved.
        let is_plain =
            |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if !relative.components().all(is_plain) {
            return Resolved::Outside;
        }
        // Tables often have a space after each comma.
        let names = [relative, Path::new(name.trim())];
        let paths =
            names.iter().flat_map(|name| self.bases.iter().map(move |base| base.join(name)));
        let Some(path) = paths.into_iter().find(|path| path.is_file()) else {
            return Resolved::Missing;
        };
        if !self.is_inside(&path) {
            return Resolved::Outside;
        }
        let below = path.strip_prefix(&self.directory).unwrap_or(&path);
        let parts = below.components().filter(|part| *part != Component::CurDir);
        let parts: Vec<_> = parts.map(|part| part.as_os_str().to_string_lossy()).collect();
        let name = parts.join("/");
        Resolved::File { path, name }
    }

    /// Whether a file is inside of the directory of the table, with all symbolic links followed.
    fn is_inside(&mut self, path: &Path) -> bool {
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        if is_link {
            return path.canonicalize().is_ok_and(|real| real.starts_with(&self.root));
        }
        let Some(parent) = path.parent() else { return false };
        if self.inside.contains(parent) {
            return true;
        }
        let is_inside = parent.canonicalize().is_ok_and(|real| real.starts_with(&self.root));
        if is_inside {
            self.inside.insert(parent.to_owned());
        }
        is_inside
    }
}

pub(super) fn read_paths(
    location: &Location<'_>,
    tables: &[Table],
    names: Option<Vec<String>>,
) -> Result<Contents, DataError> {
    let config = location.config;
    let directory = directory_of(location.path);
    let mut notes = Vec::new();
    let mut parts: [(Vec<PathRow>, Texts); 3] = Default::default();
    for (position, table) in tables.iter().enumerate() {
        let rows = PathRows::read(table, config, directory)?;
        if !rows.has_labels {
            if position == 0 {
                return Err(Header::read(&table.path, config)?.no_labels(&table.path, config));
            }
            let file = table.path.file_name().unwrap_or_default().to_string_lossy();
            notes.push(format!(
                "{file} has no labels, so it is not used; classify its images with `kiln predict`"
            ));
            continue;
        }
        for (row, label) in rows.rows.into_iter().zip(rows.labels) {
            let (images, labels) = &mut parts[index(row.part)];
            if !labels.push(&label) {
                return Err(invalid(
                    &table.path,
                    "",
                    "there are more than 65,536 different labels",
                ));
            }
            images.push(row);
        }
    }
    let mut encoded = Vec::new();
    let mut file_names = Vec::new();
    let mut labels = Vec::new();
    for (part, (rows, texts)) in PARTS.into_iter().zip(parts) {
        for row in rows {
            encoded.push(Encoded::File(row.path));
            file_names.push(row.name);
        }
        labels.push(part_labels(location, tables, part, texts));
    }
    if labels[0].labels.len() == 0 {
        return Err(invalid(&tables[0].path, "", "there are no training images"));
    }
    let Classes { names, labels, parts } = Classes::new(&labels, names)?;
    Ok(Contents {
        class_names: names,
        labels,
        parts,
        pixels: SourcePixels::Encoded(encoded),
        file_names: Some(file_names),
        notes,
        fingerprint: None,
    })
}
