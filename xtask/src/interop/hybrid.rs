//! Our own handshakes and records, against what `xtask/interop/hybrid_peer.py`
//! makes of docs/spec alone.

use std::ffi::OsString;

use crate::job::{Context, Stop};
use crate::process;

use super::{Duo, Pair, Program, Side};

/// The frozen vectors, which the other implementation recomputes.
const VECTORS: &str = "crates/noise/tests/vectors/hybrid.json";

const PATTERNS: [(&str, &str); 2] = [("XX", "XXhfs"), ("IK", "IKhfs+psk0")];
const SUITES: [(&str, &str); 2] = [("1", "AESGCM"), ("2", "ChaChaPoly")];

/// What the other side does wrong, in which pattern and as whom, and the error
/// with which ours must refuse it.
const FAULTS: [(&str, &str, Side, &str); 9] = [
    ("proof", "XX", Side::Initiator, "Proof"),
    ("proof", "XX", Side::Responder, "Proof"),
    ("proof", "IK", Side::Initiator, "Proof"),
    ("proof", "IK", Side::Responder, "Proof"),
    ("gate", "IK", Side::Initiator, "Gate"),
    ("low-order-e", "XX", Side::Initiator, "Handshake"),
    ("low-order-e", "XX", Side::Responder, "Handshake"),
    ("low-order-e", "IK", Side::Initiator, "Handshake"),
    ("low-order-e", "IK", Side::Responder, "Handshake"),
];

/// An implementation's secrets and its card, in hex.
struct Agent {
    secrets: String,
    card: String,
}

/// Both patterns and suites in both directions, and every fault.
pub(super) fn duos(context: &Context, programs: &Pair) -> Result<Vec<Duo>, Stop> {
    let ours = agent(context, &programs.ours, "a1")?;
    let theirs = agent(context, &programs.theirs, "b2")?;
    Ok(talks().iter().map(|talk| talk.duo(&ours, &theirs)).collect())
}

/// Asks a program for the card of the secrets that consist of `byte`.
fn agent(context: &Context, program: &Program, byte: &str) -> Result<Agent, Stop> {
    let secrets = byte.repeat(32 + 32 + 64);
    let card = process::output(program.command(context).arg("card").arg(&secrets))?;
    Ok(Agent { secrets, card: card.trim_end().to_owned() })
}

/// One conversation; with a fault of theirs, and our error, up to the refusal.
struct Talk {
    name: String,
    pattern: &'static str,
    suite: &'static str,
    we: Side,
    fault: Option<(&'static str, &'static str)>,
}

fn talks() -> Vec<Talk> {
    let mut talks = Vec::new();
    for (pattern, name) in PATTERNS {
        for (suite, cipher) in SUITES {
            talks.extend([Side::Initiator, Side::Responder].map(|we| {
                let protocol = format!("Noise_{name}_25519+MLKEM768_{cipher}_SHA256");
                let name = format!("{protocol:<49} ours as {we}");
                Talk { name, pattern, suite, we, fault: None }
            }));
        }
    }
    talks.extend(FAULTS.map(|(fault, pattern, they, error)| {
        let name = format!("{fault} of their {pattern} {they}, refused");
        Talk { name, pattern, suite: "1", we: they.other(), fault: Some((fault, error)) }
    }));
    talks
}

impl Talk {
    fn duo(&self, ours: &Agent, theirs: &Agent) -> Duo {
        let (fault, error) = self.fault.unzip();
        Duo {
            name: self.name.clone(),
            we: self.we,
            ours: self.arguments(self.we, ours, theirs, error),
            theirs: self.arguments(self.we.other(), theirs, ours, fault),
        }
    }

    fn arguments(
        &self,
        role: Side,
        own: &Agent,
        other: &Agent,
        last: Option<&str>,
    ) -> Vec<OsString> {
        let words = [&role.to_string(), self.pattern, self.suite, &own.secrets, &other.card];
        words.into_iter().chain(last).map(OsString::from).collect()
    }
}

/// Has the other implementation recompute the vectors.
pub(super) fn vectors(context: &Context, theirs: &Program) -> Result<(), String> {
    let answer = process::output(theirs.command(context).args(["vectors", VECTORS]));
    answer.map(drop).map_err(|stop| stop.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_is_told_its_own_part() {
        let [ours, theirs] = ["our", "their"].map(|whose| Agent {
            secrets: format!("{whose} secrets"),
            card: format!("{whose} card"),
        });
        let talks = talks();
        assert_eq!(talks.len(), 8 + FAULTS.len());
        let duo = talks[7].duo(&ours, &theirs);
        assert_eq!(duo.ours, ["responder", "IK", "2", "our secrets", "their card"]);
        assert_eq!(duo.theirs, ["initiator", "IK", "2", "their secrets", "our card"]);
        let duo = talks[8].duo(&ours, &theirs);
        assert_eq!(duo.ours.last().and_then(|word| word.to_str()), Some("Proof"));
        assert_eq!(duo.theirs.last().and_then(|word| word.to_str()), Some("proof"));
    }
}
