//! Sessions with a peer that may be offline: everything on, as every session has it.

use sealwire::{
    core::{Suite, kdf},
    custody::system_rng,
};
use sealwire_bench::{Failure, Request, ratchet::PAYLOAD, rate};
use sealwire_ratchet::{
    Session,
    agreement::{self, FirstMessage, Introduction, Local, PeerIdentity, ReplyTo},
    prekey::{
        Bundle, Contact, OneTimeKeys, PageUpload, PeerKeys, Prekeys, Publisher, Unclaimed,
        UnverifiedBundle,
    },
};

use crate::{
    durable,
    side::{NOW, Side},
};

const SUITE: Suite = Suite::AesGcm;

pub(crate) fn measure(request: &Request) -> Result<f64, Failure> {
    match request.name.as_str() {
        "first" => first(request),
        "burst" => burst(request),
        "ping" => ping(request),
        "state" => Ok(f64::from(u32::try_from(session()?.to_bytes().len())?)),
        "state written and read" => {
            let session = session()?;
            rate(request.time, || Ok(Session::from_bytes(&session.to_bytes())?))
        }
        "durable" | "durable, processor time" => durable::measure(request),
        _ => Err(request.unknown()),
    }
}

/// A peer with published prekeys, and what a directory gave of it.
struct Offline {
    side: Side,
    prekeys: Prekeys,
    bundle: Bundle,
    pages: Vec<PageUpload>,
}

impl Offline {
    fn new() -> Result<Self, Failure> {
        let side = Side::new()?;
        let mut rng = system_rng();
        let publisher =
            Publisher { keys: &*side.keys, id: side.id(), card_hash: *side.card.hash().as_bytes() };
        let mut prekeys = Prekeys::generate(0, NOW, &mut rng)?;
        let empty = Unclaimed { x25519: 0, kem: 0 };
        let refill = prekeys.refill(&publisher, empty, NOW, &mut rng)?.ok_or("no pages")?;
        prekeys.apply(refill.change)?;
        let (bundle, change) = prekeys.bundle(&publisher, &Contact::default(), NOW)?;
        prekeys.apply(change)?;
        let keys = PeerKeys {
            id: side.id(),
            key: side.keys.identity(),
            static_key: &side.keys.public(side.card.kx_id())?.handshake,
            kx: side.card.kx_id(),
            card_hash: *side.card.hash().as_bytes(),
        };
        let bundle = UnverifiedBundle::from_bytes(&bundle)?.verify(&keys, 0, None, NOW)?;
        Ok(Self { prekeys, bundle, pages: refill.pages, side })
    }

    /// One-time keys of each kind, always the same: what is used up is not stored here.
    fn one_time(&self) -> Result<OneTimeKeys, Failure> {
        let [x25519, kem] = &self.pages[..] else { return Err("not a page of each kind".into()) };
        let (x, k) = (x25519.keys.first().ok_or("no key")?, kem.keys.first().ok_or("no key")?);
        Ok(OneTimeKeys {
            x25519: Some(self.bundle.one_time_x25519(&x25519.header, x, NOW)?),
            kem: Some(self.bundle.one_time_kem(&kem.header, k, NOW)?),
        })
    }
}

fn local(side: &Side) -> Local {
    let introduction = Introduction {
        id: side.id().to_vec(),
        card: side.card.as_bytes().to_vec(),
        ..Introduction::default()
    };
    Local::new(side.keys.clone(), side.card.kx_id(), introduction)
}

/// Agreement, first message, agreement at the other side, and its opening.
fn first(request: &Request) -> Result<f64, Failure> {
    let (alice, bob) = (Side::new()?, Offline::new()?);
    rate(request.time, || open_first(&alice, &bob))
}

/// Both sides after the first message.
fn open_first(alice: &Side, bob: &Offline) -> Result<[Session; 2], Failure> {
    let mut rng = system_rng();
    let (own, reply) = (local(alice), ReplyTo::default());
    let sent =
        agreement::initiate(&own, &bob.bundle, bob.one_time()?, SUITE, reply, NOW, &mut rng)?;
    let mut initiator = Session::initiate(sent.agreed, &sent.prekey, sent.prefix, NOW, &mut rng)?;
    let sealed = initiator.seal(NOW, &mut rng, &PAYLOAD)?;
    initiator.apply(sealed.step)?;

    let message = FirstMessage::from_frame(&sealed.frame)?;
    let found = bob.prekeys.find(&message, NOW)?;
    let cards = [*bob.side.card.hash().as_bytes()];
    let claim = agreement::respond(&local(&bob.side), &cards, &message, &found)?;
    if kdf::sha256(&[claim.introduced().card()]) != *alice.card.hash().as_bytes() {
        return Err("another card".into());
    }
    let accepted = claim.prove(PeerIdentity {
        id: alice.id(),
        key: alice.keys.identity(),
        static_key: &alice.keys.public(alice.card.kx_id())?.handshake,
    })?;
    let mut responder = Session::respond(accepted.agreed, &accepted.prekey, message.prefix(), NOW)?;
    let opened = responder.open(NOW, message.message())?;
    if *opened.plaintext != PAYLOAD {
        return Err("another plaintext".into());
    }
    responder.apply(opened.step)?;
    drop(bob.prekeys.consume(&accepted.used)?);
    initiator.drop_prefix();
    Ok([initiator, responder])
}

/// Both sides after an exchange of messages in which the KEM ratchet got going.
pub(crate) fn pair() -> Result<[Session; 2], Failure> {
    let [mut alice, mut bob] = open_first(&Side::new()?, &Offline::new()?)?;
    for _ in 0..4 {
        pass(&mut bob, &mut alice)?;
        pass(&mut alice, &mut bob)?;
    }
    Ok([alice, bob])
}

/// A session at rest.
fn session() -> Result<Session, Failure> {
    let [alice, _] = pair()?;
    Ok(alice)
}

/// One message, sealed and opened.
fn pass(from: &mut Session, to: &mut Session) -> Result<(), Failure> {
    let sealed = from.seal(NOW, &mut system_rng(), &PAYLOAD)?;
    from.apply(sealed.step)?;
    let opened = to.open(NOW, &sealed.frame)?;
    to.apply(opened.step)?;
    if *opened.plaintext == PAYLOAD { Ok(()) } else { Err("another plaintext".into()) }
}

/// One message after the other in one direction.
fn burst(request: &Request) -> Result<f64, Failure> {
    let [mut alice, mut bob] = pair()?;
    rate(request.time, || pass(&mut alice, &mut bob))
}

/// In turn: each message has a Diffie-Hellman step on either side.
fn ping(request: &Request) -> Result<f64, Failure> {
    let [mut alice, mut bob] = pair()?;
    let pair = rate(request.time, || {
        pass(&mut bob, &mut alice)?;
        pass(&mut alice, &mut bob)
    })?;
    Ok(pair * 2.0)
}
