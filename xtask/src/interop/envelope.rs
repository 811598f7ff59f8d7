//! `cargo xtask interop envelope`: objects and wrapped keys that our implementation seals are
//! opened by what `xtask/interop/envelope_peer.py` makes of docs/spec on the package
//! `cryptography`, which has the same stream, and the other way round.

use std::fmt;

use serde_json::{Value, json};

use crate::job::{Context, JobResult, Stop};
use crate::python;

use super::party::Party;
use super::{Program, build_our_peer};

/// What the other implementation stands on.
const PACKAGES: [&str; 3] = ["cryptography==50.0.2", "cffi==2.1.1", "pycparser==3.12"];

const SUITES: [u8; 2] = [1, 2];

/// Around the edges of chunks.
const LENGTHS: [usize; 7] = [0, 1, 16_383, 16_384, 16_385, 32_768, 50_000];

/// Contexts: without pairs, with a tenant, with stored pairs in no order.
fn contexts() -> [Value; 3] {
    [
        json!({}),
        json!({ "tenant": "acme" }),
        json!({ "type": "text/plain", "tenant": "Müller", "case": "", "Type": "b" }),
    ]
}

/// Every object, both ways; then changed ones.
pub(crate) fn envelope(context: &mut Context) -> JobResult {
    let path = python::tools(context, &PACKAGES)?.join("python");
    let script = Some(context.root.join("xtask/interop/envelope_peer.py"));
    let theirs = Program { path, script };
    let ours = Program { path: build_our_peer(context, "envelope_peer")?, script: None };
    let mut parties = [
        ("ours", Party::start(ours.command(context))?),
        ("theirs", Party::start(theirs.command(context))?),
    ];
    let (mut tally, mut failed) = (Tally::default(), Vec::new());
    for _ in 0..2 {
        let [(name, sealer), (_, opener)] = &mut parties;
        for object in objects() {
            if let Err(why) = object.check(sealer, opener, &mut tally) {
                failed.push(format!("sealed by {name}, {object}: {why}"));
            }
        }
        parties.reverse();
    }
    println!("{} objects opened, {} refused, {} failed", tally.opened, tally.refused, failed.len());
    if failed.is_empty() { Ok(()) } else { Err(Stop::fail(failed.join("\n"))) }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    opened: usize,
    refused: usize,
}

/// An object to be sealed by one side and opened by the other.
struct Object {
    suite: u8,
    pairs: Value,
    len: usize,
}

fn objects() -> impl Iterator<Item = Object> {
    SUITES.into_iter().flat_map(|suite| {
        contexts()
            .into_iter()
            .flat_map(move |pairs| LENGTHS.map(|len| Object { suite, pairs: pairs.clone(), len }))
    })
}

impl Object {
    fn check(
        &self,
        sealer: &mut Party,
        opener: &mut Party,
        tally: &mut Tally,
    ) -> Result<(), String> {
        let plaintext: String = (0..self.len).map(|i| format!("{:02x}", i % 251)).collect();
        let command = json!({
            "op": "seal", "suite": self.suite, "pairs": self.pairs, "plaintext": plaintext,
        });
        let sealed = sealer.ask(&command)?;
        let required = match &self.pairs["tenant"] {
            Value::Null => json!({}),
            tenant => json!({ "tenant": tenant }),
        };
        let opened = open(opener, &sealed["body"], &sealed["wrapped"], &required)?;
        if opened["plaintext"] != plaintext {
            return Err("it does not open".to_owned());
        }
        tally.opened = tally.opened.saturating_add(1);
        for (what, body, wrapped, required) in changes(&sealed, &required)? {
            if open(opener, &body, &wrapped, &required)?["refused"] != true {
                return Err(format!("with {what} it opens"));
            }
            tally.refused = tally.refused.saturating_add(1);
        }
        Ok(())
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "suite {}, {} bytes, {}", self.suite, self.len, self.pairs)
    }
}

fn open(
    opener: &mut Party,
    body: &Value,
    wrapped: &Value,
    required: &Value,
) -> Result<Value, String> {
    let command = json!({ "op": "open", "body": body, "wrapped": wrapped, "required": required });
    opener.ask(&command)
}

/// What is changed; body, wrapped key and required pairs after that.
type Change = (&'static str, Value, Value, Value);

/// Nothing of this may open.
fn changes(sealed: &Value, required: &Value) -> Result<Vec<Change>, String> {
    let (body, wrapped) = (&sealed["body"], &sealed["wrapped"]);
    let text = body.as_str().ok_or("no body")?;
    let cut = |digits: usize| text.get(..text.len().saturating_sub(digits)).unwrap_or_default();
    let end = text.get(text.len().saturating_sub(1)..).unwrap_or_default();
    let last = if end == "0" { "1" } else { "0" };
    let key = wrapped.as_str().ok_or("no wrapped key")?;
    let zeros = "0".repeat(key.len());
    let with = |body: String| (Value::String(body), wrapped.clone(), required.clone());
    let tenant = json!({ "tenant": "another" });
    Ok([
        ("a changed tag", with(format!("{}{last}", cut(1)))),
        ("a byte less", with(cut(2).to_owned())),
        ("a byte more", with(format!("{text}00"))),
        ("another wrapped key", (body.clone(), Value::String(zeros), required.clone())),
        ("another tenant", (body.clone(), wrapped.clone(), tenant)),
    ]
    .map(|(what, (body, wrapped, required))| (what, body, wrapped, required))
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_changes_something() {
        let sealed = json!({ "body": "0a0b", "wrapped": "0c" });
        let changes = changes(&sealed, &json!({})).unwrap_or_default();
        assert_eq!(changes.len(), 5);
        for (what, body, wrapped, required) in changes {
            let same =
                body == sealed["body"] && wrapped == sealed["wrapped"] && required == json!({});
            assert!(!same, "{what}");
        }
    }
}
