//! The names of classes.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::DataError;

/// Limit for the number of classes. Labels are 16-bit numbers.
pub(crate) const MAX_CLASSES: usize = 1 << 16;

/// The numbers from 0 to `classes` − 1.
pub(crate) fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|label| label.to_string()).collect()
}

/// Reads `classes.txt`, which has one name per line.
pub(crate) fn read_class_names(path: &Path) -> Result<Vec<String>, DataError> {
    /// Limits the memory for a wrong file.
    const MAX_BYTES: u64 = 16 << 20;

    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    let invalid = |line, problem| DataError::ClassNames { path: path.to_owned(), line, problem };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(invalid(1, "the file is longer than 16 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        invalid(line, "the text is not UTF-8")
    })?;

    let mut names: Vec<String> = Vec::new();
    let mut known = HashSet::new();
    // Some editors start UTF-8 files with a byte order mark.
    for (line, name) in (1..).zip(text.trim_start_matches('\u{feff}').lines().map(str::trim)) {
        if name.is_empty() {
            return Err(invalid(line, "the line is empty"));
        } else if !known.insert(name) {
            return Err(invalid(line, "another line has the same name"));
        } else if names.len() == MAX_CLASSES {
            return Err(invalid(line, "at most 65,536 classes are possible"));
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        return Err(invalid(1, "the file is empty"));
    }
    Ok(names)
}
