//! A party over standard input and output, for interoperability tests:
//!
//! ```text
//! ratchet_peer classical   X3DH and the classical ratchet, as xtask/interop/ratchet_peer.py
//! ratchet_peer full        our protocol, as docs/spec/python/sealwire_async/peer.py
//! ```
//!
//! Each line in is a command, a JSON object with `op`; each line out is its answer. Both are
//! described in the file named above, and differences where they are read here.
#![forbid(unsafe_code)]

mod classical;
mod command;
mod full;

use std::io::{BufRead, Write, stdin, stdout};

use sealwire_core::Timestamp;

use crate::command::{Answer, Command, Fault};

/// The time that stands still in both implementations.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("classical") => {
            let mut peer = classical::Peer::default();
            serve(|command| peer.answer(command))
        }
        Some("full") => {
            let mut peer = full::Peer::new()?;
            serve(|command| peer.answer(command))
        }
        _ => Err("usage: ratchet_peer classical|full".into()),
    }
}

/// Answers until the input ends.
fn serve(
    mut answer: impl FnMut(&Command) -> Result<Answer, Fault>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let command = Command::new(&line?)?;
        let answer = match answer(&command) {
            Ok(answer) => answer,
            Err(Fault::Refused(error)) => command::refusal(&error),
            Err(Fault::Broken(why)) => return Err(why),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
