//! Handshakes against a peer that lies about its public keys, and the end of a handshake.

use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use sealwire_core::{KeyStore, MemoryKeyStore};
use sealwire_testkit::{rng::SeededRng, zero_shared_secret_publics};
use snow::{
    params::{CipherChoice, DHChoice, HashChoice, KemChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Kem, Random},
};

use super::*;
use crate::{
    Pattern,
    record::{Opener, Sealer},
};

static ZEROS: LazyLock<Vec<[u8; 32]>> = LazyLock::new(zero_shared_secret_publics);

/// Which of a peer's keys is one of the 31 that give zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Static,
    Ephemeral,
}

/// A resolver that lies about one public key, or takes the lies of others: what snow's own
/// resolver would do.
struct Bent {
    honest: Resolver,
    lie: Option<(Place, [u8; 32])>,
    /// snow asks for the static key first, then for the ephemeral one.
    calls: AtomicUsize,
}

struct BentDh {
    honest: Box<dyn Dh>,
    lie: Option<[u8; 32]>,
}

impl CryptoResolver for Bent {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        self.honest.resolve_rng()
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        let place = match self.calls.fetch_add(1, Ordering::Relaxed) {
            0 => Place::Static,
            _ => Place::Ephemeral,
        };
        Some(Box::new(BentDh {
            honest: self.honest.resolve_dh(choice)?,
            lie: self.lie.filter(|(lied, _)| *lied == place).map(|(_, public)| public),
        }))
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        self.honest.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        self.honest.resolve_cipher(choice)
    }

    fn resolve_kem(&self, choice: &KemChoice) -> Option<Box<dyn Kem>> {
        self.honest.resolve_kem(choice)
    }
}

impl Dh for BentDh {
    fn name(&self) -> &'static str {
        self.honest.name()
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        self.honest.set(privkey);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        self.honest.generate(rng)
    }

    fn pubkey(&self) -> &[u8] {
        self.lie.as_ref().map_or(self.honest.pubkey(), <[u8; 32]>::as_slice)
    }

    fn privkey(&self) -> &[u8] {
        self.honest.privkey()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        if self.lie.is_some() || ZEROS.iter().any(|zero| pubkey.starts_with(zero)) {
            out[..32].fill(0);
            return Ok(());
        }
        self.honest.dh(pubkey, out)
    }
}

static INITIATOR: LazyLock<StaticHandle> = LazyLock::new(|| handle(1));
static RESPONDER: LazyLock<StaticHandle> = LazyLock::new(|| handle(2));

fn handle(seed: u64) -> StaticHandle {
    let keys = Arc::new(MemoryKeyStore::generate(&mut SeededRng::new(seed)).expect("keys"));
    let kx = keys.newest();
    let public = keys.public(kx).expect("one set").handshake;
    StaticHandle { keys, kx, public }
}

fn prepared(role: Role) -> Prepared {
    match role {
        Role::Initiator => Prepared::initiator(&mut SeededRng::new(3)),
        Role::Responder => Prepared::responder(&mut SeededRng::new(4)),
    }
    .expect("random bytes")
}

fn own(role: Role) -> StaticHandle {
    match role {
        Role::Initiator => INITIATOR.clone(),
        Role::Responder => RESPONDER.clone(),
    }
}

fn honest(pattern: Pattern, role: Role) -> Machine {
    let psk = Secret::init_with(|psk| psk.fill(8));
    let psks = [(0, &psk)];
    let ik = pattern == Pattern::Ik;
    let responder = RESPONDER.public;
    Machine::new(Setup {
        params: pattern.params(Suite::ChaChaPoly).expect("a name"),
        role,
        prologue: b"prologue",
        handle: own(role),
        prepared: prepared(role),
        remote: (ik && role == Role::Initiator).then_some(&responder),
        psks: &psks[usize::from(!ik)..],
    })
    .expect("a machine")
}

fn bent(pattern: Pattern, role: Role, lie: Option<(Place, [u8; 32])>) -> Machine {
    let prepared = prepared(role);
    let ephemeral = *prepared.ephemeral.public();
    let honest = Resolver::new(own(role), prepared);
    let resolver = Bent { honest, lie, calls: AtomicUsize::new(0) };
    let responder = RESPONDER.public;
    let params = pattern.params(Suite::ChaChaPoly).expect("a name");
    let mut builder = Builder::with_resolver(params, Box::new(resolver))
        .local_private_key(&STATIC_HANDLE)
        .and_then(|builder| builder.prologue(b"prologue"))
        .expect("a builder");
    if pattern == Pattern::Ik {
        builder = builder.psk(0, &[8; 32]).expect("a key");
        if role == Role::Initiator {
            builder = builder.remote_public_key(responder.as_bytes()).expect("a key");
        }
    }
    let state = match role {
        Role::Initiator => builder.build_initiator(),
        Role::Responder => builder.build_responder(),
    };
    let static_key = own(role).public;
    Machine { state: Wiped::new(state.expect("a state")), psk: false, static_key, ephemeral }
}

/// Runs a handshake to its end, or gives the number of the message that was refused.
fn run(pattern: Pattern, initiator: &mut Machine, responder: &mut Machine) -> Result<(), usize> {
    let count = if pattern == Pattern::Xx { 3 } else { 2 };
    for number in 1..=count {
        let (writer, reader): (&mut Machine, &mut Machine) = if number % 2 == 1 {
            (&mut *initiator, &mut *responder)
        } else {
            (&mut *responder, &mut *initiator)
        };
        let message = writer.write(b"").map_err(|error| refused(&error, number))?;
        reader.read(&message).map_err(|error| refused(&error, number))?;
    }
    Ok(())
}

fn refused(error: &Error, number: usize) -> usize {
    assert_eq!(*error, Error::Handshake);
    number
}

// HS-15
#[test]
fn a_peer_whose_key_gives_zero_gets_no_session_in_any_place() {
    // attack T1
    let cases = [
        // The responder refuses the ephemeral key of message 1 when it answers it.
        (Pattern::Xx, Role::Initiator, Place::Ephemeral, 2),
        (Pattern::Xx, Role::Responder, Place::Ephemeral, 2),
        (Pattern::Xx, Role::Responder, Place::Static, 2),
        (Pattern::Xx, Role::Initiator, Place::Static, 3),
        (Pattern::Ik, Role::Initiator, Place::Ephemeral, 1),
        (Pattern::Ik, Role::Initiator, Place::Static, 1),
        (Pattern::Ik, Role::Responder, Place::Ephemeral, 2),
    ];
    for (pattern, liar, place, number) in cases {
        for (index, public) in ZEROS.iter().copied().enumerate() {
            let case = format!("{pattern:?} {liar:?} {place:?} {index}");
            let lying = || bent(pattern, liar, Some((place, public)));
            // The control: a peer that takes zeros completes the very same handshake.
            if index == 0 {
                let (mut initiator, mut responder) = match liar {
                    Role::Initiator => (lying(), bent(pattern, Role::Responder, None)),
                    Role::Responder => (bent(pattern, Role::Initiator, None), lying()),
                };
                assert_eq!(run(pattern, &mut initiator, &mut responder), Ok(()), "{case}");
            }
            let (mut initiator, mut responder) = match liar {
                Role::Initiator => (lying(), honest(pattern, Role::Responder)),
                Role::Responder => (honest(pattern, Role::Initiator), lying()),
            };
            assert_eq!(run(pattern, &mut initiator, &mut responder), Err(number), "{case}");
        }
    }
}

#[test]
fn a_handshake_cannot_be_ended_before_its_end() {
    let (mut initiator, mut responder) =
        (honest(Pattern::Xx, Role::Initiator), honest(Pattern::Xx, Role::Responder));
    let first = initiator.write(b"").expect("message 1");
    responder.read(&first).expect("message 1");
    for (machine, role) in [(initiator, Role::Initiator), (responder, Role::Responder)] {
        let ended = machine.finish(Suite::ChaChaPoly, role).map(|_| ());
        assert!(matches!(ended, Err(Error::Unreachable(_))));
    }
}

// REC-4, HS-13
#[test]
fn keys_and_binding_follow_from_the_split_as_the_specification_says() {
    let suite = Suite::ChaChaPoly;
    let (mut initiator, mut responder) =
        (honest(Pattern::Ik, Role::Initiator), honest(Pattern::Ik, Role::Responder));
    assert_eq!(run(Pattern::Ik, &mut initiator, &mut responder), Ok(()));
    let (hash, split) = (initiator.hash().expect("a hash"), initiator.split());
    assert_eq!(split, responder.split());
    let derive = |salt: &[u8], ikm: &[u8], info: &[u8]| -> Secret<32> {
        sealwire_core::kdf::expand(&sealwire_core::kdf::extract(salt, ikm), info)
    };
    let mut session = initiator.finish(suite, Role::Initiator).expect("a session");
    let binding = derive(&[0; 32], &hash, b"sealwire/v1/channel-binding\x00\x02");
    assert_eq!(session.channel_binding(), binding.expose());
    assert_ne!(session.channel_binding(), &hash);

    let key = derive(&hash, &split.expose()[..32], b"sealwire/v1/record/key\x00\x02\x00\x01\x00");
    let mut sealed = Vec::new();
    session.sealer.seal_data(b"x", &mut sealed).expect("open");
    let mut opener = Opener::new(suite, key).expect("a key");
    assert!(opener.open(&mut sealed[2..]).is_ok());
    let key = derive(&hash, &split.expose()[32..], b"sealwire/v1/record/key\x00\x02\x00\x01\x01");
    let mut sealed = Vec::new();
    let mut sealer = Sealer::new(suite, key).expect("a key");
    sealer.seal_data(b"x", &mut sealed).expect("open");
    assert!(session.opener.open(&mut sealed[2..]).is_ok());
}
