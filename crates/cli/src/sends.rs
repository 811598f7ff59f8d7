//! Files that are being sent: by what name a transfer goes on after this process has ended.
//!
//! A name is drawn when a transfer begins and forgotten when it is done, so that the same file
//! can be sent again.

use std::{collections::BTreeMap, fs, io, os::unix::fs::MetadataExt, path::Path};

use sealwire::{
    core::{Timestamp, kdf, rng::draw},
    custody::{self, atomic::FileLock},
    identity::AgentId,
};

use crate::{
    books::{Begun, Book, Sends},
    error::Failure,
    home::Home,
    text::Plain,
};

/// How long a transfer that stopped can go on, in seconds: as long as its parts are kept.
const LIFETIME: u64 = 30 * 24 * 60 * 60;

/// A file as it was when it began to be sent to a peer.
#[derive(Debug)]
pub(crate) struct Sending {
    digest: String,
    name: String,
}

impl Sending {
    /// The name of the transfer that was begun, or of a new one.
    pub(crate) fn begin(
        home: &Home,
        peer: &AgentId,
        file: &Path,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let digest = digest(peer, file).map_err(|error| Failure::file("read", file, &error))?;
        let fresh = draw::<16>(&mut custody::system_rng());
        let fresh = hex(fresh.map_err(|error| Failure::other(error.to_string()))?.expose());
        let name = change(home, |sends| {
            sends.retain(|_, begun| now.as_secs().saturating_sub(begun.at) <= LIFETIME);
            let begun = Begun { name: fresh, at: now.as_secs() };
            sends.entry(digest.clone()).or_insert(begun).name.clone()
        })?;
        Ok(Self { digest, name })
    }

    pub(crate) fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// It is done: sending the file again is another transfer.
    pub(crate) fn end(self, home: &Home) -> Result<(), Failure> {
        change(home, |sends| drop(sends.remove(&self.digest)))
    }
}

/// What tells one state of a file from another.
fn digest(peer: &AgentId, file: &Path) -> io::Result<String> {
    let path = fs::canonicalize(file)?;
    let found = fs::metadata(&path)?;
    // The second time is one that programs cannot set: it shows a change behind the first.
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
    let times = times.into_iter().flat_map(i64::to_be_bytes);
    let numbers: Vec<u8> = found.len().to_be_bytes().into_iter().chain(times).collect();
    let path = path.as_os_str().as_encoded_bytes();
    Ok(hex(&kdf::sha256(&[&numbers, peer.as_str().as_bytes(), &[0], path])))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn change<R>(
    home: &Home,
    change: impl FnOnce(&mut BTreeMap<String, Begun>) -> R,
) -> Result<R, Failure> {
    let lock = FileLock::acquire(&home.sends())?;
    let mut book = read(home)?;
    let result = change(&mut book.sends);
    let text = book.to_text();
    let text = text.map_err(|error| Failure::other(format!("internal error: {error}")))?;
    lock.replace(text.as_bytes(), 0o600)?;
    Ok(result)
}

fn read(home: &Home) -> Result<Sends, Failure> {
    let path = home.sends();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Sends::default());
        }
        Err(error) => return Err(Failure::file("read", &path, &error)),
    };
    Sends::read(&text).map_err(|why| {
        Failure::other(format!("{} is damaged: {why}", Plain::path(&path)))
            .hint("move it away; transfers that had stopped then begin anew")
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_transfer_goes_on_under_its_name_until_it_is_done_or_the_file_is_another() {
        let directory = tempfile::tempdir().expect("a directory");
        let home = Home::locate(Some(directory.path().to_owned())).expect("a home");
        let peer = AgentId::parse("did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp");
        let other = AgentId::parse("did:key:z6Mkf5rGMoatrSj1f4CyvuHBeXJELe9RPdzo2PKGNCKVtZxP");
        let (peer, other) = (peer.expect("an id"), other.expect("an id"));
        let file = directory.path().join("file");
        fs::write(&file, "one").expect("written");
        let now = Timestamp::from_secs(1_800_000_000);
        let begin = |peer: &AgentId, now| Sending::begin(&home, peer, &file, now).expect("begun");

        let name = begin(&peer, now).name;
        assert_eq!(begin(&peer, now.plus(LIFETIME)).name, name);
        assert_ne!(begin(&other, now).name, name);
        begin(&peer, now).end(&home).expect("ended");
        let second = begin(&peer, now).name;
        assert_ne!(second, name);
        assert_ne!(begin(&peer, now.plus(LIFETIME + 1)).name, second, "too long ago");
        let third = begin(&peer, now).name;
        fs::write(&file, "three").expect("written");
        assert_ne!(begin(&peer, now).name, third, "another file");
        let fourth = begin(&peer, now).name;
        let times = fs::metadata(&file).expect("there").modified().expect("a time");
        fs::write(&file, "seven").expect("written");
        let written = File::options().append(true).open(&file).expect("there");
        written.set_modified(times).expect("set back");
        assert_ne!(begin(&peer, now).name, fourth, "another file that says that it is not");
        assert_eq!(
            Sending::begin(&home, &peer, Path::new("/none"), now).expect_err("none").exit(),
            crate::error::Exit::Failed
        );

        fs::write(home.sends(), "{").expect("written");
        let damaged = Sending::begin(&home, &peer, &file, now).expect_err("damaged");
        assert!(damaged.message().contains("is damaged"));
    }
}
