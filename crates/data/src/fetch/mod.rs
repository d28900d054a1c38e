//! Downloads listed datasets: resumed, verified, and complete or not there at all.
//!
//! Downloads are in `.downloads/NAME` below the data directory, which no source names: `FILE.part` while it is incomplete, and
//! `FILE` once its checksum is right. They are unpacked there, too, and only complete files move into the directory of the
//! dataset.

mod error;
mod unpack;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::Md5;
use sha2::{Digest, Sha256};
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode};

use crate::catalog::{self, Download, FileSum, NamedDataset};
use crate::content::hexadecimal;
use crate::{DATASETS, DataError};

pub use error::FetchError;
use unpack::MAX_UNPACKED;

/// Bytes that are read at a time.
const CHUNK: usize = 64 * 1024;

/// Connections to one mirror in a row that bring almost nothing before the next mirror is tried.
const MAX_FAILURES: usize = 3;

/// The default limit for connecting and for waiting for bytes.
const STALL: Duration = Duration::from_secs(30);

/// The request: the dataset to fetch, and how.
#[derive(Debug, Clone)]
pub struct FetchOptions<'a> {
    /// The name of a listed dataset.
    pub name: &'a str,
    /// Where to download from instead of the listed mirrors, in the order in which they are tried: addresses of directories
    /// that have the files.
    pub from: &'a [String],
    /// How long to wait for a connection, and for further bytes.
    pub stall: Duration,
}

impl<'a> FetchOptions<'a> {
    /// The dataset of this name, from its mirrors.
    #[must_use]
    pub fn new(name: &'a str) -> Self {
        Self { name, from: &[], stall: STALL }
    }
}

/// Receives the progress of a download.
pub trait FetchProgress {
    /// The download of a file starts. `total` is its size, if known; `done` bytes are there from an earlier download.
    fn on_start(&mut self, file: &str, total: Option<u64>, done: u64);
    /// This many bytes of the file are there.
    fn on_bytes(&mut self, done: u64);
    /// Something that a user should know, such as a mirror that does not answer.
    fn on_note(&mut self, note: &str);
}

/// The result of [`fetch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The files were there; nothing was downloaded.
    AlreadyThere(PathBuf),
    /// The dataset is complete in this directory.
    Complete(PathBuf),
}

/// Downloads the missing files of a listed dataset into its directory in `data_directory`.
///
/// # Errors
///
/// The name is not listed, no mirror has the file, a file is not the published one, or it cannot be written. What was
/// downloaded so far is kept, and the next call continues it.
pub fn fetch(
    options: &FetchOptions<'_>,
    data_directory: &Path,
    progress: &mut dyn FetchProgress,
) -> Result<Fetched, DataError> {
    let Some(dataset) = catalog::find(options.name) else {
        let names = DATASETS.iter().map(|dataset| dataset.name);
        return Err(DataError::Fetch(FetchError::NotListed {
            name: options.name.to_owned(),
            nearest: kiln_config::nearest(options.name, names.clone()),
            known: names.collect::<Vec<_>>().join(", "),
        }));
    };
    let directory = data_directory.join(dataset.name);
    if dataset.missing_files(&directory).is_empty() {
        return Ok(Fetched::AlreadyThere(directory));
    }
    let downloads = data_directory.join(".downloads").join(dataset.name);
    create_directory(&downloads)?;
    let lock_path = downloads.join("lock");
    let lock = File::create(&lock_path).map_err(|source| cannot_write(&lock_path, source))?;
    if lock.try_lock().is_err() {
        return Err(DataError::Fetch(FetchError::FetchInProgress { name: dataset.name }));
    }
    let fetcher = Fetcher { options, dataset, agent: agent(options.stall), downloads: &downloads };
    let is_missing = |download: &&Download| {
        download.unpack.files().iter().any(|file| !directory.join(file).is_file())
    };
    let missing: Vec<&Download> = dataset.downloads.iter().filter(is_missing).collect();
    // All of them first: what was downloaded must survive an error.
    let paths = missing.iter().map(|download| fetcher.fetch(download, progress));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    let unpacked = downloads.join("unpacked");
    remove_directory(&unpacked)?;
    create_directory(&unpacked)?;
    for (download, path) in missing.iter().zip(paths) {
        download.unpack.unpack(&path, &unpacked)?;
    }
    create_directory(&directory)?;
    for entry in fs::read_dir(&unpacked).map_err(|source| cannot_read(&unpacked, source))? {
        let entry = entry.map_err(|source| cannot_read(&unpacked, source))?;
        let target = directory.join(entry.file_name());
        fs::rename(entry.path(), &target).map_err(|source| cannot_write(&target, source))?;
    }
    drop(lock);
    remove_directory(&downloads)?;
    // Other datasets may be downloaded at the same time.
    let _ = fs::remove_dir(data_directory.join(".downloads"));
    Ok(Fetched::Complete(directory))
}

fn agent(stall: Duration) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
        // The checksums are those of the files as published.
        .accept_encoding("identity")
        .timeout_connect(Some(stall))
        .timeout_recv_response(Some(stall))
        .timeout_per_read(Some(stall))
        .build();
    Agent::new_with_config(config)
}

struct Fetcher<'a> {
    options: &'a FetchOptions<'a>,
    dataset: &'static NamedDataset,
    agent: Agent,
    downloads: &'a Path,
}

/// Why a mirror was given up.
enum Failure {
    /// The connection failed after so many new bytes.
    Connection { new: u64, reason: String },
    /// Another attempt at the same mirror would have the same result.
    Mirror(String),
    /// No mirror would help.
    Fatal(DataError),
}

impl Fetcher<'_> {
    /// The verified file.
    fn fetch(
        &self,
        download: &Download,
        progress: &mut dyn FetchProgress,
    ) -> Result<PathBuf, DataError> {
        let complete = self.downloads.join(download.file);
        if complete.is_file() && checksum(&complete, download.checksum)?.is_ok() {
            return Ok(complete);
        }
        let mut attempts = Vec::new();
        for address in self.addresses(download) {
            match self.fetch_from(&address, download, progress) {
                Ok(part) => {
                    let renamed = fs::rename(&part, &complete);
                    renamed.map_err(|source| cannot_write(&complete, source))?;
                    return Ok(complete);
                }
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::Mirror(reason) | Failure::Connection { reason, .. }) => {
                    progress.on_note(&format!("{address}: {reason}"));
                    attempts.push(format!("{address}: {reason}"));
                }
            }
        }
        Err(DataError::Fetch(FetchError::Download {
            name: self.dataset.name,
            file: download.file,
            attempts: attempts.join("; "),
        }))
    }

    fn addresses(&self, download: &Download) -> Vec<String> {
        let join = |base: &str| format!("{}/{}", base.trim_end_matches('/'), download.file);
        match self.options.from {
            [] => self.dataset.mirrors.iter().map(|base| join(base)).collect(),
            given => given.iter().map(|base| join(base)).collect(),
        }
    }

    /// Downloads a file from one address, continuing what is there. Returns the path of the verified part.
    fn fetch_from(
        &self,
        address: &str,
        download: &Download,
        progress: &mut dyn FetchProgress,
    ) -> Result<PathBuf, Failure> {
        let part = self.downloads.join(format!("{}.part", download.file));
        let mut failures = 0;
        let mut was_resumed = false;
        loop {
            match self.receive(address, download, &part, progress) {
                Ok(resumed) => was_resumed |= resumed,
                Err(Failure::Connection { new, reason }) => {
                    failures = if new >= CHUNK as u64 { 0 } else { failures + 1 };
                    if failures == MAX_FAILURES {
                        return Err(Failure::Connection { new, reason });
                    }
                    was_resumed = true;
                    continue;
                }
                Err(failure) => return Err(failure),
            }
            match checksum(&part, download.checksum).map_err(Failure::Fatal)? {
                Ok(()) => return Ok(part),
                Err(found) => {
                    remove_file(&part).map_err(Failure::Fatal)?;
                    // The beginning may be from another version of the file.
                    if !was_resumed {
                        let expected = download.checksum;
                        return Err(Failure::Mirror(format!(
                            "not the published file: its {expected} is {found}"
                        )));
                    }
                    was_resumed = false;
                }
            }
        }
    }

    /// Makes one request and writes what arrives to `part`. Returns whether it continued an earlier download.
    fn receive(
        &self,
        address: &str,
        download: &Download,
        part: &Path,
        progress: &mut dyn FetchProgress,
    ) -> Result<bool, Failure> {
        let mut done = part.metadata().map_or(0, |metadata| metadata.len());
        if download.bytes.is_some_and(|bytes| done > bytes) {
            remove_file(part).map_err(Failure::Fatal)?;
            done = 0;
        } else if download.bytes == Some(done) {
            return Ok(true);
        }
        let version_path = part.with_added_extension("version");
        let mut request = self.agent.get(address);
        if done > 0 {
            request = request.header("Range", format!("bytes={done}-"));
            // If the file has changed, the server sends all of it.
            let version = fs::read_to_string(&version_path).unwrap_or_default();
            if let Some((of, version)) = version.split_once('\n')
                && of == address
            {
                request = request.header("If-Range", version);
            }
        }
        let response = request.call().map_err(|error| failure(error, 0))?;
        let (status, headers) = (response.status(), response.headers());
        let start = match status {
            StatusCode::PARTIAL_CONTENT if range_start(headers) == Some(done) => done,
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                remove_file(part).map_err(Failure::Fatal)?;
                let reason = "the server does not continue the download".to_owned();
                return Err(Failure::Connection { new: 0, reason });
            }
            status => return Err(Failure::Mirror(format!("HTTP status {status}"))),
        };
        let length = header(headers, "content-length").and_then(|text| text.parse::<u64>().ok());
        let total = length.map(|length| start + length);
        if let (Some(total), Some(bytes)) = (total, download.bytes)
            && total != bytes
        {
            return Err(Failure::Mirror(format!(
                "not the published file: it has {total} bytes, not {bytes}"
            )));
        }
        let version = version_of(headers).map(|version| format!("{address}\n{version}"));
        match version {
            Some(version) => fs::write(&version_path, version)
                .map_err(|source| Failure::Fatal(cannot_write(&version_path, source)))?,
            None => remove_file(&version_path).map_err(Failure::Fatal)?,
        }
        let cannot_write = |source| Failure::Fatal(cannot_write(part, source));
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(start == 0)
            .append(start > 0)
            .open(part)
            .map_err(cannot_write)?;
        progress.on_start(download.file, download.bytes.or(total), start);
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; CHUNK];
        let (mut done, limit) = (start, download.bytes.or(total).unwrap_or(MAX_UNPACKED));
        loop {
            let read = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let reason = format!("the connection broke after {done} bytes: {error}");
                    return Err(Failure::Connection { new: done - start, reason });
                }
            };
            if done + read as u64 > limit {
                return Err(Failure::Mirror(format!("the file has more than {limit} bytes")));
            }
            file.write_all(&buffer[..read]).map_err(cannot_write)?;
            done += read as u64;
            progress.on_bytes(done);
        }
        file.sync_all().map_err(cannot_write)?;
        if let Some(total) = download.bytes.or(total)
            && done < total
        {
            let reason = format!("the connection broke after {done} of {total} bytes");
            return Err(Failure::Connection { new: done - start, reason });
        }
        Ok(start > 0)
    }
}

fn failure(error: ureq::Error, new: u64) -> Failure {
    match error {
        ureq::Error::HostNotFound => {
            Failure::Mirror("the host is not found; is this computer offline?".to_owned())
        }
        ureq::Error::BadUri(uri) => Failure::Mirror(format!("{uri} is not an address")),
        error => Failure::Connection { new, reason: error.to_string() },
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The first byte of a partial response.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = header(headers, "content-range")?.strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

/// The identity of the version of a file: a strong entity tag, or else its date.
fn version_of(headers: &HeaderMap) -> Option<&str> {
    let tag = header(headers, "etag").filter(|tag| !tag.starts_with("W/"));
    tag.or_else(|| header(headers, "last-modified"))
}

/// Compares the checksum of a file. The inner error is its checksum.
fn checksum(path: &Path, expected: FileSum) -> Result<Result<(), String>, DataError> {
    fn sum<D: Digest>(path: &Path) -> io::Result<String> {
        let mut file = File::open(path)?;
        let (mut sum, mut buffer) = (D::new(), vec![0; CHUNK]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hexadecimal(&sum.finalize())),
                read => sum.update(&buffer[..read]),
            }
        }
    }
    let (found, expected) = match expected {
        FileSum::Sha256(expected) => (sum::<Sha256>(path), expected),
        FileSum::Md5(expected) => (sum::<Md5>(path), expected),
    };
    let found = found.map_err(|source| cannot_read(path, source))?;
    Ok(if found == expected { Ok(()) } else { Err(found) })
}

impl std::fmt::Display for FileSum {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Sha256(_) => "SHA-256",
            Self::Md5(_) => "MD5",
        })
    }
}

fn create_directory(path: &Path) -> Result<(), DataError> {
    fs::create_dir_all(path).map_err(|source| cannot_write(path, source))
}

fn remove_directory(path: &Path) -> Result<(), DataError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(path, error)),
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<(), DataError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(path, error)),
        _ => Ok(()),
    }
}

fn cannot_write(path: &Path, source: io::Error) -> DataError {
    DataError::Write { path: path.to_owned(), source }
}

fn cannot_read(path: &Path, source: io::Error) -> DataError {
    DataError::Read { path: path.to_owned(), source }
}
