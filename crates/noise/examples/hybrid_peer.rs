//! One side of a hybrid handshake and its records over stdin and stdout, for interoperability
//! tests:
//!
//! ```text
//! hybrid_peer card SECRETS
//! hybrid_peer initiator|responder XX|IK SUITE SECRETS PEER_CARD [ERROR]
//! ```
//!
//! It plays the part that `xtask/interop/hybrid_peer.py` describes, with the same arguments but
//! for the last: with ERROR, it ends well if the handshake fails with just that error, and sends
//! a refusal.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_types, reason = "a program draws its own randomness")]

use std::{
    error::Error,
    io::{Read, Write, stdin, stdout},
    sync::Arc,
};

use getrandom::SysRng;
use sealwire_core::{
    KeyStore, MemoryKeyStore, Suite, SuiteSet, kdf,
    kem::KemPublic,
    keys::{StaticPublic, VerifyingKey},
    keystore::{KeySeeds, KxId},
};
use sealwire_noise::{
    Claim, Introduction, KnownResponder, Local, Pattern, PeerIdentity, Preamble, Role, Session,
    initiator,
    record::{CloseReason, Opened, Opener, Sealer},
    responder,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The number of each side's exchange keys.
const KX: u32 = 7;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["card", secrets] => {
            let card = card(&store(&unhex(secrets)?)?)?;
            let hex: String = card.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(writeln!(stdout(), "{hex}")?)
        }
        [role, pattern, suite, secrets, peer_card, expected @ ..] => {
            let suite = Suite::from_u8(suite.parse()?)?;
            let pattern = match *pattern {
                "XX" => Pattern::Xx,
                "IK" => Pattern::Ik,
                _ => return Err("the pattern is XX or IK".into()),
            };
            let (role, names) = match *role {
                "initiator" => (Role::Initiator, ["alice", "bob"]),
                "responder" => (Role::Responder, ["bob", "alice"]),
                _ => return Err("the role is initiator or responder".into()),
            };
            let [name, peer_name] = names;
            let me = Me { name, pattern, suite, keys: Arc::new(store(&unhex(secrets)?)?) };
            let peer = Peer::new(peer_name, &unhex(peer_card)?)?;
            let session = match role {
                Role::Initiator => me.initiate(&peer),
                Role::Responder => me.respond(&peer),
            };
            match (session, expected) {
                (Ok(session), []) => converse(session, role, &me, &peer),
                (Err(error), []) => Err(error),
                (Err(error), [expected]) => refuse(error, expected),
                _ => Err("the handshake ended well, and should not have".into()),
            }
        }
        _ => Err("usage: hybrid_peer ROLE PATTERN SUITE SECRETS PEER_CARD [ERROR]".into()),
    }
}

/// Sends a refusal for the error that was to come.
fn refuse(error: Box<dyn Error>, expected: &str) -> Outcome<()> {
    // HS-12
    send(&[0, 0])?;
    match error.downcast_ref::<sealwire_noise::Error>() {
        Some(error) if format!("{error:?}") == expected => Ok(()),
        _ => Err(format!("{error:?}, not {expected}").into()),
    }
}

/// This side.
struct Me {
    name: &'static str,
    pattern: Pattern,
    suite: Suite,
    keys: Arc<MemoryKeyStore>,
}

/// The other side: what a layer above would take from its verified card.
struct Peer {
    name: &'static str,
    card: Vec<u8>,
    identity: VerifyingKey,
    static_key: StaticPublic,
    kem_key: KemPublic,
}

impl Peer {
    fn new(name: &'static str, card: &[u8]) -> Outcome<Self> {
        let (identity, rest) = card.split_first_chunk::<32>().ok_or("a short card")?;
        let (static_key, kem_key) = rest.split_first_chunk::<32>().ok_or("a short card")?;
        Ok(Self {
            name,
            card: card.to_vec(),
            identity: VerifyingKey::from_bytes(identity)?,
            static_key: StaticPublic::from_bytes(static_key)?,
            kem_key: KemPublic::from_bytes(kem_key)?,
        })
    }

    /// Whether the claim is the peer's, card, log, evidence and proof.
    fn prove<S>(&self, claim: Claim<S>) -> Outcome<S> {
        let payload = claim.payload();
        let expected = introduction(self.name, self.card.clone());
        if (payload.card(), payload.log(), payload.evidence())
            != (&expected.card[..], expected.log.as_deref(), &expected.evidence[..])
        {
            return Err("another payload".into());
        }
        let (id, key) = (self.name.as_bytes(), &self.identity);
        Ok(claim.prove(PeerIdentity { id, key, static_key: &self.static_key })?)
    }
}

/// What a side says of itself: the initiator alone has a log.
fn introduction(name: &str, card: Vec<u8>) -> Introduction {
    Introduction {
        id: name.into(),
        card,
        log: (name == "alice").then(|| b"the log of alice".to_vec()),
        evidence: format!("evidence of {name}").into(),
    }
}

impl Me {
    fn local(&self) -> Outcome<Local> {
        let keys: Arc<dyn KeyStore> = Arc::<MemoryKeyStore>::clone(&self.keys);
        Ok(Local::new(keys, self.keys.newest(), introduction(self.name, card(&self.keys)?)))
    }

    fn initiate(&self, peer: &Peer) -> Outcome<Session> {
        let (local, suite, offered) = (self.local()?, self.suite, SuiteSet::all());
        match self.pattern {
            Pattern::Xx => {
                let (preamble, message1, sent) =
                    initiator::start_xx(local, suite, offered, &mut SysRng)?;
                send(&preamble.to_bytes())?;
                send_message(&message1)?;
                let replied = peer.prove(sent.read(&receive()?)?)?;
                let (message3, session) = replied.finish(peer.name.as_bytes())?;
                send_message(&message3)?;
                Ok(session)
            }
            Pattern::Ik => {
                let known = KnownResponder {
                    id: peer.name.as_bytes(),
                    static_key: &peer.static_key,
                    kem_key: &peer.kem_key,
                    kx: KxId::new(KX).ok_or("not 0")?,
                    card_hash: kdf::sha256(&[&peer.card]),
                };
                let (preamble, message1, sent) =
                    initiator::start_ik(local, known, suite, offered, &mut SysRng)?;
                send(&preamble.to_bytes())?;
                send_message(&message1)?;
                let (confirmation, session) = peer.prove(sent.read(&receive()?)?)?.finish()?;
                send(&confirmation)?;
                Ok(session)
            }
        }
    }

    fn respond(&self, peer: &Peer) -> Outcome<Session> {
        let preamble = receive_preamble()?;
        let message1 = receive()?;
        if (preamble.pattern(), preamble.suite()) != (self.pattern, self.suite) {
            return Err("another preamble".into());
        }
        let local = self.local()?;
        match self.pattern {
            Pattern::Xx => {
                let (message2, answered) =
                    responder::answer_xx(local, &preamble, &message1, &mut SysRng)?;
                send_message(&message2)?;
                peer.prove(answered.read(&receive()?)?)
            }
            Pattern::Ik => {
                let claim = responder::answer_ik(local, &preamble, &message1, &mut SysRng)?;
                if claim.payload().responder_card() != Some(&kdf::sha256(&[&card(&self.keys)?])) {
                    return Err("another card of this side".into());
                }
                let (message2, replied) = peer.prove(claim)?.reply(peer.name.as_bytes())?;
                send_message(&message2)?;
                Ok(replied.confirm(&mut receive()?)?)
            }
        }
    }
}

/// Records both ways, both closes, and the channel binding in clear.
fn converse(session: Session, role: Role, me: &Me, peer: &Peer) -> Outcome<()> {
    let binding = *session.channel_binding();
    let (mut sealer, mut opener) = session.into_parts();
    if role == Role::Initiator {
        speak(&mut sealer, me.name)?;
    }
    for content in contents(peer.name) {
        expect(&mut opener, &Opened::Data(&content))?;
    }
    let mut last = Vec::new();
    if role == Role::Initiator {
        sealer.seal_close(CloseReason::Done, &mut last)?;
        send(&last)?;
        expect(&mut opener, &Opened::Data(b"after the close"))?;
        expect(&mut opener, &Opened::Close(CloseReason::Policy))?;
    } else {
        speak(&mut sealer, me.name)?;
        expect(&mut opener, &Opened::Close(CloseReason::Done))?;
        sealer.seal_data(b"after the close", &mut last)?;
        sealer.seal_close(CloseReason::Policy, &mut last)?;
        send(&last)?;
    }
    send(&binding)?;
    if receive_exactly(32)? != binding {
        return Err("the channel bindings differ".into());
    }
    Ok(())
}

fn contents(name: &str) -> [Vec<u8>; 4] {
    let large: Vec<u8> = (0..=255).rev().cycle().take(16 * 1024).collect();
    [name.into(), large, vec![2, 0, 1, 0, 0], name.bytes().rev().collect()]
}

/// Sends the contents, amid records that carry nothing.
fn speak(sealer: &mut Sealer, name: &str) -> Outcome<()> {
    let mut out = Vec::new();
    for content in contents(name) {
        sealer.seal_data(&content, &mut out)?;
        sealer.seal_data(&[], &mut out)?;
        sealer.seal_pad(1_000, &mut out)?;
    }
    send(&out)
}

/// Reads the next record that carries something.
fn expect(opener: &mut Opener, expected: &Opened<'_>) -> Outcome<()> {
    loop {
        let mut record = receive()?;
        match opener.open(&mut record)? {
            Opened::Nothing | Opened::Data([]) => {}
            found if found == *expected => return Ok(()),
            found => return Err(format!("a record is {found:?}, not {expected:?}").into()),
        }
    }
}

/// A card as opaque as this test needs it: the three keys.
fn card(keys: &MemoryKeyStore) -> Outcome<Vec<u8>> {
    let publics = keys.public(keys.newest())?;
    let (identity, handshake) = (keys.identity().as_bytes(), publics.handshake.as_bytes());
    Ok([&identity[..], &handshake[..], &publics.kem.as_bytes()[..]].concat())
}

/// A key store with these secrets; its X-Wing key is not used here.
fn store(secrets: &[u8]) -> Outcome<MemoryKeyStore> {
    let (identity, exchange) = secrets.split_first_chunk::<32>().ok_or("short secrets")?;
    let seeds = [&[1, 0, 1][..], identity, &KX.to_be_bytes(), exchange, &[2; 32]].concat();
    Ok(MemoryKeyStore::from_seeds(&KeySeeds::from_bytes(&seeds)?)?)
}

fn unhex(text: &str) -> Outcome<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err("not hex".into());
    }
    let pairs = text.as_bytes().chunks(2).map(|pair| Ok(std::str::from_utf8(pair)?));
    pairs.map(|pair: Outcome<&str>| Ok(u8::from_str_radix(pair?, 16)?)).collect()
}

fn send(bytes: &[u8]) -> Outcome<()> {
    let mut out = stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

fn send_message(message: &[u8]) -> Outcome<()> {
    // HS-10
    send(&[&u16::try_from(message.len())?.to_be_bytes(), message].concat())
}

fn receive_exactly(len: usize) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; len];
    stdin().lock().read_exact(&mut bytes)?;
    Ok(bytes)
}

fn receive_preamble() -> Outcome<Preamble> {
    // HS-2
    let mut bytes = receive_exactly(Preamble::HEAD_LEN)?;
    let head = bytes.first_chunk().ok_or("as long as was read")?;
    bytes.extend(receive_exactly(Preamble::rest_len(head)?)?);
    Ok(Preamble::from_bytes(&bytes)?)
}

/// A handshake message or a record, without its length.
fn receive() -> Outcome<Vec<u8>> {
    let len = receive_exactly(2)?;
    let len = len.first_chunk().map_or(0, |len| u16::from_be_bytes(*len));
    if len == 0 {
        // HS-12
        return Err(sealwire_noise::Error::Refused.into());
    }
    receive_exactly(len.into())
}
