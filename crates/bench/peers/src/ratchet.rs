//! Olm of vodozemac: X25519 only, headers in clear, nothing padded.

use sealwire_bench::{Failure, Request, ratchet::PAYLOAD, rate};
use vodozemac::olm::{Account, OlmMessage, Session, SessionConfig, SessionPickle};

pub fn measure(request: &Request) -> Result<f64, Failure> {
    let mut bob = Offline::new()?;
    let alice = Account::new();
    match request.name.as_str() {
        "first" => rate(request.time, || bob.first(&alice)),
        "burst" => {
            let [mut alice, mut bob] = bob.pair(&alice)?;
            rate(request.time, || pass(&mut alice, &mut bob))
        }
        "ping" => {
            let [mut alice, mut bob] = bob.pair(&alice)?;
            let pair = rate(request.time, || {
                pass(&mut bob, &mut alice)?;
                pass(&mut alice, &mut bob)
            })?;
            Ok(pair * 2.0)
        }
        "state" => {
            let [session, _] = bob.pair(&alice)?;
            Ok(serde_json::to_vec(&session.pickle())?.len() as f64)
        }
        "state written and read" => {
            let [session, _] = bob.pair(&alice)?;
            rate(request.time, || {
                let bytes = serde_json::to_vec(&session.pickle())?;
                Ok(Session::from_pickle(serde_json::from_slice::<SessionPickle>(&bytes)?))
            })
        }
        _ => Err(request.unknown()),
    }
}

/// A peer that has published a key. A fallback key: it is not used up.
struct Offline(Account);

impl Offline {
    fn new() -> Result<Self, Failure> {
        let mut account = Account::new();
        account.generate_fallback_key();
        Ok(Self(account))
    }

    /// A session of `alice`, its first message, and the session that this makes.
    fn first(&mut self, alice: &Account) -> Result<[Session; 2], Failure> {
        let (config, own) = (SessionConfig::version_1(), self.0.curve25519_key());
        let key = self.0.fallback_key().into_values().next().ok_or("no key")?;
        let mut sender = alice.create_outbound_session(config, own, key)?;
        let (kind, sealed) = sender.encrypt(PAYLOAD)?.to_parts();
        let OlmMessage::PreKey(message) = OlmMessage::from_parts(kind, &sealed)? else {
            return Err("not a first message".into());
        };
        let accepted = self.0.create_inbound_session(config, alice.curve25519_key(), &message)?;
        if accepted.plaintext != PAYLOAD {
            return Err("another plaintext".into());
        }
        Ok([sender, accepted.session])
    }

    /// Both sides after an exchange of messages.
    fn pair(&mut self, alice: &Account) -> Result<[Session; 2], Failure> {
        let [mut one, mut other] = self.first(alice)?;
        for _ in 0..4 {
            pass(&mut other, &mut one)?;
            pass(&mut one, &mut other)?;
        }
        Ok([one, other])
    }
}

/// One message, sealed and opened, in the bytes that travel.
fn pass(from: &mut Session, to: &mut Session) -> Result<(), Failure> {
    let (kind, sealed) = from.encrypt(PAYLOAD)?.to_parts();
    let opened = to.decrypt(&OlmMessage::from_parts(kind, &sealed)?)?;
    if opened == PAYLOAD { Ok(()) } else { Err("another plaintext".into()) }
}
