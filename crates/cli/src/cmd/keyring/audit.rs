//! `sealwire keyring audit`.

use std::{collections::VecDeque, fmt};

use sealwire::core::Timestamp;
use sealwire_envelope::audit::Event;
use serde::Serialize;
use serde_json::Value;

use super::{Desk, Which};
use crate::{
    error::{Exit, Failure},
    keyring::{Found, Kept, Signed, read_log, schedule},
    text::{Plain, utc},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Verify the log from its first line to its last, and show no events
    #[arg(long, conflicts_with = "done")]
    verify: bool,
    /// A checkpoint that was kept elsewhere: a log that ends before it, or is another, is refused
    #[arg(long, value_name = "NUMBER:HASH", conflicts_with = "done")]
    since: Option<Signed>,
    /// Note that somebody has looked at who may use the key
    #[arg(long)]
    done: bool,
    /// How many were found who may use it and should not
    #[arg(long, value_name = "N", requires = "done", default_value_t = 0)]
    findings: u64,
    /// Show so many of the last events
    #[arg(long, value_name = "N", default_value_t = 50)]
    last: usize,
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: Args, desk: &Desk<'_>) -> Result<Exit, Failure> {
    let Args { verify, since, done, findings, last, which } = args;
    if done {
        note(findings, &which, desk)?;
        return Ok(Exit::Done);
    }
    let kept = which.kept(desk.home, desk.config)?;
    let most = if verify { 0 } else { last };
    let mut lines = VecDeque::new();
    let mut tell = |line: &str, event: Option<Event>| {
        if event.is_some() && most > 0 {
            if lines.len() == most {
                lines.pop_front();
            }
            lines.push_back(Line::parse(line)?);
        }
        Ok(())
    };
    let mut expected = kept.expected(desk.home, desk.now)?;
    let found = read_log(&kept.audit_path(), &expected, &mut tell)?;
    if let Some(Signed(checkpoint)) = since {
        if expected.signer.is_none() {
            let message = "nobody signs this log: there is no identity, and so no checkpoint";
            return Err(Failure::new(Exit::Usage, message));
        }
        expected.kept = Some(checkpoint);
        read_log(&kept.audit_path(), &expected, |_, _| Ok(()))?;
    }
    desk.output.result(&Shown::new(&kept, &found, lines.into(), desk)?)?;
    Ok(Exit::Done)
}

fn note(findings: u64, which: &Which, desk: &Desk<'_>) -> Result<(), Failure> {
    let mut keyring = desk.take(which)?;
    let key = keyring.ring().active()?.id().clone();
    keyring.append(&[Event::AccessAudited { key, findings }], desk.now)?;
    keyring.notes().audit(desk.now);
    keyring.seal(desk.now)?;
    let next = desk.now.plus(u64::from(schedule(desk.storage()).audit_days).saturating_mul(86_400));
    let key = keyring.kept().notes.key().to_owned();
    desk.output.result(&Noted { key, findings, next: next.as_secs() })
}

/// An event, as the log says it.
#[derive(Serialize)]
struct Line {
    seq: u64,
    time: u64,
    event: Value,
}

impl Line {
    fn parse(line: &str) -> Result<Self, Failure> {
        let parsed = serde_json::from_str::<Value>(line).ok().and_then(|mut line| {
            let (seq, time) = (line.get("seq")?.as_u64()?, line.get("time")?.as_u64()?);
            Some(Self { seq, time, event: line.get_mut("event")?.take() })
        });
        parsed.ok_or_else(|| Failure::other("internal error: a line that was verified is none"))
    }
}

/// `rotated  from=local:archive 1 to=local:archive 2`
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, time, event } = self;
        let field = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        write!(f, "{seq:>6}  {}  {}", utc(Timestamp::from_secs(*time)), Plain::new(field("kind")))?;
        for (name, value) in
            event.as_object().into_iter().flatten().filter(|(name, _)| *name != "kind")
        {
            let text = match value {
                Value::Object(key) => {
                    let part =
                        |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
                    format!("{}:{} {}", part("provider"), part("key"), part("version"))
                }
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            write!(f, "  {name}={}", Plain::new(&text))?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Shown {
    key: String,
    /// Each line follows the one before it, and every checkpoint is signed by this agent.
    whole: bool,
    first: u64,
    last: u64,
    /// How many lines nobody has signed yet.
    unsigned: u64,
    /// The last signed line, to be kept elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
    /// Bytes behind the last whole line: it is being written, or was when something crashed.
    torn: u64,
    events: Vec<Line>,
}

impl Shown {
    fn new(
        kept: &Kept,
        found: &Found,
        events: Vec<Line>,
        desk: &Desk<'_>,
    ) -> Result<Self, Failure> {
        let report = found.report.ok_or_else(|| {
            Failure::other(format!(
                "there is no audit log of {} in {}",
                kept.notes.key(),
                desk.home
            ))
            .hint("if nobody has moved it away, look for who did")
        })?;
        Ok(Self {
            key: kept.notes.key().to_owned(),
            whole: true,
            first: report.first(),
            last: report.last(),
            unsigned: report.unsigned(),
            checkpoint: report.checkpoint().map(|checkpoint| Signed(checkpoint).into()),
            torn: found.torn,
            events,
        })
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, whole: _, first, last, unsigned, checkpoint, torn, events } = self;
        writeln!(f, "{key}")?;
        events.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        writeln!(
            f,
            "The log is whole, from line {first} to line {last}; {unsigned} behind the last checkpoint."
        )?;
        if *torn > 0 {
            writeln!(f, "A last line is not whole: it is being written, or was at a crash.")?;
        }
        match checkpoint {
            Some(checkpoint) => write!(
                f,
                "Checkpoint {checkpoint}\nKeep it elsewhere: `--since` shows then that nothing before it was cut off."
            ),
            None => write!(f, "Nobody has signed it: this agent has no identity."),
        }
    }
}

#[derive(Serialize)]
struct Noted {
    key: String,
    findings: u64,
    next: u64,
}

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, findings, next } = self;
        write!(
            f,
            "{key}: its access was audited, with {findings} findings. Next: {}.",
            utc(Timestamp::from_secs(*next))
        )
    }
}
