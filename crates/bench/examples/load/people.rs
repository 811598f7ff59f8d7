//! Agents and owners of mailboxes. Each is made of its number, the same in every process.

use std::ops::Range;

use sealwire::{
    core::{Timestamp, kdf, keys::SigningKey, secret::Secret},
    identity::AgentId,
};
use sealwire_bench::Failure;
use sealwire_relay::{
    Capability, Device, Nonce, ReceiveId, SendId, Token,
    server::{Clock as _, SystemClock},
    signature::{self, RequestParts, Signer},
    wire::{Body as _, CAPABILITY, FRAME, MailboxKind, NewMailbox, Operation},
};

/// How long a message is kept, and a capability is good, in seconds.
const HOUR: u64 = 60 * 60;

/// The most messages of one token: as many as a mailbox takes.
const PER_TOKEN: u32 = sealwire_relay::limits::MAX_MESSAGES;

/// The length of every frame: the smallest.
pub(crate) const FRAME_LEN: usize = 2 * 1024;

/// What can sign requests.
pub(crate) struct Key {
    key: SigningKey,
    id: String,
}

/// A mailbox, as its owner knows it.
pub(crate) struct Owner {
    pub(crate) key: Key,
    pub(crate) receive: ReceiveId,
    pub(crate) number: u32,
}

/// The part of `all` that belongs to process `number` of `of`.
pub(crate) fn part(all: u32, number: u32, of: u32) -> Range<u32> {
    let at = |number: u32| {
        let place = u64::from(all) * u64::from(number) / u64::from(of.max(1));
        u32::try_from(place).unwrap_or(all)
    };
    at(number)..at(number.saturating_add(1))
}

/// The time on the wall.
pub(crate) fn now() -> Timestamp {
    SystemClock::new().wall()
}

/// Bytes that are the same wherever they are asked for.
fn bytes(what: &str, number: u32) -> [u8; 32] {
    kdf::sha256(&[what.as_bytes(), &number.to_be_bytes()])
}

/// What makes a request one of its kind.
pub(crate) fn nonce(what: &str, number: u32) -> [u8; 16] {
    short(what, number)
}

fn short(what: &str, number: u32) -> [u8; 16] {
    half(&bytes(what, number))
}

/// The first half of a hash.
pub(crate) fn half(hash: &[u8; 32]) -> [u8; 16] {
    hash.first_chunk().copied().unwrap_or_default()
}

fn secret(what: &str, number: u32) -> Secret<32> {
    Secret::init_with(|out| *out = bytes(what, number))
}

fn signing_key(what: &str, number: u32) -> SigningKey {
    SigningKey::from_seed(&secret(what, number))
}

impl Key {
    /// That of an agent who claims.
    pub(crate) fn of_caller(number: u32) -> Self {
        let key = signing_key("caller", number);
        let id = Signer::Identity(AgentId::from_key(key.public())).key_id();
        Self { key, id }
    }

    /// Names and values of the headers that sign a request.
    pub(crate) fn sign(
        &self,
        host: &str,
        operation: &Operation,
        body: &[u8],
        nonce: [u8; 16],
    ) -> Result<Vec<(&'static str, String)>, Failure> {
        let (path, query) = (operation.path(), operation.query());
        let request = RequestParts {
            method: operation.method(),
            authority: host,
            path: &path,
            query: query.as_deref(),
            body,
        };
        let nonce = Nonce::from_bytes(nonce);
        let signed =
            signature::sign(&request, now(), &nonce, &self.id, |base| Ok(self.key.sign(base)))?;
        let text = |(name, value): (_, &[u8])| (name, String::from_utf8_lossy(value).into_owned());
        Ok(signed.fields().map(text).into())
    }

    /// A signed request, as it is sent.
    pub(crate) fn request(
        &self,
        host: &str,
        operation: &Operation,
        body: &[u8],
        nonce: [u8; 16],
    ) -> Result<Vec<u8>, Failure> {
        let mut request = head(host, operation, body.len());
        for (name, value) in self.sign(host, operation, body, nonce)? {
            request.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        Ok(request)
    }
}

impl Owner {
    pub(crate) fn new(number: u32) -> Self {
        let key = signing_key("mailbox", number);
        let receive = ReceiveId::of(key.public());
        let id = Signer::Mailbox(key.public().clone()).key_id();
        Self { key: Key { key, id }, receive, number }
    }

    /// The mailbox.
    pub(crate) fn mailbox(&self) -> NewMailbox {
        NewMailbox {
            send: send_id(self.number),
            kind: MailboxKind::Pairwise,
            secret: secret("deposits", self.number),
            lifetime: HOUR,
            per_token: PER_TOKEN,
        }
    }

    /// The request that makes it.
    pub(crate) fn create(&self, host: &str) -> Result<Vec<u8>, Failure> {
        let operation = Operation::CreateMailbox(self.receive);
        let nonce = short("create", self.number);
        self.key.request(host, &operation, &self.mailbox().to_bytes(), nonce)
    }
}

fn send_id(number: u32) -> SendId {
    SendId::from_bytes(short("send id", number))
}

/// A deposit into mailbox `number`, up to the value of the header that names the message, which
/// comes last.
pub(crate) fn deposit_head(host: &str, number: u32) -> Result<Vec<u8>, Failure> {
    let send = send_id(number);
    let token = Token::from_bytes(short("token", number));
    let good_until = now().plus(HOUR);
    let capability = Capability::mint(&secret("deposits", number), &send, &token, good_until)?;
    let mut request = head(host, &Operation::Deposit(send), FRAME_LEN);
    let rest = format!("{CAPABILITY}: {}\r\n", capability.to_text());
    request.extend_from_slice(rest.as_bytes());
    request.extend_from_slice(sealwire_relay::wire::MESSAGE_ID.as_bytes());
    request.extend_from_slice(b": ");
    Ok(request)
}

/// Whom claim number `number` is for, among so many agents, each as often as any other.
pub(crate) fn claimed_agent(number: u32, agents: u32) -> u32 {
    // A prime: agents that are claimed one after the other lie apart.
    let place = u64::from(number) * 2_654_435_761 % u64::from(agents.max(1));
    u32::try_from(place).unwrap_or(0)
}

/// The device of an agent.
pub(crate) fn device(number: u32) -> Device {
    let agent = AgentId::from_key(signing_key("agent", number).public());
    Device { agent, number: 0 }
}

/// What the store in SQLite keeps the device of an agent under.
pub(crate) fn device_hash(number: u32) -> [u8; 32] {
    let Device { agent, number } = device(number);
    kdf::sha256(&[&number.to_be_bytes(), agent.as_str().as_bytes()])
}

/// A request's head, but for what is special to it.
fn head(host: &str, operation: &Operation, body_len: usize) -> Vec<u8> {
    let (method, target) = (operation.method(), operation.target());
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {body_len}\r\n");
    if let Some((media_type, _)) = operation.body() {
        debug_assert!(media_type != FRAME || body_len == FRAME_LEN);
        head += &format!("content-type: {media_type}\r\n");
    }
    head.into_bytes()
}
