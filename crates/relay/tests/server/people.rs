//! Who uses a relay: agents, and owners of mailboxes.

use std::sync::atomic::{AtomicU64, Ordering};

use sealwire_core::{
    Error, KeyStore, MemoryKeyStore, Timestamp,
    keys::{Signature, SigningKey},
    label::Context,
    secret::Secret,
};
use sealwire_identity::{AgentId, NewCard};
use sealwire_relay::{
    Capability, Device, MessageId, Nonce, ReceiveId, SendId, Token,
    signature::{self, RequestParts, Signer},
    wire::{
        Body, CAPABILITY, Claim, Kind, MESSAGE_ID, MailboxKind, NewMailbox, Operation, Page,
        Publish, Published,
    },
};

use crate::http::Ask;

/// A number that was never given before: whatever has to be unique is made of one.
pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn unique_bytes() -> [u8; 16] {
    let mut bytes = [0xA5; 16];
    bytes[..8].copy_from_slice(&unique().to_be_bytes());
    bytes
}

/// Whoever can sign a request.
pub(crate) trait Signs {
    fn signer(&self) -> Signer;
    fn sign(&self, base: &Context) -> Result<Signature, Error>;

    /// The request with a fresh signature.
    fn ask(&self, host: &str, now: Timestamp, operation: &Operation, body: &[u8]) -> Ask {
        let nonce = Nonce::from_bytes(unique_bytes());
        self.ask_with(host, now, &nonce, operation, body)
    }

    fn ask_with(
        &self,
        host: &str,
        now: Timestamp,
        nonce: &Nonce,
        operation: &Operation,
        body: &[u8],
    ) -> Ask {
        let (path, query) = (operation.path(), operation.query());
        let request = RequestParts {
            method: operation.method(),
            authority: host,
            path: &path,
            query: query.as_deref(),
            body,
        };
        let key_id = self.signer().key_id();
        let signed = signature::sign(&request, now, nonce, &key_id, |base| self.sign(base));
        let mut ask = Ask::new(operation, body);
        for (name, value) in signed.expect("signed").fields() {
            ask = ask.with(name, std::str::from_utf8(value).expect("ASCII"));
        }
        ask
    }
}

pub(crate) struct Agent {
    pub(crate) keys: MemoryKeyStore,
    pub(crate) device: Device,
}

impl Agent {
    pub(crate) fn new() -> Self {
        let keys = MemoryKeyStore::generate(&mut getrandom::SysRng).expect("randomness");
        let agent = AgentId::from_key(keys.identity());
        Self { keys, device: Device { agent, number: 0 } }
    }

    pub(crate) fn card(&self, sequence: u64, now: Timestamp) -> Vec<u8> {
        let card = NewCard::new(sequence, now, 7 * 24 * 60 * 60);
        card.sign(&self.keys, self.keys.newest()).expect("a card").as_bytes().to_vec()
    }

    pub(crate) fn publish(
        &self,
        sequence: u64,
        now: Timestamp,
        contact: Option<SendId>,
    ) -> Publish {
        let bundle = format!("bundle {sequence}").into_bytes();
        Publish { published: Published { card: self.card(sequence, now), bundle }, contact }
    }

    pub(crate) fn claim(&self) -> Operation {
        Operation::Claim(self.device.clone())
    }
}

impl Signs for Agent {
    fn signer(&self) -> Signer {
        Signer::Identity(self.device.agent.clone())
    }

    fn sign(&self, base: &Context) -> Result<Signature, Error> {
        self.keys.sign(base)
    }
}

/// A page of keys that all differ: key `i` of base `b` is the text `b + i`.
pub(crate) fn page(base: u32, keys: u32, now: Timestamp) -> Page {
    Page {
        not_after: now.plus(24 * 60 * 60),
        header: format!("page {base}").into_bytes(),
        keys: (base..base + keys).map(|id| format!("key {id}").into_bytes()).collect(),
    }
}

pub(crate) fn add_page(agent: &Agent, kind: Kind, base: u32) -> Operation {
    Operation::AddPage { of: agent.device.clone(), kind, base }
}

pub(crate) fn claim() -> Vec<u8> {
    Claim { nonce: Nonce::from_bytes(unique_bytes()) }.to_bytes()
}

pub(crate) struct Owner {
    pub(crate) key: SigningKey,
    pub(crate) receive: ReceiveId,
    pub(crate) send: SendId,
    pub(crate) secret: Secret<32>,
    pub(crate) kind: MailboxKind,
    pub(crate) per_token: u32,
    pub(crate) lifetime: u64,
}

impl Owner {
    pub(crate) fn new(kind: MailboxKind) -> Self {
        let mut seed = [3; 32];
        seed[..16].copy_from_slice(&unique_bytes());
        let key = SigningKey::from_seed(&Secret::from_slice(&seed).expect("32 bytes"));
        seed[31] = 4;
        Self {
            receive: ReceiveId::of(key.public()),
            send: SendId::from_bytes(unique_bytes()),
            secret: Secret::from_slice(&seed).expect("32 bytes"),
            key,
            kind,
            per_token: 1000,
            lifetime: 7 * 24 * 60 * 60,
        }
    }

    pub(crate) fn mailbox(&self) -> Vec<u8> {
        NewMailbox {
            send: self.send,
            kind: self.kind,
            secret: Secret::from_slice(self.secret.expose()).expect("32 bytes"),
            lifetime: self.lifetime,
            per_token: self.per_token,
        }
        .to_bytes()
    }

    pub(crate) fn capability(&self, token: u8, expiry: Timestamp) -> String {
        let token = Token::from_bytes([token; 16]);
        Capability::mint(&self.secret, &self.send, &token, expiry).expect("minted").to_text()
    }

    pub(crate) fn fetch(&self, after: u64, limit: u32, wait: u64) -> Operation {
        Operation::Fetch { mailbox: self.receive, after, limit, wait }
    }
}

impl Signs for Owner {
    fn signer(&self) -> Signer {
        Signer::Mailbox(self.key.public().clone())
    }

    fn sign(&self, base: &Context) -> Result<Signature, Error> {
        Ok(self.key.sign(base))
    }
}

/// A deposit of a frame with an id of its own.
pub(crate) fn deposit(send: SendId, capability: &str, frame: &[u8]) -> Ask {
    deposit_as(MessageId::from_bytes(unique_bytes()), send, capability, frame)
}

pub(crate) fn deposit_as(id: MessageId, send: SendId, capability: &str, frame: &[u8]) -> Ask {
    Ask::new(&Operation::Deposit(send), frame)
        .with(MESSAGE_ID, &id.to_string())
        .with(CAPABILITY, capability)
}
