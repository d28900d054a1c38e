//! Failing disks and dying processes, for tests.
//!
//! `KILN_FAULT=enospc@17` makes the 17th disk operation of this process (counted from 1) fail with a full disk,
//! `eio@17` with an I/O error; `die@17` ends the process there. A write that fails, or in which the process dies, has
//! written its first half.
//!
//! `KILN_FAULT_JOURNAL=FILE` adds each operation to the file, as a line of JSON, before it is done.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use serde_json::json;

/// A disk operation.
pub(super) enum Operation<'a> {
    Create(&'a Path),
    Write(&'a Path, &'a [u8]),
    Sync(&'a Path),
    Truncate(&'a Path, u64),
    Rename(&'a Path, &'a Path),
    Link(&'a Path, &'a Path),
    CreateDirectory(&'a Path),
    SyncDirectory(&'a Path),
    Remove(&'a Path),
}

#[derive(Clone, Copy)]
enum Fault {
    Error(i32),
    Death,
}

struct Faults {
    fault: Option<(Fault, usize)>,
    journal: Option<PathBuf>,
}

/// Named as in Linux's errno.h.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

static FAULTS: LazyLock<Faults> = LazyLock::new(|| Faults {
    fault: std::env::var("KILN_FAULT").ok().and_then(|text| parse(&text)),
    journal: std::env::var_os("KILN_FAULT_JOURNAL").map(PathBuf::from),
});

static DONE: AtomicUsize = AtomicUsize::new(0);

fn parse(text: &str) -> Option<(Fault, usize)> {
    let (name, number) = text.split_once('@')?;
    let fault = match name {
        "enospc" => Fault::Error(ENOSPC),
        "eio" => Fault::Error(EIO),
        "die" => Fault::Death,
        _ => return None,
    };
    Some((fault, number.parse().ok()?))
}

/// Records an operation and returns the fault to inject into it, if any.
fn next(operation: &Operation<'_>) -> Option<Fault> {
    let number = DONE.fetch_add(1, Ordering::Relaxed) + 1;
    if let Some(journal) = &FAULTS.journal {
        // An error is ignored here: the test fails because a line of its journal is missing.
        let file = OpenOptions::new().append(true).create(true).open(journal);
        let _ = file.and_then(|mut file| writeln!(file, "{}", operation.line()));
    }
    FAULTS.fault.filter(|(_, at)| *at == number).map(|(fault, _)| fault)
}

/// The error of a fault, unless the fault is that the process dies here.
fn inject(fault: Fault) -> io::Error {
    match fault {
        Fault::Error(number) => io::Error::from_raw_os_error(number),
        // Without destructors, as after `kill -9`.
        Fault::Death => std::process::abort(),
    }
}

pub(super) fn before(operation: &Operation<'_>) -> io::Result<()> {
    next(operation).map_or(Ok(()), |fault| Err(inject(fault)))
}

pub(super) fn write_half_and_fail(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some(fault) = next(&Operation::Write(path, bytes)) else { return Ok(()) };
    file.write_all(&bytes[..bytes.len() / 2])?;
    Err(inject(fault))
}

impl Operation<'_> {
    fn line(&self) -> serde_json::Value {
        match self {
            Self::Create(path) => json!({"operation": "create", "path": path}),
            Self::Write(path, bytes) => {
                let bytes = base64::engine::general_purpose::STANDARD.encode(bytes);
                json!({"operation": "write", "path": path, "bytes": bytes})
            }
            Self::Sync(path) => json!({"operation": "sync", "path": path}),
            Self::Truncate(path, length) => {
                json!({"operation": "truncate", "path": path, "length": length})
            }
            Self::Rename(from, to) => json!({"operation": "rename", "path": from, "to": to}),
            Self::Link(from, to) => json!({"operation": "link", "path": from, "to": to}),
            Self::CreateDirectory(path) => json!({"operation": "create_directory", "path": path}),
            Self::SyncDirectory(path) => json!({"operation": "sync_directory", "path": path}),
            Self::Remove(path) => json!({"operation": "remove", "path": path}),
        }
    }
}
