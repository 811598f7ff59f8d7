//! Reading an audit log.

use sealwire_core::{Timestamp, keys::VerifyingKey};

use super::{AuditLog, Checkpoint, Event, Parsed, event::Payload};
use crate::Error;

/// Verifies a log line by line, from its first to its last.
#[derive(Clone, Debug)]
pub struct Verifier {
    signer: Option<VerifyingKey>,
    kept: Option<Checkpoint>,
    report: Option<Report>,
    lines: u64,
}

/// What a log that is whole has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    first: u64,
    last: u64,
    head: [u8; super::HASH_LEN],
    checkpoint: Option<Checkpoint>,
}

impl Verifier {
    /// A verifier of a log whose checkpoints `signer` signs. With a checkpoint that was kept
    /// elsewhere, a log that ends before it or goes another way is refused.
    pub const fn new(signer: VerifyingKey, kept: Option<Checkpoint>) -> Self {
        Self { signer: Some(signer), kept, report: None, lines: 0 }
    }

    /// A verifier of a log that nobody signs: it begins with its first line, and a checkpoint in
    /// it is refused. It shows what was changed by accident, and nothing else: whoever can write
    /// such a log can write another one.
    pub const fn unsigned() -> Self {
        Self { signer: None, kept: None, report: None, lines: 0 }
    }

    /// Takes the next line, without its end. The event, or `None` for a line that the log writes
    /// of itself.
    ///
    /// # Errors
    /// [`Error::Audit`]. The log is not whole; do not go on with it.
    pub fn line(&mut self, line: &str) -> Result<Option<Event>, Error> {
        self.lines = self.lines.saturating_add(1);
        let failed = |what| Error::Audit { line: self.lines, what };
        let parsed = Parsed::from_line(line).map_err(failed)?;
        let signed = parsed.is_signed_by(self.signer.as_ref()).map_err(failed)?;
        // ENV-35
        let follows = match &self.report {
            Some(before) => {
                before.last.checked_add(1) == Some(parsed.seq) && before.head == parsed.prev
            }
            // The first line of all, or a checkpoint before which the log was cut by its owner.
            None => signed || is_first(&parsed),
        };
        if !follows {
            return Err(failed("it does not follow the line before it"));
        }
        if self.report.is_some() && matches!(parsed.event, Payload::Started { .. }) {
            return Err(failed("a log starts once"));
        }
        if self.kept.is_some_and(|kept| kept.seq == parsed.seq && kept.hash != parsed.hash) {
            return Err(failed("it is not the line of the checkpoint that was kept"));
        }
        let checkpoint = if signed {
            Some(Checkpoint { seq: parsed.seq, hash: parsed.hash })
        } else {
            self.report.and_then(|before| before.checkpoint)
        };
        let first = self.report.map_or(parsed.seq, |before| before.first);
        self.report = Some(Report { first, last: parsed.seq, head: parsed.hash, checkpoint });
        Ok(parsed.event.to_event().ok())
    }

    /// Ends the log.
    ///
    /// # Errors
    /// [`Error::Audit`] where there was no line, and where lines are missing at its end: it does
    /// not reach the checkpoint that was kept.
    pub fn finish(self) -> Result<Report, Error> {
        let failed = |what| Error::Audit { line: self.lines, what };
        let report = self.report.ok_or(failed("the log has no lines"))?;
        // ENV-35
        match self.kept {
            Some(kept) if report.last < kept.seq => {
                Err(failed("the log ends before the checkpoint that was kept"))
            }
            Some(kept) if report.first > kept.seq => {
                Err(failed("the log begins behind the checkpoint that was kept"))
            }
            _ => Ok(report),
        }
    }
}

fn is_first(parsed: &Parsed) -> bool {
    parsed.seq == 0
        && parsed.prev == [0; super::HASH_LEN]
        && matches!(parsed.event, Payload::Started { .. })
}

impl Report {
    /// The number of the first line.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// The number of the last line.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// The last signed line. What follows it can be cut off unseen until the next one.
    pub const fn checkpoint(&self) -> Option<Checkpoint> {
        self.checkpoint
    }

    /// How many lines nobody has signed yet.
    pub fn unsigned(&self) -> u64 {
        match self.checkpoint {
            Some(checkpoint) => self.last.saturating_sub(checkpoint.seq),
            None => self.last.saturating_sub(self.first).saturating_add(1),
        }
    }

    /// Goes on with the log behind its last line.
    pub const fn resume(&self) -> AuditLog {
        AuditLog { next: self.last.saturating_add(1), head: self.head }
    }
}

/// How many lines at the start of a log that was verified may be deleted, so that no event from
/// `keep_from` on is lost and the rest still verifies: it begins with a checkpoint.
// ENV-36
pub fn prune<'a>(lines: impl IntoIterator<Item = &'a str>, keep_from: Timestamp) -> usize {
    let mut cut = 0;
    for (index, line) in lines.into_iter().enumerate() {
        let Ok(parsed) = Parsed::from_line(line) else { break };
        if parsed.time >= keep_from {
            break;
        }
        if matches!(parsed.event, Payload::Checkpoint(_)) {
            cut = index;
        }
    }
    cut
}
