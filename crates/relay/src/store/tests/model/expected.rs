//! What a store is, in the fewest words: lists that are searched.

use sealwire_core::Timestamp;

use super::{Op, frame, owned_key};
use crate::{
    Caller, MessageId, Nonce, ReceiveId, SendId, Token, limits,
    store::{Appended, Outcome, tests::fixtures::*},
    wire::{Check, Kind, Published, Remaining},
};

type Keys = (Option<Vec<u8>>, Option<Vec<u8>>);
type Found = (u64, MessageId, Vec<u8>);

/// What an operation showed.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    Nothing,
    Outcome(Outcome),
    Was(bool),
    Taken(Option<(Keys, Remaining, Option<SendId>)>),
    Remaining(Remaining),
    Published(Option<(Published, Check)>),
    Entrance(Option<(ReceiveId, [u8; 32], Vec<Token>)>),
    Appended(Vec<Appended>),
    Fetched(Option<(Vec<Found>, bool)>),
    Acked(Option<u32>),
    Usage(u64, u64, u64),
}

impl Seen {
    /// Whose objects are in it.
    pub(super) fn owners(&self) -> impl Iterator<Item = u64> {
        let objects: Vec<&Vec<u8>> = match self {
            Self::Taken(Some(((x25519, kem), ..))) => x25519.iter().chain(kem).collect(),
            Self::Fetched(Some((found, _))) => found.iter().map(|(.., frame)| frame).collect(),
            _ => Vec::new(),
        };
        objects.into_iter().map(|object| u64::from(object[0]))
    }
}

#[derive(Default)]
pub(super) struct Model {
    devices: Vec<Device>,
    boxes: Vec<Mailbox>,
    nonces: Vec<(Caller, Nonce, Timestamp)>,
}

struct Device {
    of: u8,
    sequence: u64,
    bundle: u8,
    contact: Option<SendId>,
    until: Timestamp,
    pages: Vec<Page>,
    claims: Vec<(u32, u64, Timestamp, Keys)>,
}

struct Page {
    kind: Kind,
    base: u32,
    left: Vec<Vec<u8>>,
    not_after: Timestamp,
}

struct Mailbox {
    of: u64,
    send: u64,
    lifetime: u64,
    secret: u8,
    made_with: u8,
    revoked: Vec<Token>,
    read: Timestamp,
    last: u64,
    messages: Vec<Message>,
    /// Of messages that were acknowledged.
    gone: Vec<(u64, Timestamp)>,
}

struct Message {
    sequence: u64,
    id: u64,
    by: u64,
    until: Timestamp,
}

impl Model {
    pub(super) fn run(&mut self, now: Timestamp, op: &Op) -> Seen {
        match op {
            Op::Publish { of, sequence, bundle, contact } => {
                let contact = contact.then(|| send(u64::from(*of)));
                let outcome = self.publish(*of, *sequence, *bundle, contact, now.plus(20 * DAY));
                Seen::Outcome(outcome)
            }
            Op::Page { of, kind, base, count, life } => {
                Seen::Outcome(self.page(*of, *kind, *base, *count, now.plus(*life)))
            }
            Op::Claim { of, by, nonce } => {
                let device = self.devices.iter_mut().find(|device| device.of == *of);
                Seen::Taken(device.map(|device| {
                    let keys = device.claim(now, *by, *nonce);
                    (keys, device.remaining(now), device.contact)
                }))
            }
            Op::Remaining { of } => {
                let device = self.devices.iter().find(|device| device.of == *of);
                Seen::Remaining(device.map(|device| device.remaining(now)).unwrap_or_default())
            }
            Op::Published { of } => {
                let device = self.devices.iter().find(|device| device.of == *of);
                Seen::Published(device.map(|device| {
                    let (publish, check) = publication(device.sequence, device.bundle);
                    (publish.published, check)
                }))
            }
            Op::Append { all } => {
                let one = |(of, id, by): &(u64, u64, u64)| self.append(now, *of, *id, *by);
                Seen::Appended(all.iter().map(one).collect())
            }
            Op::Spend { signer, nonce: number } => {
                let (signer, nonce) = (caller(*signer), nonce(*number));
                let new = !self.nonces.iter().any(|(by, n, _)| (*by, *n) == (signer, nonce));
                if new {
                    self.nonces.push((signer, nonce, now.plus(120)));
                }
                Seen::Was(new)
            }
            Op::Sweep { .. } => self.sweep(now),
            Op::Pass { .. } | Op::Restart | Op::Crash | Op::Full => Seen::Nothing,
            _ => self.run_mailbox(now, op),
        }
    }

    fn run_mailbox(&mut self, now: Timestamp, op: &Op) -> Seen {
        match op {
            Op::Create { of, send, lifetime } => {
                Seen::Outcome(self.create(now, *of, *send, *lifetime))
            }
            Op::Close { of } => {
                let before = self.boxes.len();
                self.boxes.retain(|mailbox| mailbox.of != *of);
                Seen::Was(self.boxes.len() < before)
            }
            Op::Revoke { of, tokens, secret } => {
                let Some(mailbox) = self.mailbox(*of) else {
                    return Seen::Outcome(Outcome::Absent);
                };
                if let Some(secret) = secret {
                    mailbox.secret = *secret;
                    mailbox.revoked.clear();
                }
                for token in tokens.iter().map(|number| token(*number)) {
                    if !mailbox.revoked.contains(&token) {
                        mailbox.revoked.push(token);
                    }
                }
                Seen::Outcome(Outcome::Done)
            }
            Op::Entrance { of } => {
                let mailbox = self.boxes.iter().find(|mailbox| mailbox.send == *of);
                Seen::Entrance(mailbox.map(|mailbox| {
                    (receive(mailbox.of), [mailbox.secret; 32], mailbox.revoked.clone())
                }))
            }
            Op::Fetch { of, after, limit } => {
                let mailbox = self.mailbox(*of);
                Seen::Fetched(mailbox.map(|mailbox| mailbox.fetch(now, *after, *limit)))
            }
            Op::Ack { of, sequences } => {
                let mailbox = self.mailbox(*of);
                Seen::Acked(mailbox.map(|mailbox| mailbox.ack(now, sequences)))
            }
            other => panic!("{other:?} is of no mailbox"),
        }
    }

    fn publish(
        &mut self,
        of: u8,
        sequence: u64,
        bundle: u8,
        contact: Option<SendId>,
        until: Timestamp,
    ) -> Outcome {
        let Some(device) = self.devices.iter_mut().find(|device| device.of == of) else {
            let (pages, claims) = (Vec::new(), Vec::new());
            self.devices.push(Device { of, sequence, bundle, contact, until, pages, claims });
            return Outcome::Done;
        };
        if sequence < device.sequence {
            return Outcome::Conflict;
        }
        if (sequence, bundle, contact) == (device.sequence, device.bundle, device.contact) {
            return Outcome::Known;
        }
        (device.sequence, device.bundle) = (sequence, bundle);
        (device.contact, device.until) = (contact, until);
        Outcome::Done
    }

    fn page(&mut self, of: u8, kind: Kind, base: u32, count: u32, not_after: Timestamp) -> Outcome {
        let Some(device) = self.devices.iter_mut().find(|device| device.of == of) else {
            return Outcome::Absent;
        };
        if device.pages.iter().any(|page| (page.kind, page.base) == (kind, base)) {
            return Outcome::Known;
        }
        let left = (base..base + count).map(|id| owned_key(of, kind, id)).collect();
        device.pages.push(Page { kind, base, left, not_after });
        Outcome::Done
    }

    fn mailbox(&mut self, of: u64) -> Option<&mut Mailbox> {
        self.boxes.iter_mut().find(|mailbox| mailbox.of == of)
    }

    fn create(&mut self, now: Timestamp, of: u64, send: u64, lifetime: u64) -> Outcome {
        let found = self.boxes.iter().find(|mailbox| mailbox.of == of);
        let found = found.or(self.boxes.iter().find(|mailbox| mailbox.send == send));
        if let Some(mailbox) = found {
            let is = (mailbox.of, mailbox.send, mailbox.lifetime, mailbox.secret);
            let same = is == (of, send, lifetime, mailbox.made_with);
            return if same { Outcome::Known } else { Outcome::Conflict };
        }
        self.boxes.push(Mailbox {
            of,
            send,
            lifetime,
            secret: 1,
            made_with: 1,
            revoked: Vec::new(),
            read: now,
            last: 0,
            messages: Vec::new(),
            gone: Vec::new(),
        });
        Outcome::Done
    }

    fn append(&mut self, now: Timestamp, of: u64, id: u64, by: u64) -> Appended {
        let Some(mailbox) = self.mailbox(of) else { return Appended::Gone };
        mailbox.messages.retain(|message| now < message.until);
        mailbox.gone.retain(|(_, until)| now < *until);
        let mut known = mailbox.messages.iter().map(|message| message.id);
        if known.any(|known| known == id) || mailbox.gone.iter().any(|(gone, _)| *gone == id) {
            return Appended::Known;
        }
        if mailbox.messages.iter().filter(|message| message.by == by).count() >= 3 {
            return Appended::TokenFull;
        }
        mailbox.last += 1;
        let until = now.plus(mailbox.lifetime);
        mailbox.messages.push(Message { sequence: mailbox.last, id, by, until });
        Appended::Taken(mailbox.last)
    }

    fn sweep(&mut self, now: Timestamp) -> Seen {
        self.devices.retain(|device| now < device.until);
        for device in &mut self.devices {
            device.pages.retain(|page| now <= page.not_after.plus(limits::CLAIM_LIFETIME));
        }
        self.boxes.retain(|mailbox| now < mailbox.read.plus(limits::MAILBOX_LIFETIME));
        for mailbox in &mut self.boxes {
            mailbox.messages.retain(|message| now < message.until);
        }
        self.nonces.retain(|(.., until)| now <= *until);
        let messages = self.boxes.iter().map(|mailbox| mailbox.messages.len() as u64).sum();
        Seen::Usage(self.devices.len() as u64, self.boxes.len() as u64, messages)
    }
}

impl Device {
    fn claim(&mut self, now: Timestamp, by: u32, nonce: u64) -> Keys {
        let end = |at: &Timestamp| at.plus(limits::CLAIM_LIFETIME);
        self.claims.retain(|(.., at, _)| now < end(at));
        let same = |claim: &&(u32, u64, Timestamp, Keys)| (claim.0, claim.1) == (by, nonce);
        if let Some((.., keys)) = self.claims.iter().find(same) {
            return keys.clone();
        }
        let mut take = |kind| {
            let usable = |page: &&mut Page| {
                page.kind == kind && now <= page.not_after && !page.left.is_empty()
            };
            self.pages.iter_mut().find(usable).map(|page| page.left.remove(0))
        };
        let keys = (take(Kind::X25519), take(Kind::MlKem));
        if keys != (None, None) {
            self.claims.push((by, nonce, now, keys.clone()));
        }
        keys
    }

    fn remaining(&self, now: Timestamp) -> Remaining {
        let count = |kind| {
            let pages = self.pages.iter();
            let usable = pages.filter(|page| page.kind == kind && now <= page.not_after);
            usable.map(|page| page.left.len() as u32).sum()
        };
        Remaining { x25519: count(Kind::X25519), kem: count(Kind::MlKem) }
    }
}

impl Mailbox {
    fn fetch(&mut self, now: Timestamp, after: u64, limit: u32) -> (Vec<Found>, bool) {
        self.read = now;
        let found = self.messages.iter().filter(|message| now < message.until);
        let found = found.filter(|message| message.sequence > after);
        let mut found: Vec<Found> = found
            .map(|found| (found.sequence, message(found.id), frame(self.of, found.id)))
            .collect();
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        (found, more)
    }

    fn ack(&mut self, now: Timestamp, sequences: &[u64]) -> u32 {
        self.messages.retain(|message| now < message.until);
        let (gone, left) = self
            .messages
            .drain(..)
            .partition::<Vec<_>, _>(|message| sequences.contains(&message.sequence));
        self.messages = left;
        self.gone.extend(gone.iter().map(|message| (message.id, message.until)));
        gone.len() as u32
    }
}
