//! Whether the locks of a file system reach other machines, by its type and the options of its mount.

use std::fs;
use std::path::Path;

/// File systems that other machines may share, and the options with which their locks end at the machine.
const SHARED: &[(&str, &[&str])] = &[
    ("nfs", &["nolock", "local_lock=all", "local_lock=flock"]),
    ("nfs4", &["nolock", "local_lock=all", "local_lock=flock"]),
    ("lustre", &["localflock", "noflock"]),
    ("cifs", &["nobrl"]),
    ("smb3", &["nobrl"]),
    ("9p", &[]),
    ("fuse.sshfs", &[]),
];

/// File systems in [`SHARED`] whose locks never reach other machines.
const NEVER: &[&str] = &["9p", "fuse.sshfs"];

/// Why the locks in a directory do not reach other machines, such as `lustre, localflock`; `None` if they do, or if that is
/// not known. Only Linux says how a directory is mounted.
#[must_use]
pub fn lock_limitation(directory: &Path) -> Option<String> {
    limitation(&mounts()?, &fs::canonicalize(directory).ok()?)
}

/// The type of the file system of a directory, such as `ext4` or `nfs4`; `None` if it is not known.
#[must_use]
pub fn file_system(directory: &Path) -> Option<String> {
    let directory = fs::canonicalize(directory).ok()?;
    mount_of(&mounts()?, &directory).map(|mount| mount.file_system)
}

fn mounts() -> Option<String> {
    fs::read_to_string("/proc/self/mountinfo").ok()
}

/// Of the mounts above the directory, the deepest one, and of several at one place, the last.
fn mount_of(mounts: &str, directory: &Path) -> Option<Mount> {
    let above = mounts.lines().filter_map(Mount::parse);
    above
        .filter(|mount| directory.starts_with(&mount.place))
        .reduce(|best, mount| if mount.place.len() >= best.place.len() { mount } else { best })
}

fn limitation(mounts: &str, directory: &Path) -> Option<String> {
    let mount = mount_of(mounts, directory)?;
    let (name, options) = SHARED.iter().find(|(name, _)| *name == mount.file_system)?;
    let option = options.iter().find(|option| mount.options.split(',').any(|it| it == **option));
    match option {
        Some(option) => Some(format!("{name}, {option}")),
        None => NEVER.contains(name).then(|| (*name).to_owned()),
    }
}

/// A line of /proc/self/mountinfo, see proc(5).
struct Mount {
    place: String,
    file_system: String,
    options: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(4);
        let (place, own) = (mount.next()?, mount.next()?);
        let mut fields = file_system.split(' ');
        let (name, _source) = (fields.next()?, fields.next()?);
        let options = fields.next().unwrap_or_default();
        Some(Self {
            // Spaces in a path are written as octal numbers.
            place: place.replace("\\040", " "),
            file_system: name.to_owned(),
            options: format!("{own},{options}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::limitation;

    #[test]
    fn the_deepest_mount_decides() {
        let mounts = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
36 21 0:30 / /home rw,relatime shared:2 - nfs4 server:/home rw,vers=4.2,local_lock=none\n\
37 21 0:31 / /scratch rw,relatime - lustre 10.0.0.1@tcp:/fs rw,localflock,lazystatfs\n\
38 36 0:32 / /home/old\\040data rw - nfs server:/old rw,vers=3,nolock,local_lock=all\n\
39 21 0:33 / /vm rw - 9p host rw\n";
        for (path, expected) in [
            ("/tmp", None),
            ("/home/ada/runs", None),
            ("/scratch/ada", Some("lustre, localflock")),
            ("/scratchpad", None),
            ("/home/old data/runs", Some("nfs, nolock")),
            ("/vm/runs", Some("9p")),
        ] {
            assert_eq!(limitation(mounts, Path::new(path)).as_deref(), expected, "{path}");
        }
        assert_eq!(limitation("", Path::new("/")), None);
        assert_eq!(limitation("damaged - \n - \n", Path::new("/")), None);
    }
}
