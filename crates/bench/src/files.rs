//! Files, of which all programs have the same, and what is read from and written to them.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use crate::{Failure, KIB, Request, clock::Clock};

/// How much is read or written by one call.
pub const PIECE: usize = 256 * KIB;

/// `bytes` to read, which stand nowhere. No cipher is faster with these than with others.
pub fn source(bytes: u64) -> impl Read + Send {
    io::repeat(0xA5).take(bytes)
}

/// A file of `bytes` in `folder`: the one that another program has left there, or a new one.
///
/// # Errors
/// Of the file.
pub fn plain(folder: &Path, bytes: u64) -> Result<PathBuf, Failure> {
    let path = folder.join("plain");
    if fs::metadata(&path).is_ok_and(|found| found.len() == bytes) {
        return Ok(path);
    }
    copy(source(bytes), File::create(&path)?)?;
    Ok(path)
}

/// Writes all that `reader` gives, a [`PIECE`] at a time, and says how much that was.
///
/// # Errors
/// Of either.
pub fn copy(mut reader: impl Read, mut writer: impl Write) -> Result<u64, Failure> {
    let mut buffer = vec![0; PIECE];
    let mut copied: u64 = 0;
    loop {
        let len = reader.read(&mut buffer)?;
        if len == 0 {
            writer.flush()?;
            return Ok(copied);
        }
        writer.write_all(buffer.get(..len).unwrap_or_default())?;
        copied = copied.saturating_add(u64::try_from(len)?);
    }
}

/// Removes what an earlier run has left: each writes to memory that nobody has.
///
/// # Errors
/// Where something stays.
pub fn remove(path: &Path) -> Result<(), Failure> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Bytes a second of `work`, which moves as many as are asked for and says how many those were.
///
/// # Errors
/// Of `work`, and where it moved another number.
pub fn throughput(
    request: &Request,
    work: impl FnOnce() -> Result<u64, Failure>,
) -> Result<f64, Failure> {
    let clock = Clock::of(request);
    let start = clock.seconds()?;
    let moved = work()?;
    let seconds = clock.seconds()? - start;
    if moved != request.bytes {
        return Err(format!("{moved} of {} bytes", request.bytes).into());
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let bytes = moved as f64;
    Ok(bytes / seconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn all_that_is_read_is_written() {
        for bytes in [0, 1, 3 * PIECE + 7] {
            let mut written = Vec::new();
            let copied = copy(source(bytes as u64), &mut written).expect("memory");
            assert_eq!((copied, written), (bytes as u64, vec![0xA5; bytes]));
        }
    }

    #[test]
    fn less_than_all_is_no_figure() {
        let request = Request {
            suite: String::new(),
            name: "1 KiB, 2 threads".to_owned(),
            peer: String::new(),
            time: Duration::ZERO,
            bytes: 1024,
            folder: PathBuf::new(),
        };
        assert!(throughput(&request, || Ok(1024)).is_ok_and(|rate| rate > 0.0));
        let error = throughput(&request, || Ok(1023)).expect_err("a byte is missing");
        assert_eq!(error.to_string(), "1023 of 1024 bytes");
    }
}
