//! The audit log of a key on disk: lines of JSON that are only ever added, until they are old.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use sealwire::{
    core::{KeyStore, Timestamp, keys::VerifyingKey, rng::draw},
    custody::{atomic, system_rng},
};
use sealwire_envelope::{
    self as envelope,
    audit::{AuditLog, Checkpoint, Event, MAX_LINE, Report, Verifier, prune},
};
use serde::Serialize;

use super::MODE;
use crate::{error::Failure, output::Output, text::Plain};

const DAY: u64 = 24 * 60 * 60;

/// A log that is whole, and where its next line goes.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    chain: AuditLog,
    /// How many bytes of it are whole lines.
    len: u64,
    /// Since when the oldest line is in it.
    oldest: Timestamp,
}

/// How a log was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Opened {
    Whole,
    /// A line that was not written to its end was taken off.
    Mended,
    /// There was none.
    Begun,
}

impl Opened {
    /// Tells what is not as it was left.
    pub(crate) fn tell(self, output: Output) {
        if self != Self::Whole {
            output.event(&self);
        }
    }
}

impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "the audit log is whole",
            Self::Mended => {
                "the last line of the audit log was not written to its end, and was taken off"
            }
            Self::Begun => "there was no audit log; another one begins",
        })
    }
}

/// What was read of a log.
#[derive(Debug)]
pub(crate) struct Found {
    /// What its lines come to, where there is a log.
    pub(crate) report: Option<Report>,
    /// How many bytes its whole lines have.
    len: u64,
    /// How many bytes follow them: of a line that was not written to its end.
    pub(crate) torn: u64,
    oldest: Timestamp,
}

/// Which log is meant: by whom it is signed, and what was kept of it.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) signer: Option<VerifyingKey>,
    pub(crate) kept: Option<Checkpoint>,
}

impl Expected {
    fn verifier(&self) -> Verifier {
        match self.signer.clone() {
            Some(signer) => Verifier::new(signer, self.kept),
            None => Verifier::unsigned(),
        }
    }
}

/// Reads a log and verifies it line by line; each line is told with its event, if it has one.
pub(crate) fn read(
    path: &Path,
    expected: &Expected,
    mut told: impl FnMut(&str, Option<Event>) -> Result<(), Failure>,
) -> Result<Found, Failure> {
    let failed = |error: io::Error| Failure::file("read", path, &error);
    let broken = |error: envelope::Error| broken(path, &error);
    let mut found = Found { report: None, len: 0, torn: 0, oldest: Timestamp::default() };
    let mut verifier = expected.verifier();
    let mut file = match open(path, OpenOptions::new().read(true)) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(failed(error)),
    };
    let mut lines = 0_u64;
    loop {
        let line = match next_line(&mut file).map_err(failed)? {
            Next::Line(line) => line,
            Next::Torn(0) => break,
            Next::Torn(torn) => {
                found.torn = torn;
                break;
            }
            Next::TooLong => return Err(broken(at(lines, "it is longer than any line of a log"))),
        };
        let text = str::from_utf8(&line).map_err(|_| broken(at(lines, "it is no text")))?;
        let event = verifier.line(text).map_err(broken)?;
        if lines == 0 {
            found.oldest = time_of(text);
        }
        told(text, event)?;
        lines = lines.saturating_add(1);
        // The end of the line is one more.
        found.len = found.len.saturating_add(line.len() as u64).saturating_add(1);
    }
    if lines > 0 || expected.kept.is_some() {
        found.report = Some(verifier.finish().map_err(broken)?);
    }
    Ok(found)
}

impl Log {
    /// The log at `path`, which is begun if it is not there. What a crash left of a line is taken
    /// off.
    pub(crate) fn open(
        path: &Path,
        expected: &Expected,
        now: Timestamp,
    ) -> Result<(Self, Opened), Failure> {
        let Found { report, len, torn, oldest } = read(path, expected, |_, _| Ok(()))?;
        let path = path.to_owned();
        let begun = report.is_none();
        let (chain, first) = match report {
            Some(report) => (report.resume(), None),
            None => {
                let name = draw::<16>(&mut system_rng()).map_err(envelope::Error::from)?;
                let (chain, line) = AuditLog::start(*name.expose(), now)?;
                (chain, Some(line))
            }
        };
        let oldest = if begun { now } else { oldest };
        let mut log = Self { path, chain: chain.clone(), len, oldest };
        if torn > 0 {
            log.cut()?;
        }
        if let Some(line) = first {
            log.write(&[line], chain)?;
        }
        let opened = match (begun, torn) {
            (true, _) => Opened::Begun,
            (false, 0) => Opened::Whole,
            (false, _) => Opened::Mended,
        };
        Ok((log, opened))
    }

    /// Adds events, to the disk.
    pub(crate) fn append(&mut self, events: &[Event], now: Timestamp) -> Result<(), Failure> {
        let mut chain = self.chain.clone();
        let lines = events.iter().map(|event| chain.append(event, now));
        let lines = lines.collect::<Result<Vec<_>, _>>()?;
        self.write(&lines, chain)
    }

    /// Signs all that is in it.
    pub(crate) fn checkpoint(
        &mut self,
        keys: &dyn KeyStore,
        now: Timestamp,
    ) -> Result<Checkpoint, Failure> {
        let mut chain = self.chain.clone();
        let (line, checkpoint) = chain.checkpoint(keys, now)?;
        self.write(&[line], chain)?;
        Ok(checkpoint)
    }

    /// Takes away what is older than so many days, up to a checkpoint. Without one nothing goes.
    // ENV-36
    pub(crate) fn prune(&mut self, days: u32, now: Timestamp) -> Result<(), Failure> {
        let age = u64::from(days).saturating_mul(DAY);
        let keep_from = Timestamp::from_secs(now.as_secs().saturating_sub(age));
        if self.oldest >= keep_from {
            return Ok(());
        }
        let mut text = String::new();
        let read = open(&self.path, OpenOptions::new().read(true))
            .and_then(|mut file| file.read_to_string(&mut text));
        read.map_err(|error| Failure::file("read", &self.path, &error))?;
        let cut = prune(text.lines(), keep_from);
        if cut > 0 {
            let rest: String = text.split_inclusive('\n').skip(cut).collect();
            atomic::write_atomic(&self.path, rest.as_bytes(), MODE)?;
            self.len = rest.len() as u64;
            self.oldest = rest.lines().next().map(time_of).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes lines at once, so that a crash leaves whole lines and at most one that is torn.
    fn write(&mut self, lines: &[String], chain: AuditLog) -> Result<(), Failure> {
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let mut options = OpenOptions::new();
        let written = open(&self.path, options.append(true).create(true).mode(MODE))
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_data()));
        if let Err(error) = written {
            // The failure is what is told; a part of a line is mended by whoever opens it next.
            let _ = self.cut();
            return Err(Failure::file("write to", &self.path, &error));
        }
        self.len = self.len.saturating_add(text.len() as u64);
        self.chain = chain;
        Ok(())
    }

    /// Takes off what stands behind the whole lines.
    fn cut(&self) -> Result<(), Failure> {
        let cut = open(&self.path, OpenOptions::new().write(true))
            .and_then(|file| file.set_len(self.len).and_then(|()| file.sync_data()));
        cut.map_err(|error| Failure::file("mend", &self.path, &error))
    }
}

enum Next {
    /// Without its end.
    Line(Vec<u8>),
    /// The rest of the file, of so many bytes: it has no end of line.
    Torn(u64),
    TooLong,
}

/// The next line, of which no more is held than the longest has.
fn next_line(file: &mut impl BufRead) -> io::Result<Next> {
    let most = u64::try_from(MAX_LINE).unwrap_or(u64::MAX).saturating_add(1);
    let mut line = Vec::new();
    let read = file.by_ref().take(most).read_until(b'\n', &mut line)?;
    if line.pop_if(|last| *last == b'\n').is_some() {
        return Ok(Next::Line(line));
    }
    let mut torn = u64::try_from(read).unwrap_or(u64::MAX);
    // What a power cut leaves may be longer than any line: nothing but zeros.
    loop {
        let rest = file.fill_buf()?;
        if rest.contains(&b'\n') {
            return Ok(Next::TooLong);
        }
        let len = rest.len();
        if len == 0 {
            return Ok(Next::Torn(torn));
        }
        file.consume(len);
        torn = torn.saturating_add(len as u64);
    }
}

/// A file of ours: a link in its place is not followed.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    options.custom_flags(flags).open(path)
}

fn time_of(line: &str) -> Timestamp {
    let line: Option<serde_json::Value> = serde_json::from_str(line).ok();
    let time = line.and_then(|line| line.get("time")?.as_u64());
    Timestamp::from_secs(time.unwrap_or_default())
}

fn at(lines: u64, what: &'static str) -> envelope::Error {
    envelope::Error::Audit { line: lines.saturating_add(1), what }
}

fn broken(path: &Path, error: &envelope::Error) -> Failure {
    Failure::other(error.to_string()).at(&Plain::path(path)).hint(
        "it was changed, or it is of another agent: look into it, and move it away; the next \
         command begins another one",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sealwire::core::MemoryKeyStore;
    use sealwire_envelope::ObjectId;
    use tempfile::TempDir;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn event(byte: u8) -> Event {
        Event::Erased { object: ObjectId::from_bytes([byte; 16]) }
    }

    fn at(day: u64) -> Timestamp {
        NOW.plus(day * DAY)
    }

    struct Office {
        directory: TempDir,
        keys: MemoryKeyStore,
    }

    impl Office {
        fn new() -> Self {
            let keys = MemoryKeyStore::generate(&mut system_rng()).expect("keys");
            Self { directory: tempfile::tempdir().expect("a directory"), keys }
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("audit.jsonl")
        }

        fn expected(&self) -> Expected {
            Expected { signer: Some(self.keys.identity().clone()), kept: None }
        }

        fn open(&self, day: u64) -> (Log, Opened) {
            Log::open(&self.path(), &self.expected(), at(day)).expect("a whole log")
        }

        fn text(&self) -> Vec<u8> {
            fs::read(self.path()).expect("there")
        }

        /// The events that are in it.
        fn events(&self) -> Vec<Event> {
            let mut events = Vec::new();
            let found = read(&self.path(), &self.expected(), |_, event| {
                events.extend(event);
                Ok(())
            });
            assert_eq!(found.expect("a whole log").torn, 0);
            events
        }
    }

    // attack T28
    #[test]
    fn a_line_that_was_torn_anywhere_is_taken_off_and_the_log_goes_on() {
        let office = Office::new();
        let (mut log, opened) = office.open(0);
        assert_eq!(opened, Opened::Begun);
        log.append(&[event(1)], at(0)).expect("written");
        let whole = office.text();
        log.append(&[event(2)], at(0)).expect("written");
        let more = office.text();
        for len in whole.len() + 1..more.len() {
            fs::write(office.path(), &more[..len]).expect("written");
            let (mut log, opened) = office.open(1);
            assert_eq!(opened, Opened::Mended, "cut at {len}");
            assert_eq!(office.text(), whole);
            log.append(&[event(3)], at(1)).expect("written");
            assert_eq!(office.events(), [event(1), event(3)]);
        }
        // What a power cut leaves of a file that had grown: zeros, more than the longest line.
        fs::write(office.path(), [&whole[..], &vec![0; MAX_LINE * 3]].concat()).expect("written");
        assert_eq!(office.open(1).1, Opened::Mended);
        assert_eq!(office.text(), whole);
        // Of a first line nothing is left.
        fs::write(office.path(), &whole[..20]).expect("written");
        assert_eq!(office.open(1).1, Opened::Begun);
        assert_eq!(office.open(1).1, Opened::Whole);
    }

    #[test]
    fn what_was_changed_is_refused_and_stays_as_it_is() {
        let office = Office::new();
        let (mut log, _) = office.open(0);
        log.append(&[event(1), event(2)], at(0)).expect("written");
        let kept = log.checkpoint(&office.keys, at(0)).expect("signed");
        let whole = office.text();
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        let long = [&whole[..], &vec![b'x'; MAX_LINE + 2], b"\n"].concat();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for (name, bytes) in [
            ("a line left out", [lines[0], lines[2], lines[3]].concat()),
            ("a byte changed", flipped),
            ("the checkpoint cut off", lines[..3].concat()),
            ("an empty line", [&whole[..], b"\n"].concat()),
            ("a line that is too long", long),
            ("no text", [&whole[..], b"\xFF\n"].concat()),
            ("nothing", Vec::new()),
        ] {
            fs::write(office.path(), &bytes).expect("written");
            let expected = Expected { kept: Some(kept), ..office.expected() };
            let refused = Log::open(&office.path(), &expected, at(1)).expect_err(name);
            assert!(refused.message().contains("audit log, line"), "{}", refused.message());
            assert_eq!(office.text(), bytes, "{name}");
        }
        fs::write(office.path(), &whole).expect("written");
        let other = Expected { signer: Office::new().expected().signer, kept: None };
        Log::open(&office.path(), &other, at(1)).expect_err("of another agent");
        let nobody = Expected { signer: None, kept: None };
        Log::open(&office.path(), &nobody, at(1)).expect_err("signed by somebody");
    }

    #[test]
    fn what_is_old_goes_up_to_a_checkpoint() {
        let office = Office::new();
        for day in 0..50 {
            let (mut log, _) = office.open(day);
            let number = u8::try_from(day).expect("a few days");
            log.append(&[event(number)], at(day)).expect("written");
            if day % 7 == 0 {
                log.checkpoint(&office.keys, at(day)).expect("signed");
            }
            log.prune(30, at(day)).expect("pruned");
            // Not a day less than asked for, and at most a week more.
            let gone = day.checked_sub(31).map(|old| old / 7 * 7);
            let events = office.events();
            let stays = |it: &u8| gone.is_none_or(|gone| u64::from(*it) > gone);
            let kept: Vec<Event> = (0..=number).filter(stays).map(event).collect();
            assert_eq!(events, kept, "day {day}");
        }
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(office.path()).expect("there").permissions(),
        );
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let office = Office::new();
        let elsewhere = office.directory.path().join("elsewhere");
        fs::write(&elsewhere, "").expect("written");
        std::os::unix::fs::symlink(&elsewhere, office.path()).expect("a link");
        Log::open(&office.path(), &office.expected(), at(0)).expect_err("a link");
        assert_eq!(fs::read(&elsewhere).expect("there"), b"");
    }
}
