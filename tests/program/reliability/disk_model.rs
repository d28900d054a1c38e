//! A disk that loses its power, as the standard allows it to: POSIX promises of a file's content only what was synced,
//! and of a name only what was there when its directory was synced. Everything else may be there or not.
//!
//! The model is an inode a file or directory, each with what is safe and the changes since then, in order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use serde_json::Value;

use super::Generator;

type Inode = usize;

const ROOT: Inode = 0;

/// A disk, with what is safe on it and what is not yet.
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
    safe: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Append(Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Default)]
struct Directory {
    safe: BTreeMap<String, Inode>,
    changes: Vec<EntryChange>,
}

#[derive(Clone)]
enum EntryChange {
    Set(String, Inode),
    Unset(String),
    /// Both at once: a journal of a file system has a rename whole or not at all.
    Rename {
        from: String,
        to: String,
        node: Inode,
    },
}

/// What a power cut leaves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) directories: Vec<PathBuf>,
    pub(super) files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Disk {
    pub(super) fn empty() -> Self {
        Self { nodes: vec![Node::Directory(Directory::default())] }
    }

    /// A disk with the content of `below` at the same path from its own root, all of it safe.
    pub(super) fn holding(root: &Path, below: &str) -> Self {
        let mut disk = Self::empty();
        let mut paths = vec![PathBuf::from(below)];
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

    /// Does what a line of the journal tells of.
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
            other => panic!("no such operation: {other}"),
        }
    }

    pub(super) fn create(&mut self, path: &Path) {
        self.add(path, Node::File(File::default()));
    }

    pub(super) fn create_directory(&mut self, path: &Path) {
        self.add(path, Node::Directory(Directory::default()));
    }

    /// What is there already stays, as it does on a real disk.
    fn add(&mut self, path: &Path, node: Node) {
        if self.find(path).is_none() {
            self.nodes.push(node);
            let node = self.nodes.len() - 1;
            let (above, name) = self.entry(path);
            above.changes.push(EntryChange::Set(name, node));
        }
    }

    pub(super) fn append(&mut self, path: &Path, bytes: &[u8]) {
        self.file(path).changes.push(Change::Append(bytes.to_owned()));
    }

    pub(super) fn truncate(&mut self, path: &Path, length: usize) {
        self.file(path).changes.push(Change::Truncate(length));
    }

    pub(super) fn sync(&mut self, path: &Path) {
        let node = self.find(path).unwrap_or_else(|| panic!("{} is not there", path.display()));
        self.nodes[node].sync();
    }

    /// Within one directory, as all renames of Kiln's are. One of nothing fails on a real disk, too.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        assert_eq!(from.parent(), to.parent(), "a rename between directories is not modelled");
        let Some(node) = self.find(from) else { return };
        let (_, to) = self.entry(to);
        let (above, from) = self.entry(from);
        above.changes.push(EntryChange::Rename { from, to, node });
    }

    /// With all that is in it.
    pub(super) fn remove(&mut self, path: &Path) {
        let Some(node) = self.find(path) else { return };
        if let Node::Directory(directory) = &self.nodes[node] {
            for name in directory.entries().into_keys() {
                self.remove(&path.join(name));
            }
        }
        let (above, name) = self.entry(path);
        above.changes.push(EntryChange::Unset(name));
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
            _ => panic!("{} is no file", path.display()),
        }
    }

    /// The directory that a path lies in, and its name there.
    fn entry(&mut self, path: &Path) -> (&mut Directory, String) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match self.find(path.parent().unwrap()).map(|node| &mut self.nodes[node]) {
            Some(Node::Directory(directory)) => (directory, name),
            _ => panic!("{} lies nowhere", path.display()),
        }
    }

    /// The power goes. Without a generator all that is not safe is lost; with one, some of it by chance.
    pub(super) fn lose_power(mut self, mut chance: Option<&mut Generator>) -> Left {
        for node in &mut self.nodes {
            node.lose(chance.as_deref_mut());
        }
        let mut left = Left::default();
        let mut found = vec![(PathBuf::new(), ROOT)];
        while let Some((path, node)) = found.pop() {
            match &self.nodes[node] {
                Node::File(file) => drop(left.files.insert(path, file.safe.clone())),
                Node::Directory(directory) => {
                    let below = directory.safe.iter();
                    found.extend(below.map(|(name, node)| (path.join(name), *node)));
                    left.directories.push(path);
                }
            }
        }
        left
    }
}

impl Left {
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
                file.safe = file.content(file.changes.len());
                file.changes.clear();
            }
            Self::Directory(directory) => {
                directory.safe = directory.entries();
                directory.changes.clear();
            }
        }
    }

    /// Leaves of the changes what chance has brought to the disk, and takes it for safe.
    fn lose(&mut self, chance: Option<&mut Generator>) {
        match (self, chance) {
            (Self::File(file), None) => file.changes.clear(),
            (Self::Directory(directory), None) => directory.changes.clear(),
            (Self::File(file), Some(chance)) => file.lose_some(chance),
            (Self::Directory(directory), Some(chance)) => directory.lose_some(chance),
        }
    }
}

impl File {
    /// After so many of the changes.
    fn content(&self, changes: usize) -> Vec<u8> {
        let mut content = self.safe.clone();
        for change in &self.changes[..changes] {
            match change {
                Change::Append(bytes) => content.extend(bytes),
                Change::Truncate(length) => content.truncate(*length),
            }
        }
        content
    }

    /// The first changes arrive, and of the next a part; or its length arrives and its content does not.
    fn lose_some(&mut self, chance: &mut Generator) {
        let arrived = chance.below(self.changes.len() + 1);
        let mut content = self.content(arrived);
        if let Some(Change::Append(bytes)) = self.changes.get(arrived) {
            let part = chance.below(bytes.len());
            content.extend(&bytes[..part]);
            if chance.coin() {
                content.resize(content.len() + bytes.len() - part, 0);
            }
        }
        (self.safe, self.changes) = (content, Vec::new());
    }
}

impl Directory {
    fn entries(&self) -> BTreeMap<String, Inode> {
        let mut entries = self.safe.clone();
        for change in &self.changes {
            change.make(&mut entries);
        }
        entries
    }

    /// The first changes arrive, or any of them.
    fn lose_some(&mut self, chance: &mut Generator) {
        let first = chance.coin().then(|| chance.below(self.changes.len() + 1));
        for (index, change) in std::mem::take(&mut self.changes).into_iter().enumerate() {
            if first.map_or_else(|| chance.coin(), |first| index < first) {
                change.make(&mut self.safe);
            }
        }
    }
}

impl EntryChange {
    fn make(&self, entries: &mut BTreeMap<String, Inode>) {
        match self {
            Self::Set(name, node) => drop(entries.insert(name.clone(), *node)),
            Self::Unset(name) => drop(entries.remove(name)),
            Self::Rename { from, to, node } => {
                entries.remove(from);
                entries.insert(to.clone(), *node);
            }
        }
    }
}
