//! The changes that the system reports, and the directories in which it looks for them.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kiln_compare::Changed;
use kiln_store::files::PARTIAL;
use kiln_store::{file_system, hidden};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// The files of a run that the comparison or the page of the run depends on.
const FILES: [&str; 5] = ["run.json", "config.toml", "history.csv", "report.json", "notes.json"];

/// The directory with the locks of runs.
const HIDDEN: &str = ".kiln";

/// File systems that do not report what other machines change.
const SHARED: [&str; 12] = [
    "9p", "afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "nfs", "nfs4", "panfs", "smb3",
    "virtiofs",
];

/// What has changed since it was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) runs: Changed,
    /// Whether runs may have appeared or vanished.
    pub(crate) directories: bool,
    /// Whether all runs that are not finished may have changed.
    pub(crate) unfinished: bool,
    /// Paths that are no longer what they were, so that a watch on them is one of something else.
    moved: HashSet<PathBuf>,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        !self.directories && !self.unfinished && !self.runs.all && self.runs.runs.is_empty()
    }
}

/// Collects the changes that the system reports.
pub(crate) struct Inbox {
    /// The absolute path of the served directory, and as it was given.
    absolute: PathBuf,
    given: PathBuf,
    /// The log of the served directory, if that is a run.
    own_log: Option<PathBuf>,
    state: Mutex<State>,
    /// Wakes the task that reads what has changed.
    pub(crate) marked: Notify,
}

#[derive(Debug, Default)]
struct State {
    pending: Pending,
    /// The runs with a watch, as they are found.
    runs: HashSet<PathBuf>,
}

impl Inbox {
    pub(crate) fn new(given: &Path) -> Self {
        let absolute = std::path::absolute(given).unwrap_or_else(|_| given.to_owned());
        let name = absolute.file_name().map(|name| format!("{}.log", name.to_string_lossy()));
        let own_log = absolute.parent().zip(name).map(|(above, name)| hidden(above).join(name));
        Self {
            absolute,
            own_log,
            given: given.to_owned(),
            state: Mutex::default(),
            marked: Notify::new(),
        }
    }

    pub(crate) fn mark(&self, mark: impl FnOnce(&mut Pending)) {
        mark(&mut self.lock().pending);
        self.marked.notify_one();
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.lock().pending.is_empty()
    }

    pub(crate) fn take(&self) -> Pending {
        std::mem::take(&mut self.lock().pending)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(&self, event: notify::Result<Event>) {
        let Ok(event) = event else { return self.mark_everything() };
        if event.need_rescan() {
            return self.mark_everything();
        }
        let mut is_marked = false;
        {
            let mut state = self.lock();
            for path in &event.paths {
                is_marked |= self.mark_path(&mut state, event.kind, path);
            }
        }
        if is_marked {
            self.marked.notify_one();
        }
    }

    fn mark_everything(&self) {
        self.mark(|pending| (pending.runs.all, pending.directories) = (true, true));
    }

    /// Marks what a change of a path is about; false if nothing depends on it.
    fn mark_path(&self, state: &mut State, kind: EventKind, path: &Path) -> bool {
        let is_end_of_writing =
            matches!(kind, EventKind::Access(AccessKind::Close(AccessMode::Write)));
        let is_of_content = matches!(kind, EventKind::Modify(ModifyKind::Data(_)));
        // Opening a file changes nothing, and the server opens files itself.
        if matches!(kind, EventKind::Access(_)) && !is_end_of_writing {
            return false;
        }
        let pending = &mut state.pending;
        let Ok(below) = path.strip_prefix(&self.absolute) else {
            if is_end_of_writing {
                let is_own = self.own_log.as_deref() == Some(path);
                return is_own && pending.runs.runs.insert(self.given.clone());
            }
            // The served directory does not exist yet, and one above it has appeared.
            let is_above = self.absolute.starts_with(path) && !is_of_content;
            pending.directories |= is_above;
            return is_above;
        };
        let own =
            if below.as_os_str().is_empty() { self.given.clone() } else { self.given.join(below) };
        let name = own.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let above = own.parent().unwrap_or(Path::new(""));
        if name.starts_with(PARTIAL) {
            return false;
        }
        if above.ends_with(HIDDEN) {
            // The log of a run is closed when its process ends.
            let Some(id) = name.strip_suffix(".log").filter(|_| is_end_of_writing) else {
                return false;
            };
            // It may have ended before the run had its first files.
            pending.directories = true;
            return above.parent().is_some_and(|above| pending.runs.runs.insert(above.join(id)));
        }
        if is_end_of_writing {
            return false;
        }
        if FILES.contains(&name) {
            // The other files appear with a run.
            let is_of_run = name == "run.json" || name == "config.toml";
            pending.directories |= !is_of_content && is_of_run;
            pending.runs.runs.insert(above.to_owned());
            return true;
        }
        if is_of_content || state.runs.contains(above) || (name.starts_with('.') && name != HIDDEN)
        {
            return false;
        }
        pending.directories = true;
        pending.moved.insert(own.clone());
        pending.runs.runs.insert(own);
        true
    }
}

/// The directories in which the system reports changes.
pub(crate) struct Watches {
    inbox: Arc<Inbox>,
    watcher: Option<RecommendedWatcher>,
    /// The directories that are watched in addition to runs.
    directories: HashSet<PathBuf>,
    watched: HashSet<PathBuf>,
    /// Why the system does not report all changes.
    limitation: Option<String>,
}

impl Watches {
    /// With `is_polling`, nothing is watched.
    pub(crate) fn new(inbox: &Arc<Inbox>, is_polling: bool) -> Self {
        if is_polling {
            let limitation = Some("notifications are switched off".to_owned());
            return Self::with(inbox, None, limitation);
        }
        let receiver = Arc::clone(inbox);
        let watcher = notify::recommended_watcher(move |event| receiver.receive(event));
        let (watcher, limitation) = match watcher {
            Ok(watcher) => (Some(watcher), None),
            Err(error) => (None, Some(explain(&error))),
        };
        Self::with(inbox, watcher, limitation)
    }

    fn with(
        inbox: &Arc<Inbox>,
        watcher: Option<RecommendedWatcher>,
        limitation: Option<String>,
    ) -> Self {
        let (directories, watched) = (HashSet::new(), HashSet::new());
        Self { inbox: Arc::clone(inbox), watcher, directories, watched, limitation }
    }

    /// Why changes must be looked for; `None` if the system reports them.
    pub(crate) fn limitation(&self) -> Option<String> {
        let shared = || {
            let kind = file_system(&self.inbox.absolute)?;
            let is_shared = SHARED.contains(&kind.as_str()) || kind.starts_with("fuse");
            is_shared.then(|| {
                format!("the file system {kind} does not report what other machines change")
            })
        };
        self.limitation.clone().or_else(shared)
    }

    /// Ends the watches on paths that are no longer what they were.
    pub(crate) fn forget(&mut self, pending: &Pending) {
        let gone = |path: &PathBuf| pending.moved.iter().any(|moved| path.starts_with(moved));
        let gone: Vec<PathBuf> = self.watched.iter().filter(|path| gone(path)).cloned().collect();
        for path in gone {
            self.end(&path);
        }
    }

    /// Watches these directories, or those of the last time if there are none, and with `runs` directories of runs, and no
    /// others. The result says whether a directory is watched now that was not before: it may have changed in between.
    pub(crate) fn set(
        &mut self,
        directories: Option<HashSet<PathBuf>>,
        runs: &HashSet<PathBuf>,
    ) -> bool {
        self.inbox.lock().runs.clone_from(runs);
        let directories = directories.unwrap_or_else(|| std::mem::take(&mut self.directories));
        let ended: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|path| !directories.contains(*path) && !runs.contains(*path))
            .cloned()
            .collect();
        for path in ended {
            self.end(&path);
        }
        let mut is_new = false;
        for path in directories.iter().chain(runs) {
            is_new |= self.begin(path);
        }
        self.directories = directories;
        is_new
    }

    fn begin(&mut self, path: &Path) -> bool {
        if self.watched.contains(path) {
            return false;
        }
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let Some(watcher) = &mut self.watcher else { return false };
        match watcher.watch(&absolute, RecursiveMode::NonRecursive) {
            Ok(()) => self.watched.insert(path.to_owned()),
            Err(error) => {
                // A directory that vanished or cannot be read is no limitation of the system.
                if matches!(error.kind, ErrorKind::MaxFilesWatch) {
                    self.limitation = Some(explain(&error));
                }
                false
            }
        }
    }

    fn end(&mut self, path: &Path) {
        self.watched.remove(path);
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if let Some(watcher) = &mut self.watcher {
            // The watch has ended already if the directory was removed.
            let _ = watcher.unwatch(&absolute);
        }
    }
}

/// The error of Linux if a user has as many receivers of changes as allowed.
const TOO_MANY_OPEN_FILES: i32 = 24;

fn explain(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => {
            "the limit of watched directories is reached (fs.inotify.max_user_watches)".to_owned()
        }
        ErrorKind::Io(cause) if cause.raw_os_error() == Some(TOO_MANY_OPEN_FILES) => {
            "the limit of programs that watch directories is reached (fs.inotify.max_user_instances)".to_owned()
        }
        _ => format!("the system does not report changes: {error}"),
    }
}
