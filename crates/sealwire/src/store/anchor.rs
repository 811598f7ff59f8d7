//! What an anchor is: the newest generation, kept where a restored state does not reach.

#[cfg(feature = "vault")]
mod vault;

use core::fmt;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use sealwire_core::{
    DecodeError, DecodeReason,
    codec::{Reader, Writer},
};
use sealwire_custody::atomic::{self, FileLock};

#[cfg(feature = "vault")]
pub use self::vault::VaultAnchor;
use super::Error;

/// The newest generation of a state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AnchorState {
    generation: u64,
    hash: [u8; 32],
}

/// Keeps an [`AnchorState`] outside the state directory: with a key management service, in a
/// TPM, at a relay, or on another disk.
///
/// Whoever restores an older state must not be able to restore the anchor with it. The store
/// moves it with every transaction, after the disk has it and before anything leaves.
///
/// Calls wait for as long as the anchor does.
// STA-14
pub trait Anchor: Send + Sync + fmt::Debug {
    /// What it has. `None` when it was never moved.
    ///
    /// # Errors
    /// [`Error::Anchor`], [`Error::File`].
    fn read(&self) -> Result<Option<AnchorState>, Error>;

    /// Moves it from `from` to `to`, in one step that either finds `from` there or changes
    /// nothing. It is durable when this returns.
    ///
    /// # Errors
    /// [`Error::AnchorMoved`] when it has something else; [`Error::Anchor`], [`Error::File`].
    fn advance(&self, from: Option<AnchorState>, to: AnchorState) -> Result<(), Error>;
}

impl AnchorState {
    /// Length of the encoding, in bytes.
    pub const LEN: usize = 40;

    /// A generation and the SHA-256 of its sealed row.
    pub const fn new(generation: u64, hash: [u8; 32]) -> Self {
        Self { generation, hash }
    }

    /// The generation.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The SHA-256 of its sealed row.
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// `generation u64 | hash 32`, for anchors that keep bytes.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (generation, hash) = bytes.split_at_mut(8);
        generation.copy_from_slice(&self.generation.to_be_bytes());
        hash.copy_from_slice(&self.hash);
        bytes
    }

    /// Reads what [`AnchorState::to_bytes`] gave.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes of another length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("anchor", bytes);
        let (generation, hash) = (reader.u64()?, *reader.array()?);
        reader.finish()?;
        Ok(Self { generation, hash })
    }
}

impl fmt::Debug for AnchorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { generation, hash: _ } = self;
        f.debug_struct("AnchorState").field("generation", generation).finish_non_exhaustive()
    }
}

const MAGIC: &[u8; 8] = b"sealanch";
const VERSION: u8 = 1;
const FILE_LEN: usize = MAGIC.len() + 1 + AnchorState::LEN;

/// An anchor in a file, on a disk that is not restored together with the state.
///
/// It is worth as much as the place where it lies: a snapshot of a whole machine has both.
///
/// ```
/// use sealwire::store::{Anchor, FileAnchor};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let home = tempfile::tempdir()?;
/// let (state, elsewhere) = (home.path().join("state"), home.path().join("elsewhere"));
/// let anchor = FileAnchor::new(elsewhere.join("anchor"), &state)?;
/// assert_eq!(anchor.read()?, None);
///
/// let inside = FileAnchor::new(state.join("anchor"), &state).expect_err("restored with it");
/// assert!(inside.to_string().contains("within the state directory"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FileAnchor(PathBuf);

impl FileAnchor {
    /// An anchor in the file at `path`, for the state in `state_directory`. Missing directories
    /// are made, mode 0700; the file is made when the anchor is first moved.
    ///
    /// # Errors
    /// [`Error::AnchorInside`] for a path within the state directory, links resolved;
    /// [`Error::File`].
    // STA-14
    pub fn new(path: impl AsRef<Path>, state_directory: &Path) -> Result<Self, Error> {
        let path = resolve(path.as_ref())?;
        if path.starts_with(resolve(state_directory)?) {
            return Err(Error::AnchorInside { path });
        }
        if let Some(directory) = path.parent() {
            atomic::create_private_directory(directory)?;
        }
        Ok(Self(path))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Anchor for FileAnchor {
    fn read(&self) -> Result<Option<AnchorState>, Error> {
        let bytes = match fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(unreadable(&self.0, cause)),
        };
        let state = decode(&bytes)
            .map_err(|error| Error::Anchor(format!("{}: {error}", self.0.display())))?;
        Ok(Some(state))
    }

    fn advance(&self, from: Option<AnchorState>, to: AnchorState) -> Result<(), Error> {
        let lock = FileLock::acquire(&self.0)?;
        if self.read()? != from {
            return Err(Error::AnchorMoved);
        }
        let mut writer = Writer::new();
        writer.bytes(MAGIC).u8(VERSION).bytes(&to.to_bytes());
        Ok(lock.replace(&writer.into_bytes(), 0o600)?)
    }
}

fn decode(bytes: &[u8]) -> Result<AnchorState, DecodeError> {
    let mut reader = Reader::new("anchor file", bytes);
    if bytes.len() > FILE_LEN {
        return Err(reader.error(DecodeReason::Trailing));
    }
    if reader.array()? != MAGIC {
        return Err(reader.error(DecodeReason::Invalid("not an anchor file")));
    }
    reader.version(VERSION)?;
    AnchorState::from_bytes(reader.rest())
}

/// The path without links, as far as it exists.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let path = std::path::absolute(path).map_err(|cause| unreadable(path, cause))?;
    for ancestor in path.ancestors() {
        match fs::canonicalize(ancestor) {
            Ok(real) => {
                let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
                return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(unreadable(ancestor, cause)),
        }
    }
    Ok(path)
}

fn unreadable(path: &Path, cause: io::Error) -> Error {
    sealwire_custody::Error::Io { action: "read", path: path.to_owned(), cause }.into()
}

/// An anchor in this process's memory, for tests.
#[derive(Debug, Default)]
pub struct MemoryAnchor(Mutex<Option<AnchorState>>);

impl MemoryAnchor {
    /// An anchor that was never moved.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Anchor for MemoryAnchor {
    fn read(&self) -> Result<Option<AnchorState>, Error> {
        Ok(*self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn advance(&self, from: Option<AnchorState>, to: AnchorState) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *state != from {
            return Err(Error::AnchorMoved);
        }
        *state = Some(to);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::fs::symlink, sync::Arc, thread};

    fn at(generation: u64) -> AnchorState {
        AnchorState::new(generation, [7; 32])
    }

    // attack T3
    // STA-14
    #[test]
    fn an_anchor_moves_from_where_it_is_and_from_nowhere_else() {
        let home = tempfile::tempdir().expect("directory");
        let file = FileAnchor::new(home.path().join("a/anchor"), &home.path().join("state"));
        let anchors: [Box<dyn Anchor>; 2] =
            [Box::new(MemoryAnchor::new()), Box::new(file.expect("outside"))];
        for anchor in &anchors {
            assert_eq!(anchor.read().expect("reads"), None);
            let refused = anchor.advance(Some(at(1)), at(2)).expect_err("it has nothing");
            assert!(matches!(refused, Error::AnchorMoved), "{refused}");
            anchor.advance(None, at(1)).expect("first");
            anchor.advance(Some(at(1)), at(2)).expect("second");
            for from in [None, Some(at(1)), Some(at(3)), Some(AnchorState::new(2, [8; 32]))] {
                let refused = anchor.advance(from, at(3)).expect_err("not from here");
                assert!(matches!(refused, Error::AnchorMoved), "{refused}");
            }
            assert_eq!(anchor.read().expect("reads"), Some(at(2)));
        }
    }

    // STA-14
    #[test]
    fn of_several_that_move_a_file_at_a_time_one_does() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("anchor");
        let anchor = FileAnchor::new(path, &home.path().join("state")).expect("outside");
        let anchor = Arc::new(anchor);
        let movers: Vec<_> = (1..=8)
            .map(|hash| {
                let anchor = Arc::clone(&anchor);
                let to = AnchorState::new(1, [hash; 32]);
                thread::Builder::new()
                    .spawn(move || anchor.advance(None, to).is_ok().then_some(to))
                    .expect("a thread")
            })
            .collect();
        let moved: Vec<_> = movers.into_iter().map(|mover| mover.join().expect("ends")).collect();
        let winners: Vec<_> = moved.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(anchor.read().expect("reads"), Some(winners[0]));
    }

    // STA-14
    #[test]
    fn an_anchor_within_the_state_directory_is_refused() {
        let home = tempfile::tempdir().expect("directory");
        let state = home.path().join("state");
        fs::create_dir(&state).expect("made");
        symlink(&state, home.path().join("link")).expect("linked");
        for inside in ["state/anchor", "state/deep/er/anchor", "link/anchor", "state"] {
            let refused = FileAnchor::new(home.path().join(inside), &state).expect_err(inside);
            assert!(matches!(refused, Error::AnchorInside { .. }), "{inside}: {refused}");
        }
        assert!(!state.join("deep").exists());
        for outside in ["state2/anchor", "anchor", "other/anchor"] {
            FileAnchor::new(home.path().join(outside), &state).expect(outside);
        }
        let later = home.path().join("later");
        FileAnchor::new(later.join("anchor"), &later).expect_err("not there yet, and inside");
    }

    #[test]
    fn bad_anchor_files_are_refused_and_left() {
        let home = tempfile::tempdir().expect("directory");
        let anchor = FileAnchor::new(home.path().join("anchor"), &home.path().join("state"));
        let anchor = anchor.expect("outside");
        anchor.advance(None, at(1)).expect("moved");
        let good = fs::read(anchor.path()).expect("there");
        let version = [b"sealanch", &[2][..], &good[9..]].concat();
        for (bytes, sentence) in [
            (&b""[..], "anchor file: the input ends too early"),
            (b"sealkeys", "anchor file: not an anchor file"),
            (&good[..48], "anchor: the input ends too early"),
            (&[&good[..], b"0"].concat(), "anchor file: bytes follow the end"),
            (&version, "anchor file: unknown version 2; a newer release may read it"),
        ] {
            fs::write(anchor.path(), bytes).expect("written");
            let refused = anchor.read().expect_err(sentence).to_string();
            assert!(refused.ends_with(sentence), "{refused}");
            assert!(anchor.advance(Some(at(1)), at(2)).is_err(), "{sentence}");
            assert_eq!(fs::read(anchor.path()).expect("there"), bytes);
        }
    }
}
