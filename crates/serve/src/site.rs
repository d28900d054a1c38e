//! The runs as they were read last, and the tasks that bring them up to date.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use kiln_compare::{KnownRun, KnownRuns, Ranking};
use kiln_store::{Checksum, FileLock, Found, Skipped, Status, find, hidden};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, watch};

use crate::error::Result;
use crate::page::{Page, Shown, View};
use crate::server::ServeOptions;
use crate::token::random;
use crate::watches::{Inbox, Pending, Watches};

/// The time from a change until it is read, because changes come in groups.
const DELAY: Duration = Duration::from_millis(250);
/// The server takes at most one part in this many of the time of a core, plus one.
const SHARE: u32 = 8;
/// The pause between two looks if the system does not report changes: this long, or so many times as long as a look takes.
const POLL: Duration = Duration::from_secs(10);
const POLL_SHARE: u32 = 20;
/// Every n-th look also looks at finished runs.
const POLLS_OF_ALL: u32 = 10;
/// A request checks the files of all runs if the last check is older than this.
const CHECK: Duration = Duration::from_secs(30);
/// How often directories are searched again that were not watched while they were searched.
const MAX_SEARCHES: usize = 4;
/// The largest number of pages of runs that are rendered at the same time.
const MAX_RENDERINGS: usize = 2;

/// The largest number of comparisons that are kept in memory.
const MAX_SHOWN: usize = 8;

/// The number of characters of a key.
const KEY_LENGTH: usize = 16;

/// The served directory.
pub(crate) struct Site {
    pub(crate) path: PathBuf,
    pub(crate) ranking: Ranking,
    pub(crate) level: f64,
    /// Tells the states of this server from those of an earlier one.
    instance: String,
    runs: RwLock<Runs>,
    pub(crate) inbox: Arc<Inbox>,
    watches: Mutex<Watches>,
    /// The pause between two looks if the system does not report changes.
    poll: Duration,
    /// The number of the last change.
    version: watch::Sender<Version>,
    /// One update at a time.
    updating: AsyncMutex<()>,
    /// One rendering of a comparison at a time.
    pub(crate) rendering: AsyncMutex<()>,
    pub(crate) run_renderings: Semaphore,
    pages: Mutex<HashMap<View, (u64, Arc<Page>)>>,
    /// The comparisons that were shown last.
    shown: Mutex<HashMap<View, Arc<Mutex<Shown>>>>,
    times: Mutex<Times>,
    /// Why changes must be looked for; `None` if the system reports them.
    limitation: Mutex<Option<String>>,
}

/// What the readers of events learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Version {
    pub(crate) number: u64,
    /// Whether the server ends.
    pub(crate) is_closing: bool,
}

/// When and how long the server has worked.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    update: Duration,
    rendering: Duration,
    checked: Option<Instant>,
}

/// The runs as they were read last.
#[derive(Default)]
pub(crate) struct Runs {
    pub(crate) known: KnownRuns,
    /// The directories that look like runs but are none.
    pub(crate) left_out: Vec<Skipped>,
    /// Why there is no run.
    pub(crate) problem: Option<String>,
    /// The directories of all runs that were found.
    found: Vec<PathBuf>,
    /// The directories of runs by their keys.
    keys: HashMap<String, PathBuf>,
    /// The directories with runs, and how many each has.
    pub(crate) groups: BTreeMap<PathBuf, usize>,
}

impl Runs {
    /// The directory and the content of a run.
    pub(crate) fn by_key(&self, key: &str) -> Option<(&Path, &KnownRun)> {
        let path = self.keys.get(key)?;
        Some((path, self.known.get(path)?))
    }

    /// The directories that may change: of runs that are not finished.
    fn unfinished(&self) -> impl Iterator<Item = &Path> {
        let is_finished = |run: &KnownRun| {
            let is_end =
                |status| matches!(status, Status::Finished | Status::Pruned | Status::Diverged);
            run.summary().is_ok_and(|run| is_end(run.status))
        };
        self.known.iter().filter(move |(_, run)| !is_finished(run)).map(|(path, _)| path)
    }
}

/// The key of a path or another text: it says nothing about it, and needs no escaping.
pub(crate) fn key(of: &[u8]) -> String {
    let mut key = Checksum::of(of).sha256;
    key.truncate(KEY_LENGTH);
    key
}

/// The key of the directory of a run or of runs.
pub(crate) fn key_of(path: &Path) -> String {
    key(path.as_os_str().as_encoded_bytes())
}

impl Site {
    pub(crate) fn new(options: &ServeOptions) -> Result<Self> {
        let ServeOptions { path, ranking, level, poll, .. } = options.clone();
        // Without `.` and doubled separators, as the runs will be found.
        let path: PathBuf = path.components().collect();
        let inbox = Arc::new(Inbox::new(&path));
        let watches = Mutex::new(Watches::new(&inbox, poll.is_some()));
        let site = Self {
            path,
            ranking,
            level,
            instance: random::<6>()?,
            runs: RwLock::default(),
            inbox,
            watches,
            poll: poll.unwrap_or(POLL),
            version: watch::Sender::new(Version::default()),
            updating: AsyncMutex::default(),
            rendering: AsyncMutex::default(),
            run_renderings: Semaphore::new(MAX_RENDERINGS),
            pages: Mutex::default(),
            shown: Mutex::default(),
            times: Mutex::default(),
            limitation: Mutex::default(),
        };
        *site.limitation() = site.watches().limitation();
        site.inbox.mark(|pending| (pending.runs.all, pending.directories) = (true, true));
        Ok(site)
    }

    pub(crate) fn runs(&self) -> RwLockReadGuard<'_, Runs> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why changes must be looked for; `None` if the system reports them.
    pub(crate) fn limitation(&self) -> MutexGuard<'_, Option<String>> {
        self.limitation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.borrow().number
    }

    /// A state of something, such as of all runs, as an ETag without quotes.
    pub(crate) fn state(&self, of: impl std::fmt::Display) -> String {
        format!("{}-{of}", self.instance)
    }

    /// Whether a run that was found is still in the served directory, and not a link that has replaced it.
    pub(crate) fn contains(&self, run: &Path) -> bool {
        let inside = |root: PathBuf| run.canonicalize().is_ok_and(|run| run.starts_with(root));
        self.path.canonicalize().is_ok_and(inside)
    }

    /// The changes from now on. While a receiver exists, the site is kept up to date.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Version> {
        let receiver = self.version.subscribe();
        // Changes were not read while there was no receiver.
        self.inbox.marked.notify_one();
        receiver
    }

    pub(crate) fn watchers(&self) -> usize {
        self.version.receiver_count()
    }

    /// Ends the streams of events.
    pub(crate) fn close(&self) {
        self.version.send_modify(|version| version.is_closing = true);
    }

    /// A rendered comparison, if nothing has changed since.
    pub(crate) fn rendered(&self, view: &View) -> Option<Arc<Page>> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, page) = pages.get(view)?;
        (*version == self.version()).then(|| Arc::clone(page))
    }

    /// What is kept of a view, whatever rows it shows.
    pub(crate) fn shown(&self, view: &View) -> Arc<Mutex<Shown>> {
        let view = view.of_first_rows();
        let mut all = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_SHOWN && !all.contains_key(&view) {
            all.clear();
        }
        Arc::clone(all.entry(view).or_default())
    }

    pub(crate) fn keep(&self, view: View, version: u64, page: &Arc<Page>, took: Duration) {
        self.times().rendering = took;
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.retain(|_, (of, _)| *of == version);
        pages.insert(view, (version, Arc::clone(page)));
    }

    /// Reads the changes before a request is answered. With a receiver, they are read in the background instead, and the page
    /// receives an event.
    pub(crate) async fn refresh(self: &Arc<Self>) {
        let is_old = self.times().checked.is_none_or(|checked| checked.elapsed() > CHECK);
        if is_old {
            self.inbox.mark(|pending| (pending.runs.all, pending.directories) = (true, true));
        }
        if self.inbox.has_pending() && (self.watchers() == 0 || self.version() == 0) {
            self.update().await;
        }
    }

    /// Reads what has changed.
    async fn update(self: &Arc<Self>) {
        let _one_at_a_time = self.updating.lock().await;
        let pending = self.inbox.take();
        if pending.is_empty() {
            return;
        }
        let site = Arc::clone(self);
        // A panic would be a bug. The page then shows the state before.
        let _ = tokio::task::spawn_blocking(move || site.read(pending)).await;
    }

    /// Keeps the site up to date while there is a receiver. This never ends.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut polls = 0_u32;
        loop {
            let marked = self.inbox.marked.notified();
            if self.watchers() > 0 && self.limitation().is_some() {
                let pause = self.poll.max(self.times().update * POLL_SHARE);
                if tokio::time::timeout(pause, marked).await.is_err() {
                    polls = polls.wrapping_add(1);
                    self.inbox.mark(|pending| {
                        (pending.directories, pending.unfinished) = (true, true);
                        pending.runs.all |= polls.is_multiple_of(POLLS_OF_ALL);
                    });
                }
            } else {
                marked.await;
            }
            if self.watchers() == 0 || !self.inbox.has_pending() {
                continue;
            }
            tokio::time::sleep(DELAY).await;
            self.update().await;
            let times = *self.times();
            tokio::time::sleep((times.update + times.rendering) * SHARE).await;
        }
    }

    /// Reads the changes and notifies the receivers.
    fn read(&self, mut pending: Pending) {
        let start = Instant::now();
        if pending.unfinished {
            pending.runs.runs.extend(self.runs().unfinished().map(Path::to_owned));
        }
        let mut watches = self.watches();
        watches.forget(&pending);
        let is_searched = pending.directories || pending.runs.all;
        let search = is_searched.then(|| self.search(&mut watches));
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        let mut differs = self.version() == 0;
        if let Some((found, problem)) = search {
            differs |= runs.left_out != found.left_out || runs.problem != problem;
            runs.left_out = found.left_out;
            runs.problem = problem;
            if runs.found != found.runs || differs {
                differs = true;
                runs.keys = found.runs.iter().map(|path| (key_of(path), path.clone())).collect();
                runs.groups.clear();
                for run in &found.runs {
                    *runs.groups.entry(above(run).to_owned()).or_default() += 1;
                }
                runs.found = found.runs;
            }
        }
        let Runs { known, found, .. } = &mut *runs;
        differs |= known.update(found, &pending.runs);
        let unfinished: HashSet<PathBuf> = runs.unfinished().map(Path::to_owned).collect();
        let directories = is_searched.then(|| self.directories(&runs.found));
        drop(runs);
        if watches.set(directories, &unfinished) {
            // They may have changed before they were watched.
            self.inbox.mark(|pending| (pending.directories, pending.unfinished) = (true, true));
        }
        *self.limitation() = watches.limitation();
        drop(watches);
        let mut times = self.times();
        if pending.runs.all {
            times.checked = Some(start);
        }
        times.update = start.elapsed();
        drop(times);
        if differs {
            self.announce();
        }
    }

    /// Notifies the receivers of a change.
    pub(crate) fn announce(&self) {
        self.version.send_modify(|version| version.number += 1);
    }

    /// Finds the runs, and watches the directories in which others may appear.
    fn search(&self, watches: &mut Watches) -> (Found, Option<String>) {
        let mut searches = 0;
        loop {
            let none = |problem: &str| {
                let problem = format!("{} {problem}.", self.path.to_string_lossy());
                (Found::default(), Some(problem))
            };
            let (mut found, problem) = match find(&[&self.path]) {
                Ok(found) => (found, None),
                Err(_) if self.path.is_dir() => none("has no run yet"),
                Err(_) if self.path.exists() => none("is a file, not a directory"),
                Err(_) => none("does not exist yet"),
            };
            found.left_out.retain(|skipped| !is_beginning(&skipped.path));
            searches += 1;
            let unfinished: HashSet<PathBuf> =
                self.runs().unfinished().map(Path::to_owned).collect();
            let is_new = watches.set(Some(self.directories(&found.runs)), &unfinished);
            if !is_new || searches == MAX_SEARCHES {
                return (found, problem);
            }
        }
    }

    /// The directories in which runs may appear, and those with the locks of runs.
    fn directories(&self, runs: &[PathBuf]) -> HashSet<PathBuf> {
        let mut directories = HashSet::new();
        if runs.contains(&self.path) {
            directories.insert(self.path.clone());
        } else if self.path.is_dir() {
            directories.insert(self.path.clone());
            // A directory without a run may be the next sweep.
            let known: HashSet<&PathBuf> = runs.iter().collect();
            let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
            let entries = entries.filter(|entry| {
                !entry.file_name().as_encoded_bytes().starts_with(b".")
                    && entry.file_type().is_ok_and(|kind| kind.is_dir())
            });
            directories.extend(entries.map(|entry| entry.path()).filter(|it| !known.contains(it)));
        } else {
            // The served directory appears in the first one above it that exists.
            let absolute = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
            directories.extend(absolute.ancestors().find(|path| path.is_dir()).map(Path::to_owned));
        }
        directories.extend(runs.iter().map(|run| above(run).to_owned()));
        let hidden: Vec<PathBuf> =
            directories.iter().map(|path| hidden(path)).filter(|path| path.is_dir()).collect();
        directories.extend(hidden);
        directories
    }
}

/// Whether a process works on a run that has not written its first files yet.
fn is_beginning(run: &Path) -> bool {
    let id = run.file_name().and_then(OsStr::to_str);
    id.is_some_and(|id| FileLock::is_taken(above(run), id))
}

/// The directory that contains a run.
pub(crate) fn above(run: &Path) -> &Path {
    match run.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_plain_text() {
        let key = key_of(Path::new("runs/<b>/../x"));
        assert_eq!(key.len(), KEY_LENGTH);
        assert!(key.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(above(Path::new("run")), Path::new("."));
    }
}
