//! The newcomer's minute: Alice, Bob, and a man in the middle who tries everything; then a relay,
//! and somebody before it who does, while one of them is away; then a bucket, and whoever keeps it.

mod bucket;
mod child;
pub(crate) mod impostor;
mod lies;
mod middle;
mod office;
mod offline;
mod place;
mod post;
mod scan;
mod story;

use std::{fmt, io, path::Path};

use serde::Serialize;

use self::{
    bucket::Bucket,
    child::Binary,
    offline::Offline,
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
    let binary = Binary::new(passphrase).map_err(failed)?;
    let mut story = Story::begin(binary, directory, content).await.map_err(failed)?;
    let mut all_hold = online(&mut story, output).await?;
    let away = story.offline().await.map_err(failed)?;
    let agents = [away.alice.clone(), away.bob.clone()];
    all_hold &= offline(away, output).await?;
    all_hold &= at_rest(story.bucket(agents).map_err(failed)?, output).await?;
    Ok(all_hold)
}

/// What happens while both are there.
async fn online(story: &mut Story, output: &Output) -> Result<bool, Failure> {
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
        all_hold &= tell(step, output)?;
    }
    Ok(all_hold)
}

/// What happens while one of them is away.
async fn offline(mut offline: Offline, output: &Output) -> Result<bool, Failure> {
    let mut all_hold = true;
    for number in 0..10 {
        let step = match number {
            0 => offline.alice_writes().await,
            1 => offline.the_relay_is_killed().await,
            2 => offline.both_restart().await,
            3 => offline.bob_reads_all().await,
            4 => offline.a_frame_is_forged().await,
            5 => offline.a_first_message_is_replayed().await,
            6 => offline.a_bundle_is_forged().await,
            7 => offline.a_bundle_is_stale().await,
            8 => Ok(offline.what_the_mailbox_saw()),
            _ => offline.what_the_disk_held(),
        };
        all_hold &= tell(step, output)?;
    }
    all_hold &= tell(offline.what_the_relay_had().await, output)?;
    Ok(all_hold)
}

/// What happens to a file that lies in a bucket.
async fn at_rest(mut bucket: Bucket<'_>, output: &Output) -> Result<bool, Failure> {
    let mut all_hold = true;
    for number in 0..6 {
        let step = match number {
            0 => bucket.alice_seals().await,
            1 => bucket.the_key_rotates().await,
            2 => bucket.both_open().await,
            3 => bucket.a_record_is_swapped().await,
            4 => bucket.the_body_is_cut().await,
            _ => bucket.another_tenant_asks().await,
        };
        all_hold &= tell(step, output)?;
    }
    Ok(all_hold)
}

/// Prints a step, and gives whether its check holds.
fn tell(step: io::Result<Step>, output: &Output) -> Result<bool, Failure> {
    let Step { name, holds, detail } = step.map_err(failed)?;
    output.result(&Line { step: name, holds, detail: &detail })?;
    Ok(holds)
}

fn failed(error: io::Error) -> Failure {
    Failure::other(format!("the demo could not go on: {error}"))
}
