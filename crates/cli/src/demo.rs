//! The newcomer's minute: Alice, Bob, and a man in the middle who tries everything.

mod child;
pub(crate) mod impostor;
mod middle;
mod scan;
mod story;

use std::{fmt, io, path::Path};

use serde::Serialize;

use self::{
    child::Binary,
    story::{Step, Story},
};
use crate::{error::Failure, output::Output};

/// One line of the result.
#[derive(Serialize)]
struct Line<'a> {
    step: &'a str,
    holds: bool,
    detail: &'a str,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.holds { "ok  " } else { "FAIL" };
        write!(f, "{mark}  {:<58} {}", self.step, self.detail)
    }
}

/// Plays the whole story in `directory` and tells each step as it ends. Gives whether all of
/// its checks hold.
pub(crate) async fn play(
    directory: &Path,
    passphrase: String,
    content: Vec<u8>,
    output: &Output,
) -> Result<bool, Failure> {
    let failed = |error: io::Error| Failure::other(format!("the demo could not go on: {error}"));
    let binary = Binary::new(passphrase).map_err(failed)?;
    let mut story = Story::begin(binary, directory, content).await.map_err(failed)?;
    let mut all_hold = true;
    for number in 0..8 {
        let step = match number {
            0 => story.strangers_meet().await,
            1 => story.friends_meet().await,
            2 => story.a_bit_is_flipped().await,
            3 => story.the_stream_is_cut().await,
            4 => story.an_impostor_has_the_card().await,
            5 => story.an_impostor_has_exchange_keys().await,
            6 => story.the_offer_is_downgraded().await,
            _ => story.what_the_middle_saw(),
        };
        let Step { name, holds, detail } = step.map_err(failed)?;
        all_hold &= holds;
        output.result(&Line { step: name, holds, detail: &detail })?;
    }
    Ok(all_hold)
}
