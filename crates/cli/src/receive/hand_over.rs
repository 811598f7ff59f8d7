//! From the inbox to where messages go: what is handed over is removed, and nothing before.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use sealwire::{Error, LargeMessage};

use super::{
    About, Event, Left, Receiver,
    stage::{self, Part},
};
use crate::{
    error::{Exit, Failure},
    outgoing::Moved,
    progress::Moving,
};

/// Messages that are looked at in one go.
const PAGE: usize = 256;

impl Receiver<'_> {
    /// Hands over all that is in the inbox. A message that is not taken holds up those of the
    /// same peer behind it, and no others.
    pub(super) async fn hand_over(&mut self) -> Result<Left, Failure> {
        let mut left = Left::default();
        let mut behind = 0_usize;
        while let Some(passed) = self.short(&mut left, behind).await? {
            behind = passed;
        }
        self.long(&mut left).await?;
        Ok(left)
    }

    /// Hands over messages that came whole, from the oldest on. `behind` are known to stay; gives
    /// how many are, where more may follow them.
    async fn short(&self, left: &mut Left, behind: usize) -> Result<Option<usize>, Failure> {
        let inbox = self.mail.agent.inbox()?;
        let most = PAGE.saturating_add(behind);
        let found = inbox.list(most).await?;
        let follow = found.len() >= most;
        let mut stay = 0_usize;
        for message in found {
            let from = message.from();
            if left.kept.contains(from) {
                stay = stay.saturating_add(1);
                continue;
            }
            let about = About { id: message.id(), from, received: message.received() };
            match self.outlet.take(&about, message.payload()).await {
                Ok(()) => {
                    inbox.ack(&message).await?;
                    left.taken = left.taken.saturating_add(1);
                }
                Err(failure) => {
                    self.keep(&about, failure, left)?;
                    stay = stay.saturating_add(1);
                }
            }
        }
        Ok(follow.then_some(stay))
    }

    /// Hands over messages that came in parts, in so far as they are here.
    async fn long(&mut self, left: &mut Left) -> Result<(), Failure> {
        for message in self.mail.agent.inbox()?.large().await? {
            let from = message.from().clone();
            if left.kept.contains(&from) {
                continue;
            }
            let about = About { id: message.id(), from: &from, received: message.began() };
            let Some(directory) = self.outlet.directory() else {
                if self.told.insert(about.id) {
                    let (message_id, from) = about.names();
                    let bytes = message.length();
                    self.tell(Event::NeedsPlace { message: message_id, from, bytes });
                }
                continue;
            };
            match self.parts(&about, message, &directory).await {
                Ok(taken) => left.taken = left.taken.saturating_add(taken),
                Err(failure) => self.keep(&about, failure, left)?,
            }
        }
        Ok(())
    }

    /// Stores what is here of a message, and hands it over when it is whole. Gives how many pieces
    /// were stored.
    async fn parts(
        &self,
        about: &About<'_>,
        mut message: LargeMessage,
        directory: &Path,
    ) -> Result<usize, Failure> {
        let name = stage::name(about.from, about.id);
        let Some(part) = Part::open(directory, &name, message.taken())? else {
            let so_far = indicatif::BinaryBytes(message.taken());
            let message =
                format!("the first {so_far} of message {} are not in this place", about.id);
            return Err(Failure::new(Exit::Usage, message)
                .hint("give the same --out, or --exec, that it began with"));
        };
        let moving = Moving::start(self.mail.output, message.length());
        let stored = self.store(about, &mut message, &part, &moving).await;
        moving.finish();
        match stored {
            Err(Damaged::Peer) => {
                message.refuse().await?;
                part.remove()?;
                let said =
                    format!("message {} is not what its sender announced; it is refused", about.id);
                self.tell(Event::Warning { message: said });
                Ok(1)
            }
            Err(Damaged::Here(failure)) => Err(failure),
            Ok(Stored { pieces, whole }) => {
                if whole {
                    part.remove()?;
                }
                Ok(pieces)
            }
        }
    }

    /// Stores piece after piece. The last one is acknowledged once the whole was handed over.
    async fn store(
        &self,
        about: &About<'_>,
        message: &mut LargeMessage,
        part: &Part,
        moving: &Moving,
    ) -> Result<Stored, Damaged> {
        let mut pieces = 0_usize;
        loop {
            let Some(chunk) = message.next().await? else {
                return Ok(Stored { pieces, whole: false });
            };
            part.write(chunk.offset(), chunk.bytes())?;
            let end = chunk.offset().saturating_add(chunk.bytes().len() as u64);
            let last = chunk.is_last();
            if last {
                self.outlet.take_file(about, end, part).await?;
            }
            message.ack(chunk).await?;
            pieces = pieces.saturating_add(1);
            let (id, length) = (about.id.to_string(), message.length());
            moving.tell(&Moved { message: id, bytes: end, length, waiting: None });
            if last {
                return Ok(Stored { pieces, whole: true });
            }
        }
    }

    /// Notes that a message was not taken, if another time it may be.
    fn keep(&self, about: &About<'_>, failure: Failure, left: &mut Left) -> Result<(), Failure> {
        if failure.is_quiet() {
            return Err(failure);
        }
        let (message, from) = about.names();
        let reason = failure.message().to_owned();
        self.tell(Event::Kept { message, from, reason });
        left.kept.insert(about.from.clone());
        left.failure.get_or_insert(failure);
        Ok(())
    }

    /// Removes parts of messages that were handed over just before a crash.
    pub(super) async fn clean(&self) -> Result<(), Failure> {
        let open = self.mail.agent.inbox()?.large().await?;
        let open: HashSet<String> =
            open.iter().map(|message| stage::name(message.from(), message.id())).collect();
        let own = self.outlet.home.incoming();
        remove(stage::parts(&own)?.into_iter().filter(|(name, _)| !open.contains(name)))?;
        // Of what else lies in a directory of the user's, other agents may be at work on.
        match self.outlet.directory().filter(|directory| *directory != own) {
            Some(out) => remove(stage::parts(&out)?.into_iter().filter(|(name, path)| {
                !open.contains(name) && stage::is_published(&out, name, path)
            })),
            None => Ok(()),
        }
    }
}

fn remove(parts: impl Iterator<Item = (String, PathBuf)>) -> Result<(), Failure> {
    for (_, path) in parts {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::file("remove", &path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What was stored of a message.
struct Stored {
    pieces: usize,
    /// All of it was handed over.
    whole: bool,
}

/// Why the rest of a message cannot be stored.
enum Damaged {
    /// Its sender sent another than it announced.
    Peer,
    /// Something here.
    Here(Failure),
}

impl From<Error> for Damaged {
    fn from(error: Error) -> Self {
        match error {
            Error::LargeMessageDamaged => Self::Peer,
            error => Self::Here(error.into()),
        }
    }
}

impl From<Failure> for Damaged {
    fn from(failure: Failure) -> Self {
        Self::Here(failure)
    }
}
