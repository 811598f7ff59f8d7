//! A directory and mailboxes that keep all that they were given, and do with it as they are told.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    future::ready,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sealwire::{
    core::pad::FRAME_CLASSES,
    delivery::{
        Address, Arrived, Claimed, ClaimedKey, Delivery, DeliveryError, Device, MailboxHandle,
        MailboxKind, MessageId, OpenedMailbox, Pending, Publication, Published, Watch,
    },
    ratchet::prekey::{Kind, Unclaimed},
    store::Value,
};

/// What agents share.
pub(super) struct Post(Mutex<State>);

/// In which order frames are handed out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Order {
    #[default]
    Oldest,
    Newest,
    /// Every other one first.
    Odd,
}

/// All that there is.
#[derive(Clone, Default)]
pub(super) struct State {
    shelves: Vec<Shelf>,
    mailboxes: Vec<Mailbox>,
    /// Each frame as an agent left it.
    frames: Vec<Frame>,
    /// What waits to be fetched.
    letters: Vec<Letter>,
    order: Order,
    /// The call after so many others fails, before or behind what it does.
    fault: Option<(usize, bool)>,
    next: u64,
}

/// What a device published.
#[derive(Clone)]
struct Shelf {
    of: Device,
    published: Published,
    pages: Vec<Page>,
    claims: Vec<([u8; 16], Claimed)>,
}

#[derive(Clone)]
struct Page {
    kind: Kind,
    header: Vec<u8>,
    left: VecDeque<Vec<u8>>,
}

#[derive(Clone, Default)]
struct Mailbox {
    closed: bool,
    seen: BTreeSet<MessageId>,
}

#[derive(Clone)]
struct Frame {
    message: MessageId,
    mailbox: usize,
    bytes: Arc<[u8]>,
    /// It was handed out as it is.
    handed: bool,
    /// It, or a copy of it, was lost or changed.
    harmed: bool,
}

#[derive(Clone)]
struct Letter {
    sequence: u64,
    mailbox: usize,
    message: MessageId,
    bytes: Arc<[u8]>,
    /// Which frame it is, unless it was changed.
    of: Option<usize>,
}

impl Post {
    pub(super) fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<'a, T: Send + 'a>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, DeliveryError>,
    ) -> Pending<'a, T> {
        let mut state = self.state();
        let away = || DeliveryError::Unreachable(io::Error::other("told so"));
        let done = match state.fault.take() {
            Some((0, false)) => Err(away()),
            Some((0, true)) => work(&mut state).and_then(|_| Err(away())),
            Some((calls, after)) => {
                state.fault = Some((calls - 1, after));
                work(&mut state)
            }
            None => work(&mut state),
        };
        Box::pin(ready(done))
    }
}

/// What a schedule does. Positions are taken modulo what there is.
impl State {
    /// From now on all goes well.
    pub(super) fn behave(&mut self) {
        self.order = Order::Oldest;
        self.fault = None;
    }

    /// Whether the frame of this message was handed out unchanged.
    pub(super) fn has_handed_out(&self, message: &MessageId) -> bool {
        self.frames.iter().any(|frame| frame.message == *message && frame.handed)
    }

    /// Whether something became of the frame of this message, or of a copy of it.
    pub(super) fn has_harmed(&self, message: &MessageId) -> bool {
        self.frames.iter().any(|frame| frame.message == *message && frame.harmed)
    }

    pub(super) fn hand_out(&mut self, order: Order) {
        self.order = order;
    }

    pub(super) fn fail(&mut self, calls: usize, after: bool) {
        self.fault = Some((calls, after));
    }

    pub(super) fn lose(&mut self, at: usize) {
        let Some(at) = at.checked_rem(self.letters.len()) else { return };
        let letter = self.letters.remove(at);
        self.harm(letter.of);
    }

    pub(super) fn repeat(&mut self, at: usize) {
        let Some(at) = at.checked_rem(self.letters.len()) else { return };
        let letter = self.letters[at].clone();
        self.leave(letter);
    }

    pub(super) fn change(&mut self, at: usize, byte: usize) {
        let Some(at) = at.checked_rem(self.letters.len()) else { return };
        let letter = &mut self.letters[at];
        let mut bytes = letter.bytes.to_vec();
        // Twice is another change, and not none.
        bytes[byte] = bytes[byte].wrapping_add(1);
        letter.bytes = bytes.into();
        let of = letter.of.take();
        self.harm(of);
    }

    pub(super) fn misdeliver(&mut self, at: usize, mailbox: usize) {
        let Some(at) = at.checked_rem(self.letters.len()) else { return };
        let mailbox = mailbox % self.mailboxes.len();
        let letter = Letter { mailbox, ..self.letters[at].clone() };
        self.leave(letter);
    }

    pub(super) fn replay(&mut self, at: usize) {
        let Some(at) = at.checked_rem(self.frames.len()) else { return };
        let Frame { message, mailbox, bytes, .. } = self.frames[at].clone();
        self.leave(Letter { sequence: 0, mailbox, message, bytes, of: Some(at) });
    }

    pub(super) fn close(&mut self, at: usize) {
        let at = at % self.mailboxes.len();
        self.mailboxes[at].closed = true;
        self.letters.retain(|letter| letter.mailbox != at);
    }

    fn harm(&mut self, frame: Option<usize>) {
        if let Some(frame) = frame {
            self.frames[frame].harmed = true;
        }
    }

    /// Leaves a letter, whatever the mailbox has seen.
    fn leave(&mut self, letter: Letter) {
        if !self.mailboxes[letter.mailbox].closed {
            self.next += 1;
            self.letters.push(Letter { sequence: self.next, ..letter });
        }
    }

    fn mailbox(&self, name: &[u8]) -> Result<usize, DeliveryError> {
        let number = usize::from_be_bytes(name.try_into().expect("it was opened here"));
        if self.mailboxes[number].closed { Err(DeliveryError::Gone) } else { Ok(number) }
    }

    fn fetch(&mut self, mailbox: usize, limit: usize) -> Vec<Arrived> {
        let letters = self.letters.iter().filter(|letter| letter.mailbox == mailbox);
        let mut letters: Vec<&Letter> = letters.collect();
        match self.order {
            Order::Oldest => {}
            Order::Newest => letters.reverse(),
            Order::Odd => letters.sort_by_key(|letter| letter.sequence % 2 == 0),
        }
        letters.truncate(limit);
        for frame in letters.iter().filter_map(|letter| letter.of) {
            self.frames[frame].handed = true;
        }
        let arrived = |letter: &Letter| {
            let Letter { sequence, message, ref bytes, .. } = *letter;
            Arrived { sequence, message, frame: bytes.to_vec() }
        };
        letters.into_iter().map(arrived).collect()
    }

    fn shelf(&mut self, of: &Device) -> Option<&mut Shelf> {
        self.shelves.iter_mut().find(|shelf| shelf.of == *of)
    }
}

impl Shelf {
    fn add(&mut self, publication: &Publication) {
        self.published = publication.published.clone();
        for page in &publication.pages {
            if self.pages.iter().all(|known| known.header != page.header) {
                let left = page.keys.iter().cloned().collect();
                self.pages.push(Page { kind: page.kind, header: page.header.clone(), left });
            }
        }
    }

    fn take(&mut self, kind: Kind) -> Option<ClaimedKey> {
        let page = self.pages.iter_mut().find(|page| page.kind == kind && !page.left.is_empty())?;
        Some(ClaimedKey { header: page.header.clone(), key: page.left.pop_front()? })
    }

    fn claim(&mut self, nonce: [u8; 16]) -> Claimed {
        if let Some((_, claimed)) = self.claims.iter().find(|(known, _)| *known == nonce) {
            return claimed.clone();
        }
        let claimed = Claimed { x25519: self.take(Kind::X25519), kem: self.take(Kind::MlKem) };
        self.claims.push((nonce, claimed.clone()));
        claimed
    }

    fn left(&self, kind: Kind) -> u32 {
        let pages = self.pages.iter().filter(|page| page.kind == kind);
        u32::try_from(pages.map(|page| page.left.len()).sum::<usize>()).expect("few")
    }
}

impl Delivery for Post {
    fn publish<'a>(&'a self, of: &'a Device, publication: &'a Publication) -> Pending<'a, ()> {
        self.call(|state| {
            if state.shelf(of).is_none() {
                let published = publication.published.clone();
                let (pages, claims) = (Vec::new(), Vec::new());
                state.shelves.push(Shelf { of: of.clone(), published, pages, claims });
            }
            state.shelf(of).into_iter().for_each(|shelf| shelf.add(publication));
            Ok(())
        })
    }

    fn bundle<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>> {
        self.call(|state| Ok(state.shelf(of).map(|shelf| shelf.published.clone())))
    }

    fn claim<'a>(&'a self, of: &'a Device, nonce: [u8; 16]) -> Pending<'a, Claimed> {
        self.call(|state| Ok(state.shelf(of).map(|shelf| shelf.claim(nonce)).unwrap_or_default()))
    }

    fn remaining<'a>(&'a self, of: &'a Device) -> Pending<'a, Unclaimed> {
        self.call(|state| {
            let shelf = state.shelf(of);
            let left = |kind| shelf.as_ref().map_or(0, |shelf| shelf.left(kind));
            Ok(Unclaimed { x25519: left(Kind::X25519), kem: left(Kind::MlKem) })
        })
    }

    fn open_mailbox(&self, _: MailboxKind) -> Pending<'_, OpenedMailbox> {
        self.call(|state| {
            let name = state.mailboxes.len().to_be_bytes();
            state.mailboxes.push(Mailbox::default());
            let handle = MailboxHandle::new(Value::new(name.to_vec()))?;
            Ok(OpenedMailbox { handle, address: Address::new(&name, b"whoever asks")? })
        })
    }

    fn close_mailbox<'a>(&'a self, mailbox: &'a MailboxHandle) -> Pending<'a, ()> {
        self.call(|state| {
            if let Ok(mailbox) = state.mailbox(mailbox.as_bytes()) {
                state.close(mailbox);
            }
            Ok(())
        })
    }

    fn deposit<'a>(
        &'a self,
        to: &'a Address,
        message: MessageId,
        frame: &'a [u8],
    ) -> Pending<'a, ()> {
        assert!(FRAME_CLASSES.contains(&frame.len()), "a frame of {} bytes", frame.len());
        self.call(|state| {
            let mailbox = state.mailbox(to.mailbox())?;
            if state.mailboxes[mailbox].seen.insert(message) {
                let bytes: Arc<[u8]> = frame.into();
                let of = Some(state.frames.len());
                let frame = bytes.clone();
                let (handed, harmed) = (false, false);
                state.frames.push(Frame { message, mailbox, bytes: frame, handed, harmed });
                state.leave(Letter { sequence: 0, mailbox, message, bytes, of });
            }
            Ok(())
        })
    }

    fn fetch<'a>(&'a self, from: &'a MailboxHandle, limit: usize) -> Pending<'a, Vec<Arrived>> {
        self.call(|state| {
            let mailbox = state.mailbox(from.as_bytes())?;
            Ok(state.fetch(mailbox, limit))
        })
    }

    fn ack<'a>(&'a self, from: &'a MailboxHandle, sequences: &'a [u64]) -> Pending<'a, ()> {
        self.call(|state| {
            let mailbox = state.mailbox(from.as_bytes())?;
            let gone =
                |letter: &Letter| letter.mailbox == mailbox && sequences.contains(&letter.sequence);
            state.letters.retain(|letter| !gone(letter));
            Ok(())
        })
    }

    fn watch(&self, _: Vec<MailboxHandle>) -> Pending<'_, Box<dyn Watch>> {
        self.call(|_| Err(DeliveryError::Refused("nobody listens here")))
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Post(..)")
    }
}
