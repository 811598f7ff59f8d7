//! Whole handshakes, both sides in one thread, without a transport in between.

use std::{borrow::Borrow, sync::Arc};

use sealwire::{
    core::{Suite, SuiteSet, Verified},
    custody::system_rng,
    identity::IdentityCard,
    noise::{
        Claim, Error, KnownResponder, PeerIdentity, Session, hazmat::Hybrid, initiator, responder,
    },
};
use sealwire_bench::{Failure, Request, rate};

use crate::side::{NOW, Side};

const SUITE: Suite = Suite::AesGcm;

pub(crate) fn measure(request: &Request) -> Result<f64, Failure> {
    let (alice, bob) = (Side::new()?, Side::new()?);
    match request.name.as_str() {
        "XX" => rate(request.time, || xx(&alice, &bob, verified)),
        "IK+psk0" => rate(request.time, || ik(&alice, &bob, verified)),
        "XX, cards known" => {
            let known = Known::new([&alice, &bob])?;
            rate(request.time, || xx(&alice, &bob, |card| known.find(card)))
        }
        "IK+psk0, cards known" => {
            let known = Known::new([&alice, &bob])?;
            rate(request.time, || ik(&alice, &bob, |card| known.find(card)))
        }
        "XX bare" => rate(request.time, || bare(&alice, &bob, false)),
        "IK+psk0 bare" => rate(request.time, || bare(&alice, &bob, true)),
        _ => Err(request.unknown()),
    }
}

/// Each takes the other's card as `take` does, and checks its proof.
fn xx<C: Borrow<Verified<IdentityCard>>>(
    alice: &Side,
    bob: &Side,
    take: impl Fn(&[u8]) -> Result<C, Failure>,
) -> Result<[Session; 2], Failure> {
    let mut rng = system_rng();
    let offered = SuiteSet::all();
    let (preamble, message1, sent) = initiator::start_xx(alice.local(), SUITE, offered, &mut rng)?;
    let (message2, answered) = responder::answer_xx(bob.local(), &preamble, &message1, &mut rng)?;
    let claim = sent.read(&message2)?;
    let card = take(claim.payload().card())?;
    let (message3, session) = prove(claim, card.borrow())?.finish(bob.id())?;
    let claim = answered.read(&message3)?;
    let card = take(claim.payload().card())?;
    Ok([session, prove(claim, card.borrow())?])
}

/// The initiator takes the card that it holds and finds the same one in message 2; the responder
/// takes the initiator's from message 1.
fn ik<C: Borrow<Verified<IdentityCard>>>(
    alice: &Side,
    bob: &Side,
    take: impl Fn(&[u8]) -> Result<C, Failure>,
) -> Result<[Session; 2], Failure> {
    let mut rng = system_rng();
    let held = take(bob.card.as_bytes())?;
    let card = held.borrow().as_verified();
    let known = KnownResponder {
        id: bob.id(),
        static_key: card.exchange_key(),
        kem_key: card.kem_key(),
        kx: card.kx_id(),
        card_hash: *card.hash().as_bytes(),
    };
    let (preamble, message1, sent) =
        initiator::start_ik(alice.local(), known, SUITE, SuiteSet::all(), &mut rng)?;
    let claim = responder::answer_ik(bob.local(), &preamble, &message1, &mut rng)?;
    if claim.payload().responder_card() != Some(bob.card.hash().as_bytes()) {
        return Err("the initiator used another card".into());
    }
    let presented = take(claim.payload().card())?;
    let (message2, replied) = prove(claim, presented.borrow())?.reply(alice.id())?;
    let claim = sent.read(&message2)?;
    if claim.payload().card() != card.as_bytes() {
        return Err("the responder has another card".into());
    }
    let (confirmation, session) = prove(claim, held.borrow())?.finish()?;
    let mut record = confirmation.get(2..).unwrap_or_default().to_vec();
    Ok([session, replied.confirm(&mut record)?])
}

/// Reads and verifies a card.
fn verified(card: &[u8]) -> Result<Verified<IdentityCard>, Failure> {
    Ok(IdentityCard::from_bytes(card)?.verify(NOW)?)
}

/// Cards that were verified before.
struct Known([Verified<IdentityCard>; 2]);

impl Known {
    fn new(sides: [&Side; 2]) -> Result<Self, Failure> {
        let [one, other] = sides.map(|side| verified(side.card.as_bytes()));
        Ok(Self([one?, other?]))
    }

    fn find(&self, card: &[u8]) -> Result<&Verified<IdentityCard>, Failure> {
        let found = self.0.iter().find(|known| known.as_verified().as_bytes() == card);
        found.ok_or_else(|| "an unknown card".into())
    }
}

fn prove<S>(claim: Claim<S>, card: &Verified<IdentityCard>) -> Result<S, Error> {
    let card = card.as_verified();
    claim.prove(PeerIdentity {
        id: card.id().as_str().as_bytes(),
        key: card.identity_key(),
        static_key: card.exchange_key(),
    })
}

/// Noise and KEM only.
fn bare(alice: &Side, bob: &Side, known: bool) -> Result<[Session; 2], Failure> {
    let mut rng = system_rng();
    let keys = known.then(|| (bob.card.exchange_key(), bob.card.kem_key()));
    let (mut initiator, ciphertext) =
        Hybrid::initiator(Arc::clone(&alice.keys), SUITE, keys, &mut rng)?;
    let mut responder =
        Hybrid::responder(Arc::clone(&bob.keys), SUITE, ciphertext.as_ref(), &mut rng)?;
    responder.read(&initiator.write()?)?;
    initiator.read(&responder.write()?)?;
    if !known {
        responder.read(&initiator.write()?)?;
    }
    Ok([initiator.finish()?, responder.finish()?])
}

/// The two sides of an established session.
pub(crate) fn session() -> Result<[Session; 2], Failure> {
    bare(&Side::new()?, &Side::new()?, false)
}
