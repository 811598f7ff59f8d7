//! Messages as files: written beside their place, and put there when they are whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use sealwire::{
    custody::atomic,
    delivery::{Device, MessageId},
};

use crate::error::Failure;

/// How many messages of one name a directory takes: a peer chooses the ids of its messages, and
/// may choose one twice.
const MAX_SAME: usize = 100;

/// The name of a message in a directory: its id, and the end of the id of who sent it.
pub(crate) fn name(from: &Device, message: MessageId) -> String {
    let id = from.agent.as_str();
    // An id is ASCII, and longer.
    let end = id.get(id.len().saturating_sub(8)..).unwrap_or_default();
    format!("{message}-{end}")
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Part {
    directory: PathBuf,
    name: String,
    file: File,
}

impl Part {
    /// The file of a message of which `length` bytes were stored before. `None` when they are
    /// not there.
    pub(crate) fn open(directory: &Path, name: &str, length: u64) -> Result<Option<Self>, Failure> {
        atomic::create_private_directory(directory)?;
        let path = part(directory, name);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(length == 0).mode(0o600);
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file("open", &path, &error)),
        };
        let failed = |error: io::Error| Failure::file("write", &path, &error);
        if file.metadata().map_err(failed)?.len() < length {
            return Ok(None);
        }
        // What follows was never acknowledged, and comes again.
        file.set_len(length).map_err(failed)?;
        Ok(Some(Self { directory: directory.to_owned(), name: name.to_owned(), file }))
    }

    /// Writes bytes at their place, to the disk.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.file.write_all_at(bytes, offset).and_then(|()| self.file.sync_data());
        written.map_err(|error| Failure::file("write", &self.path(), &error))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        part(&self.directory, &self.name)
    }

    /// Puts it into its place too, under a name that nothing else has. One that is there with the
    /// same bytes is the same: it was put there before a crash.
    pub(crate) fn publish(&self) -> Result<PathBuf, Failure> {
        let path = self.path();
        let failed = |error: io::Error| Failure::file("write", &path, &error);
        self.file.sync_all().map_err(failed)?;
        for place in places(&self.directory, &self.name) {
            match fs::hard_link(&path, &place) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if !same(&path, &place).map_err(failed)? {
                        continue;
                    }
                }
                Err(error) => return Err(Failure::file("write", &place, &error)),
            }
            let synced = File::open(&self.directory).and_then(|directory| directory.sync_all());
            synced.map_err(failed)?;
            return Ok(place);
        }
        let message = format!("{MAX_SAME} messages with the id {} are there already", self.name);
        Err(Failure::other(message).hint("move them away"))
    }

    /// Removes it, and not what was put into its place.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        let path = self.path();
        fs::remove_file(&path).map_err(|error| Failure::file("remove", &path, &error))
    }
}

/// Where a message is while it is not whole.
pub(crate) fn part(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!(".{name}.part"))
}

/// The name of the message whose part has this name.
fn of_part(name: &str) -> Option<&str> {
    let name = name.strip_prefix('.')?.strip_suffix(".part")?;
    let (message, from) = name.split_once('-')?;
    let is_ours = message.len() == 32
        && message.bytes().all(|byte| byte.is_ascii_hexdigit())
        && from.len() == 8
        && from.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_ours.then_some(name)
}

/// The parts that lie in a directory, each with the name of its message. None where there is no
/// directory.
pub(crate) fn parts(directory: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::file("look into", directory, &error)),
    };
    let part = |path: PathBuf| Some((of_part(path.file_name()?.to_str()?)?.to_owned(), path));
    Ok(entries.flatten().filter_map(|entry| part(entry.path())).collect())
}

/// Whether a part was put into its place too.
pub(crate) fn is_published(directory: &Path, name: &str, part: &Path) -> bool {
    let file = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let found = file(part);
    found.is_some() && places(directory, name).any(|place| file(&place) == found)
}

/// Where a message may be put, the first that is free.
fn places(directory: &Path, name: &str) -> impl Iterator<Item = PathBuf> {
    (1..=MAX_SAME).map(move |number| {
        directory.join(match number {
            1 => name.to_owned(),
            _ => format!("{name}-{number}"),
        })
    })
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() || !other.metadata()?.is_file() {
        return Ok(false);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        left.clear();
        right.clear();
        Read::by_ref(&mut one).take(64 * 1024).read_to_end(&mut left)?;
        Read::by_ref(&mut other).take(64 * 1024).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("there");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("there").file_name();
        let mut names: Vec<String> =
            entries.map(name).map(|name| name.into_string().expect("text")).collect();
        names.sort();
        names
    }

    fn put(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
        let part = Part::open(directory, name, 0).expect("opens").expect("new");
        part.write(0, bytes).expect("written");
        let place = part.publish().expect("published");
        part.remove().expect("removed");
        place
    }

    #[test]
    fn a_file_goes_on_at_what_was_acknowledged() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = |length| Part::open(directory.path(), "m", length).expect("no error");
        assert!(open(3).is_none(), "nothing is there");
        let part = open(0).expect("new");
        part.write(0, b"abc").expect("written");
        part.write(3, b"lost in a crash").expect("written");
        drop(part);
        let part = open(3).expect("its beginning is there");
        part.write(3, b"def").expect("written");
        assert_eq!(entries(directory.path()), [".m.part"]);
        assert_eq!(fs::read(part.publish().expect("published")).expect("there"), b"abcdef");
        // Until it is removed it can be published again, as after a crash.
        assert_eq!(part.publish().expect("published"), directory.path().join("m"));
        part.remove().expect("removed");
        assert_eq!(entries(directory.path()), ["m"]);
        let part = open(0).expect("new");
        part.write(0, b"ab").expect("written");
        drop(part);
        assert!(open(3).is_none(), "less is there than was acknowledged");
    }

    #[test]
    fn nothing_is_overwritten_and_a_repetition_is_one_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = |name: &str| directory.path().join(name);
        assert_eq!(put(directory.path(), "m", b"one"), place("m"));
        assert_eq!(put(directory.path(), "m", b"one"), place("m"));
        assert_eq!(put(directory.path(), "m", b"two"), place("m-2"));
        assert_eq!(put(directory.path(), "m", b"two"), place("m-2"));
        assert_eq!(put(directory.path(), "m", b"three"), place("m-3"));
        assert_eq!(entries(directory.path()), ["m", "m-2", "m-3"]);
        assert_eq!(fs::read(place("m")).expect("there"), b"one");
        for name in ["m", "m-2", "m-3"] {
            assert_eq!(fs::metadata(place(name)).expect("there").mode() & 0o777, 0o600);
        }
        fs::create_dir(place("d")).expect("made");
        assert_eq!(put(directory.path(), "d", b""), place("d-2"));
    }

    #[test]
    fn parts_are_told_from_what_else_lies_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let name = "00112233445566778899aabbccddeeff-g3djdX3m";
        for other in [".part", ".x.part", &format!("{name}.part"), &format!(".{name}"), ".git"] {
            fs::write(directory.path().join(other), "not ours").expect("written");
        }
        assert!(parts(directory.path()).expect("a list").is_empty());
        assert!(parts(&directory.path().join("none")).expect("a list").is_empty());

        let part = Part::open(directory.path(), name, 0).expect("opens").expect("new");
        part.write(0, b"all of it").expect("written");
        let found = parts(directory.path()).expect("a list");
        assert_eq!(found, [(name.to_owned(), part.path())]);
        assert!(!is_published(directory.path(), name, &part.path()));
        // Another one has the name, so that this one gets the next.
        fs::write(directory.path().join(name), "something else").expect("written");
        part.publish().expect("published");
        assert!(is_published(directory.path(), name, &part.path()));
        assert!(!is_published(directory.path(), name, &directory.path().join("none")));
    }
}
