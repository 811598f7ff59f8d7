//! Where opened content goes: a file that appears when it is whole, or standard output.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    pin::Pin,
    str,
    task::{Context, Poll},
};

use tempfile::NamedTempFile;
use tokio::io::AsyncWrite;

use crate::{
    error::{Exit, Failure},
    text::{self, Plain},
};

/// A file that is not there before all of it is.
#[derive(Debug)]
pub(crate) struct OutFile {
    path: PathBuf,
    part: NamedTempFile,
    force: bool,
}

impl OutFile {
    /// Fails where something is in the way.
    pub(crate) fn check(path: &Path, force: bool) -> Result<(), Failure> {
        let found = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Failure::file("look for", path, &error)),
            Ok(found) => found,
        };
        let shown = Plain::path(path);
        if !force {
            return Err(exists(path));
        }
        if !found.is_file() && !found.is_symlink() {
            let message = format!("{shown} is not a file, and is not replaced by one");
            return Err(Failure::new(Exit::Usage, message)
                .hint("name a file, or leave --out out and redirect standard output"));
        }
        Ok(())
    }

    /// Begins a file beside `path`, for the owner alone. It goes when this is dropped.
    pub(crate) fn create(path: &Path, force: bool) -> Result<Self, Failure> {
        Self::check(path, force)?;
        let Some(name) = path.file_name() else {
            return Err(Failure::new(Exit::Usage, format!("{} names no file", Plain::path(path))));
        };
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(name);
        let mut builder = tempfile::Builder::new();
        let part = builder.prefix(&prefix).suffix(".part").tempfile_in(folder(path));
        let part = part.map_err(|error| Failure::file("make a file beside", path, &error))?;
        Ok(Self { path: path.to_owned(), part, force })
    }

    /// What is written to.
    pub(crate) fn writer(&self) -> Result<tokio::fs::File, Failure> {
        let file = self.part.as_file().try_clone();
        let file = file.map_err(|error| Failure::file("write", &self.path, &error))?;
        Ok(tokio::fs::File::from_std(file))
    }

    /// Puts it in its place, on the disk. What stands there now is replaced where that was
    /// allowed: the name, and nothing that a link of this name leads to.
    pub(crate) fn publish(self) -> Result<(), Failure> {
        let Self { path, part, force } = self;
        let failed = |error: io::Error| Failure::file("write", &path, &error);
        part.as_file().sync_all().map_err(failed)?;
        if force {
            Self::check(&path, force)?;
            part.persist(&path).map_err(|error| failed(error.error))?;
        } else {
            part.persist_noclobber(&path).map_err(|error| match error.error.kind() {
                io::ErrorKind::AlreadyExists => exists(&path),
                _ => failed(error.error),
            })?;
        }
        File::open(folder(&path)).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

fn exists(path: &Path) -> Failure {
    Failure::other(format!("{} is there already", Plain::path(path)))
        .hint("nothing was changed; name another file, or replace it with --force")
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Standard output. A terminal is given text that cannot move it.
pub(crate) fn stdout() -> Box<dyn AsyncWrite + Unpin + Send> {
    match io::stdout().is_terminal() {
        true => Box::new(Terminal::default()),
        false => Box::new(tokio::io::stdout()),
    }
}

/// A terminal, and the beginning of a character whose end has not come yet.
#[derive(Debug, Default)]
struct Terminal {
    rest: Vec<u8>,
}

impl Terminal {
    /// What is shown now of so many more bytes.
    fn take(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let held = match str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let rest = self.rest.split_off(held);
        let shown = std::mem::replace(&mut self.rest, rest);
        text::lines(&String::from_utf8_lossy(&shown))
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let shown = self.take(bytes);
        Poll::Ready(io::stdout().lock().write_all(shown.as_bytes()).map(|()| bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let rest = std::mem::take(&mut self.rest);
        let shown = text::lines(&String::from_utf8_lossy(&rest));
        let mut stdout = io::stdout().lock();
        Poll::Ready(stdout.write_all(shown.as_bytes()).and_then(|()| stdout.flush()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // attack T32
    #[test]
    fn a_terminal_is_not_moved_however_the_bytes_come() {
        let bytes = "a\u{1b}[2Jé漢\n".as_bytes();
        for at in 0..bytes.len() {
            let mut terminal = Terminal::default();
            let (first, second) = bytes.split_at(at);
            let shown = terminal.take(first) + &terminal.take(second);
            assert_eq!(shown, "a\\u{1b}[2Jé漢\n", "split at {at}");
            assert!(terminal.rest.is_empty());
        }
        // What is no text is not held back.
        let mut terminal = Terminal::default();
        assert_eq!(terminal.take(b"\xff\xc3"), "\u{fffd}\u{fffd}");
        assert!(terminal.rest.is_empty());
    }
}
