//! A model of a disk that loses power, as far as POSIX allows it to: the content of a file is durable once the file is
//! synced, and a name once its directory is synced. After a power loss, all other changes may be there or not.
//!
//! The model has one inode per file or directory. Each inode has durable content and a list of the changes since then.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use serde_json::Value;

use super::Rng;

type Inode = usize;

const ROOT: Inode = 0;

#[derive(Clone)]
pub(super) struct Disk {
    nodes: Vec<Node>,
}

#[derive(Clone)]
enum Node {
    File(File),
    Directory(Directory),
}

#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Append(Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Default)]
struct Directory {
    durable: BTreeMap<String, Inode>,
    pending: Vec<EntryChange>,
}

#[derive(Clone)]
enum EntryChange {
    Set(String, Inode),
    Remove(String),
    /// Removes one name and sets the other. The journals of file systems make this atomic.
    Rename {
        from: String,
        to: String,
        node: Inode,
    },
}

/// The files and directories after a power loss.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) directories: Vec<PathBuf>,
    pub(super) files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Disk {
    pub(super) fn empty() -> Self {
        Self { nodes: vec![Node::Directory(Directory::default())] }
    }

    /// A disk with a copy of `root/directory` at the path `directory`. All of it is durable.
    pub(super) fn with_content(root: &Path, directory: &str) -> Self {
        let mut disk = Self::empty();
        let mut paths = vec![PathBuf::from(directory)];
        while let Some(path) = paths.pop() {
            if root.join(&path).is_dir() {
                disk.create_directory(&path);
                let entries = fs::read_dir(root.join(&path)).unwrap();
                paths.extend(entries.map(|entry| path.join(entry.unwrap().file_name())));
            } else {
                disk.create(&path);
                disk.append(&path, &fs::read(root.join(&path)).unwrap());
            }
        }
        for node in &mut disk.nodes {
            node.sync();
        }
        disk
    }

    /// Applies an operation, a line of the journal that `KILN_FAULT_JOURNAL` writes.
    pub(super) fn apply(&mut self, operation: &str) {
        let operation: Value = serde_json::from_str(operation).unwrap();
        let text = |key: &str| operation[key].as_str().unwrap();
        let path = Path::new(text("path"));
        match text("operation") {
            "create" => self.create(path),
            "write" => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text("bytes"));
                self.append(path, &bytes.unwrap());
            }
            "truncate" => self.truncate(path, operation["length"].as_u64().unwrap() as usize),
            "rename" => self.rename(path, Path::new(text("to"))),
            "create_directory" => self.create_directory(path),
            "sync" | "sync_directory" => self.sync(path),
            "remove" => self.remove(path),
            other => panic!("unknown operation: {other}"),
        }
    }

    pub(super) fn create(&mut self, path: &Path) {
        self.add(path, Node::File(File::default()));
    }

    pub(super) fn create_directory(&mut self, path: &Path) {
        self.add(path, Node::Directory(Directory::default()));
    }

    fn add(&mut self, path: &Path, node: Node) {
        // As on a real disk, creating a path that exists keeps its content.
        if self.find(path).is_none() {
            self.nodes.push(node);
            let node = self.nodes.len() - 1;
            let (parent, name) = self.parent_and_name(path);
            parent.pending.push(EntryChange::Set(name, node));
        }
    }

    pub(super) fn append(&mut self, path: &Path, bytes: &[u8]) {
        self.file(path).pending.push(Change::Append(bytes.to_owned()));
    }

    pub(super) fn truncate(&mut self, path: &Path, length: usize) {
        self.file(path).pending.push(Change::Truncate(length));
    }

    pub(super) fn sync(&mut self, path: &Path) {
        let node = self.find(path).unwrap_or_else(|| panic!("{} does not exist", path.display()));
        self.nodes[node].sync();
    }

    /// Renames a path within one directory, as Kiln does. If `from` does not exist, nothing happens: on a real disk, such
    /// a rename fails.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        assert_eq!(from.parent(), to.parent(), "a rename between directories is not modeled");
        let Some(node) = self.find(from) else { return };
        let (_, to) = self.parent_and_name(to);
        let (parent, from) = self.parent_and_name(from);
        parent.pending.push(EntryChange::Rename { from, to, node });
    }

    /// Removes a path with everything in it.
    pub(super) fn remove(&mut self, path: &Path) {
        let Some(node) = self.find(path) else { return };
        if let Node::Directory(directory) = &self.nodes[node] {
            for name in directory.entries().into_keys() {
                self.remove(&path.join(name));
            }
        }
        let (parent, name) = self.parent_and_name(path);
        parent.pending.push(EntryChange::Remove(name));
    }

    fn find(&self, path: &Path) -> Option<Inode> {
        let mut node = ROOT;
        for component in path.components() {
            let name = match component {
                Component::CurDir => continue,
                Component::Normal(name) => name.to_str().unwrap(),
                _ => panic!("{} leaves the disk", path.display()),
            };
            let Node::Directory(directory) = &self.nodes[node] else { return None };
            node = *directory.entries().get(name)?;
        }
        Some(node)
    }

    fn file(&mut self, path: &Path) -> &mut File {
        match self.find(path).map(|node| &mut self.nodes[node]) {
            Some(Node::File(file)) => file,
            _ => panic!("{} is not a file", path.display()),
        }
    }

    fn parent_and_name(&mut self, path: &Path) -> (&mut Directory, String) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match self.find(path.parent().unwrap()).map(|node| &mut self.nodes[node]) {
            Some(Node::Directory(directory)) => (directory, name),
            _ => panic!("{} has no parent directory", path.display()),
        }
    }

    /// Loses all changes that are not durable. With a random generator, loses a random part of them.
    pub(super) fn lose_power(mut self, mut rng: Option<&mut Rng>) -> Content {
        for node in &mut self.nodes {
            node.lose_power(rng.as_deref_mut());
        }
        let mut content = Content::default();
        let mut found = vec![(PathBuf::new(), ROOT)];
        while let Some((path, node)) = found.pop() {
            match &self.nodes[node] {
                Node::File(file) => drop(content.files.insert(path, file.durable.clone())),
                Node::Directory(directory) => {
                    let entries = directory.durable.iter();
                    found.extend(entries.map(|(name, node)| (path.join(name), *node)));
                    content.directories.push(path);
                }
            }
        }
        content
    }
}

impl Content {
    /// Writes the files and directories to a real directory.
    pub(super) fn write(&self, root: &Path) {
        for directory in &self.directories {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for (path, content) in &self.files {
            fs::write(root.join(path), content).unwrap();
        }
    }
}

impl Node {
    fn sync(&mut self) {
        match self {
            Self::File(file) => {
                file.durable = file.content(file.pending.len());
                file.pending.clear();
            }
            Self::Directory(directory) => {
                directory.durable = directory.entries();
                directory.pending.clear();
            }
        }
    }

    /// Drops the pending changes. With a random generator, first makes some of them durable.
    fn lose_power(&mut self, rng: Option<&mut Rng>) {
        match (self, rng) {
            (Self::File(file), None) => file.pending.clear(),
            (Self::Directory(directory), None) => directory.pending.clear(),
            (Self::File(file), Some(rng)) => file.lose_some(rng),
            (Self::Directory(directory), Some(rng)) => directory.lose_some(rng),
        }
    }
}

impl File {
    /// The content after the first `changes` of the pending changes.
    fn content(&self, changes: usize) -> Vec<u8> {
        let mut content = self.durable.clone();
        for change in &self.pending[..changes] {
            match change {
                Change::Append(bytes) => content.extend(bytes),
                Change::Truncate(length) => content.truncate(*length),
            }
        }
        content
    }

    /// Makes the first few changes durable, and a part of the next one.
    fn lose_some(&mut self, rng: &mut Rng) {
        let complete = rng.below(self.pending.len() + 1);
        let mut content = self.content(complete);
        if let Some(Change::Append(bytes)) = self.pending.get(complete) {
            let part = rng.below(bytes.len());
            content.extend(&bytes[..part]);
            // A file system may store the new length before the data. The rest of the file then reads as zeros.
            if rng.coin() {
                content.resize(content.len() + bytes.len() - part, 0);
            }
        }
        (self.durable, self.pending) = (content, Vec::new());
    }
}

impl Directory {
    fn entries(&self) -> BTreeMap<String, Inode> {
        let mut entries = self.durable.clone();
        for change in &self.pending {
            change.apply(&mut entries);
        }
        entries
    }

    /// Makes either the first few changes durable, or any of them: some file systems keep the order and some do not.
    fn lose_some(&mut self, rng: &mut Rng) {
        let first = rng.coin().then(|| rng.below(self.pending.len() + 1));
        for (index, change) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            if first.map_or_else(|| rng.coin(), |first| index < first) {
                change.apply(&mut self.durable);
            }
        }
    }
}

impl EntryChange {
    fn apply(&self, entries: &mut BTreeMap<String, Inode>) {
        match self {
            Self::Set(name, node) => drop(entries.insert(name.clone(), *node)),
            Self::Remove(name) => drop(entries.remove(name)),
            Self::Rename { from, to, node } => {
                entries.remove(from);
                entries.insert(to.clone(), *node);
            }
        }
    }
}
