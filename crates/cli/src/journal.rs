//! The log of a relay: JSON lines, a file a day, kept for some days.
//!
//! What is logged has no identities in it: the relay gives none, and nothing is added here but
//! the time.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use sealwire::{core::Timestamp, custody::atomic};

use crate::{error::Failure, text};

const PREFIX: &str = "relay-";
const SUFFIX: &str = ".jsonl";
const DAY: u64 = 24 * 60 * 60;

/// The files of a log.
#[derive(Debug)]
pub(crate) struct Journal {
    directory: PathBuf,
    days: u64,
    today: Mutex<Option<Today>>,
}

/// The file of a day.
#[derive(Debug)]
struct Today {
    day: String,
    file: File,
}

impl Journal {
    /// A log in this directory, whose files are removed after so many days.
    pub(crate) fn open(directory: &Path, days: u32, now: Timestamp) -> Result<Self, Failure> {
        atomic::create_private_directory(directory)?;
        let directory = directory.to_owned();
        let journal = Self { directory, days: days.into(), today: Mutex::default() };
        // What is wrong shows now, and not when there is something to log.
        let opened = journal.with_file(now, |_| Ok(()));
        opened
            .map_err(|error| Failure::file("write to", &journal.path(&text::day(now)), &error))?;
        Ok(journal)
    }

    /// Writes a JSON object as a line, with the time in front.
    pub(crate) fn write(&self, now: Timestamp, object: &str) -> io::Result<()> {
        let fields = object.strip_prefix('{').ok_or(io::ErrorKind::InvalidData)?;
        let comma = if fields.starts_with('}') { "" } else { "," };
        let line = format!("{{\"time\":\"{}\"{comma}{fields}\n", text::rfc3339(now));
        // One write, so that no other line comes between.
        self.with_file(now, |file| file.write_all(line.as_bytes()))
    }

    fn with_file(
        &self,
        now: Timestamp,
        work: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut today = self.today.lock().unwrap_or_else(PoisonError::into_inner);
        let day = text::day(now);
        let open = match today.take().filter(|open| open.day == day) {
            Some(open) => open,
            None => {
                self.remove_old(now)?;
                let mut options = OpenOptions::new();
                let file = options.append(true).create(true).mode(0o600).open(self.path(&day))?;
                Today { day, file }
            }
        };
        work(&mut today.insert(open).file)
    }

    /// Removes files of days that are over for long enough, and nothing else.
    fn remove_old(&self, now: Timestamp) -> io::Result<()> {
        let oldest = text::day(Timestamp::from_secs(
            now.as_secs().saturating_sub(self.days.saturating_mul(DAY)),
        ));
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let day =
                name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
            if day.is_some_and(|day| is_day(day) && day < oldest.as_str()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, day: &str) -> PathBuf {
        self.directory.join(format!("{PREFIX}{day}{SUFFIX}"))
    }
}

/// Whether a text has the form of a day, as 2027-01-15.
fn is_day(text: &str) -> bool {
    let digits = |part: &str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).expect("there");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("there").file_name();
        let mut names: Vec<String> =
            names.map(name).map(|name| name.into_string().expect("text")).collect();
        names.sort();
        names
    }

    fn at(day: u64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + day * DAY)
    }

    #[test]
    fn files_are_kept_for_as_many_days_as_were_asked_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("a/log");
        let journal = Journal::open(&log, 2, at(0)).expect("a log");
        fs::write(log.join("relay-notes.jsonl"), "not ours").expect("written");
        fs::write(log.join("relay-2000-01-01.txt"), "not ours").expect("written");
        for day in 0..5 {
            journal.write(at(day), "{\"event\":\"up\"}").expect("written");
        }
        assert_eq!(
            names(&log),
            [
                "relay-2000-01-01.txt",
                "relay-2027-01-17.jsonl",
                "relay-2027-01-18.jsonl",
                "relay-2027-01-19.jsonl",
                "relay-notes.jsonl",
            ]
        );
    }

    #[test]
    fn each_event_is_a_line_and_a_restart_goes_on_with_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        for object in ["{\"event\":\"up\"}", "{}"] {
            let journal = Journal::open(directory.path(), 30, at(0)).expect("a log");
            journal.write(at(0), object).expect("written");
            journal.write(at(0), "no object").expect_err("not JSON");
        }
        let file = directory.path().join("relay-2027-01-15.jsonl");
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let lines = fs::read_to_string(file).expect("text");
        assert_eq!(
            lines,
            "{\"time\":\"2027-01-15T08:00:00Z\",\"event\":\"up\"}\n{\"time\":\"2027-01-15T08:00:00Z\"}\n"
        );
    }
}
