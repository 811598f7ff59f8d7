//! Every secret of a run, computed from what was drawn and from the messages: a second
//! implementation of the key schedule. That the channel binding comes out the same shows that
//! the secrets are those of the run.

use sealwire_core::{
    Suite, kdf,
    kem::{CIPHERTEXT_LEN, KemCiphertext, KemSecret, PUBLIC_LEN},
    keys::StaticSecret,
    label::Label,
    secret::Secret,
};
use sealwire_noise::Pattern;
use sealwire_testkit::memory::{Drawn, Findings, Notes, kem_vectors};
use sha2::{Digest, Sha512};
use shake::{ExtendableOutput, Shake256, Update, XofReader};

use crate::{PLACES, play};

/// The places at which a key of an agent is held.
const LONG: &[&str] = &["keys", "message 1", "message 2", "session", "rekeyed"];
const LONG_AND_LEAKED: &[&str] =
    &["keys", "message 1", "message 2", "session", "rekeyed", "leaked"];

/// What is known of one secret.
pub(crate) struct Fate {
    pub(crate) name: String,
    /// The places at which it must be found: the control.
    pub(crate) held: &'static [&'static str],
    /// The place from which on it must not be found, as an index of [`PLACES`].
    pub(crate) gone: usize,
}

impl Fate {
    /// In a sentence, how what was found at `place` is not as it should be.
    pub(crate) fn differs(&self, place: &str, found: &Findings) -> Option<String> {
        let Self { name, held, gone } = self;
        let here = PLACES.iter().position(|known| *known == place)?;
        match found.get(name) {
            None if held.contains(&place) => Some(format!("{name} is not found at `{place}`")),
            Some(found) if *gone <= here && !held.contains(&place) => {
                Some(format!("{name} is found at `{place}`: {} times, {}", found.len(), found[0]))
            }
            _ => None,
        }
    }
}

/// All secrets of a run.
#[derive(Default)]
pub(crate) struct Secrets {
    pub(crate) notes: Notes,
    pub(crate) fates: Vec<Fate>,
}

impl Secrets {
    /// A secret that is found where it is held, and not from `gone` on.
    fn held(&mut self, name: &str, secret: &[u8], held: &'static [&'static str], gone: &str) {
        let gone = PLACES.iter().position(|place| *place == gone).expect("a place");
        self.notes.add(name, secret);
        self.fates.push(Fate { name: name.to_owned(), held, gone });
    }

    /// A secret that lives within one call: no place sees it.
    fn passing(&mut self, name: &str, secret: &[u8]) {
        self.held(name, secret, &[], PLACES[0]);
    }
}

/// Plays `pattern` here and computes what it must have been.
pub(crate) fn of(pattern: Pattern, suite: Suite) -> Secrets {
    let play::Transcript { preamble, messages, binding } = play::play(pattern, suite, false);
    let mut secrets = Secrets::default();
    let run = Run::note(&mut secrets, pattern);
    let mut schedule = Schedule::start(&mut secrets, pattern, suite, &preamble);
    match pattern {
        Pattern::Xx => run.xx(&mut schedule, &messages),
        Pattern::Ik => run.ik(&mut schedule, suite, &preamble, &messages),
    }
    assert_eq!(schedule.finish(suite, pattern), binding, "the secrets are those of the run");
    secrets
}

/// The keys that both sides of a run have.
struct Run {
    alice: Agent,
    bob: Agent,
    initiator: StaticSecret,
    e1: KemSecret,
    responder: StaticSecret,
    /// The randomness of `ekem1`, and of the preamble of IK.
    randomness: [Secret<32>; 2],
}

struct Agent {
    s: StaticSecret,
    kem: KemSecret,
}

impl Run {
    fn note(secrets: &mut Secrets, pattern: Pattern) -> Self {
        let alice = Agent::note(secrets, "alice", play::ALICE);
        let bob = Agent::note(secrets, "bob", play::BOB);
        let mut draws = Drawn::new(play::INITIATOR);
        let [e, d, z, preamble] = std::array::from_fn(|_| draws.block());
        const SENT: &[&str] = &["message 1", "message 2"];
        secrets.held("the initiator's e", &e, SENT, "session");
        let e1 = kem(secrets, "the initiator's e1", &[d, z].concat(), SENT, "session");
        secrets.passing("the randomness of the preamble", &preamble);
        let initiator = x25519(&e);
        let mut draws = Drawn::new(play::RESPONDER);
        let [e, ekem1] = std::array::from_fn(|_| draws.block());
        match pattern {
            Pattern::Xx => secrets.held("the responder's e", &e, &["message 2"], "session"),
            // Its handshake has ended when it has written message 2.
            Pattern::Ik => secrets.passing("the responder's e", &e),
        }
        secrets.passing("the randomness of ekem1", &ekem1);
        let randomness = [ekem1, preamble].map(|bytes| secret(&bytes));
        Self { alice, bob, initiator, e1, responder: x25519(&e), randomness }
    }

    fn xx(self, schedule: &mut Schedule<'_>, messages: &[Vec<u8>]) {
        let Self { alice, bob, initiator, e1, responder, randomness: [ekem1, _] } = self;
        let (_, shared) = e1.public().encapsulate_with(ekem1);
        let mut message = &messages[0][..];
        schedule.field(&mut message, 32);
        schedule.field(&mut message, PUBLIC_LEN);
        schedule.payload(message);
        let mut message = &messages[1][..];
        schedule.field(&mut message, 32);
        schedule.mix_key("ee", &dh(&initiator, &responder), &[]);
        schedule.field(&mut message, CIPHERTEXT_LEN + 16);
        schedule.mix_key("ekem1", shared.expose(), &[]);
        schedule.field(&mut message, 48);
        schedule.mix_key("es", &dh(&initiator, &bob.s), &["message 2"]);
        schedule.payload(message);
        let mut message = &messages[2][..];
        schedule.field(&mut message, 48);
        schedule.mix_key("se", &dh(&alice.s, &responder), &[]);
        schedule.payload(message);
    }

    fn ik(self, schedule: &mut Schedule<'_>, suite: Suite, preamble: &[u8], messages: &[Vec<u8>]) {
        let Self { alice, bob, initiator, e1, responder, randomness: [ekem1, preambles] } = self;
        let psk = psk0(schedule.secrets, suite, &bob.kem, preambles, preamble);
        let (_, shared) = e1.public().encapsulate_with(ekem1);
        schedule.payload(bob.s.public().as_bytes());
        schedule.mix_key_and_hash(psk.expose());
        let mut message = &messages[0][..];
        schedule.ephemeral(&mut message);
        schedule.field(&mut message, PUBLIC_LEN + 16);
        schedule.mix_key("es", &dh(&initiator, &bob.s), &[]);
        schedule.field(&mut message, 48);
        schedule.mix_key("ss", &dh(&alice.s, &bob.s), &["message 1"]);
        schedule.payload(message);
        let mut message = &messages[1][..];
        schedule.ephemeral(&mut message);
        schedule.mix_key("ee", &dh(&initiator, &responder), &[]);
        schedule.field(&mut message, CIPHERTEXT_LEN + 16);
        schedule.mix_key("ekem1", shared.expose(), &[]);
        schedule.mix_key("se", &dh(&alice.s, &responder), &["message 2"]);
        schedule.payload(message);
    }
}

impl Agent {
    /// Notes every long-term secret of an agent.
    fn note(secrets: &mut Secrets, name: &str, seed: u64) -> Self {
        let mut draws = Drawn::new(seed);
        let [identity, handshake, d, z, xwing] = std::array::from_fn(|_| draws.block());
        let seed: [u8; 32] = identity[..].try_into().expect("32 bytes");
        let expanded = ed25519_dalek::hazmat::ExpandedSecretKey::from(&seed);
        // Alice's is the one that the child leaks in the end.
        let held = if name == "alice" { LONG_AND_LEAKED } else { LONG };
        secrets.held(&format!("{name}'s identity seed"), &identity, held, "dropped");
        secrets.passing(&format!("{name}'s identity seed, hashed"), &Sha512::digest(seed));
        secrets.passing(&format!("{name}'s identity scalar"), &expanded.scalar.to_bytes());
        secrets.held(&format!("{name}'s s"), &handshake, LONG, "dropped");
        let seed = [d, z].concat();
        let kem_key = kem(secrets, &format!("{name}'s ML-KEM key"), &seed, LONG, "dropped");
        let mut expanded = vec![0; 96];
        let mut hash = Shake256::default();
        hash.update(&xwing);
        hash.finalize_xof().read(&mut expanded);
        secrets.passing(&format!("{name}'s X-Wing seed"), &xwing);
        secrets.held(&format!("{name}'s X-Wing X25519 key"), &expanded[64..], LONG, "dropped");
        kem(secrets, &format!("{name}'s X-Wing ML-KEM key"), &expanded[..64], LONG, "dropped");
        Self { s: x25519(&handshake), kem: kem_key }
    }
}

/// Notes an ML-KEM key in every form that a backend keeps: the seeds d and z, and the secret
/// vector, as FIPS 203 encodes it and as numbers.
fn kem(
    secrets: &mut Secrets,
    name: &str,
    seed: &[u8],
    held: &'static [&'static str],
    gone: &str,
) -> KemSecret {
    let [encoded, numbers] = kem_vectors(seed);
    let (kept, other) =
        if cfg!(feature = "fast") { (encoded, numbers) } else { (numbers, encoded) };
    // libcrux needs d no longer than it takes to expand the key; ml-kem keeps it.
    let d = if cfg!(feature = "fast") { &[] } else { held };
    secrets.held(
        &format!("{name}: d"),
        &seed[..32],
        d,
        if d.is_empty() { PLACES[0] } else { gone },
    );
    secrets.held(&format!("{name}: z"), &seed[32..], held, gone);
    secrets.held(&format!("{name}: s"), &kept, held, gone);
    secrets.passing(&format!("{name}: s in another form"), &other);
    KemSecret::from_seed(&secret(seed))
}

/// The secret under the responder's static ML-KEM key, and what is made of it.
fn psk0(
    secrets: &mut Secrets,
    suite: Suite,
    key: &KemSecret,
    randomness: Secret<32>,
    preamble: &[u8],
) -> Secret<32> {
    let (ciphertext, shared) = key.public().encapsulate_with(randomness);
    let sent = &preamble[preamble.len() - 32 - CIPHERTEXT_LEN..preamble.len() - 32];
    assert_eq!(Ok(&ciphertext), KemCiphertext::from_bytes(sent).as_ref());
    secrets.passing("the shared secret of the preamble", shared.expose());
    let [ek, ct] = [&key.public().as_bytes()[..], sent].map(|bytes| kdf::sha256(&[bytes]));
    let info = Label::NOISE_PSK0.context(Some(suite), &[&ek, &ct]).expect("short");
    let prk = kdf::extract(Label::NOISE_PSK0.as_bytes(), shared.expose());
    secrets.passing("the pseudorandom key of psk0", prk.expose());
    let psk = kdf::expand::<32>(&prk, info.as_bytes());
    secrets.held("psk0", psk.expose(), &["message 1", "message 2"], "session");
    psk
}

/// Noise's symmetric state (revision 34, section 5.2), which notes what it makes.
struct Schedule<'a> {
    secrets: &'a mut Secrets,
    h: [u8; 32],
    ck: [u8; 32],
}

impl<'a> Schedule<'a> {
    fn start(secrets: &'a mut Secrets, pattern: Pattern, suite: Suite, preamble: &[u8]) -> Self {
        let h = kdf::sha256(&[pattern.name(suite).as_bytes()]);
        let gate = if pattern == Pattern::Ik { 32 } else { 0 };
        let before_gate = &preamble[..preamble.len() - gate];
        let prologue = Label::NOISE_PROLOGUE.context(Some(suite), &[before_gate]);
        let mut schedule = Self { secrets, h, ck: h };
        schedule.payload(prologue.expect("short").as_bytes());
        schedule
    }

    /// MixHash.
    fn payload(&mut self, data: &[u8]) {
        self.h = kdf::sha256(&[&self.h, data]);
    }

    /// MixHash of the next field of a message.
    fn field(&mut self, message: &mut &[u8], len: usize) {
        let (field, rest) = message.split_at(len);
        self.payload(field);
        *message = rest;
    }

    /// Token e of a pattern with a pre-shared key.
    fn ephemeral(&mut self, message: &mut &[u8]) {
        let e = message[..32].to_vec();
        self.field(message, 32);
        let [ck, _, _] = self.hkdf(&e);
        self.ck = ck;
        let name = self.secrets.fates.len();
        self.secrets.passing(&format!("ck after e, number {name}"), &ck);
    }

    /// MixKey with a secret. The chaining key and the cipher key that come out are `held`.
    fn mix_key(&mut self, token: &str, input: &[u8; 32], held: &'static [&'static str]) {
        let [ck, key, _] = self.hkdf(input);
        self.ck = ck;
        self.secrets.passing(token, input);
        for (name, key) in [("ck", ck), ("k", key)] {
            let gone = if held.is_empty() {
                "keys"
            } else if held == ["message 1"] {
                "message 2"
            } else {
                "session"
            };
            self.secrets.held(&format!("{name} after {token}"), &key, held, gone);
        }
    }

    /// MixKeyAndHash with psk0.
    fn mix_key_and_hash(&mut self, psk: &[u8; 32]) {
        let [ck, hash, key] = self.hkdf(psk);
        self.ck = ck;
        for (name, key) in [("ck", ck), ("hash", hash), ("k", key)] {
            self.secrets.passing(&format!("{name} after psk0"), &key);
        }
        self.payload(&hash);
    }

    fn hkdf(&mut self, input: &[u8]) -> [[u8; 32]; 3] {
        let temp = kdf::hmac(&self.ck, &[input]);
        let number = self.secrets.fates.len();
        self.secrets.passing(&format!("temporary key, number {number}"), &temp);
        let first = kdf::hmac(&temp, &[&[1]]);
        let second = kdf::hmac(&temp, &[&first, &[2]]);
        [first, second, kdf::hmac(&temp, &[&second, &[3]])]
    }

    /// Split, the record keys of both directions, and the next key to the responder. Gives the
    /// channel binding.
    fn finish(mut self, suite: Suite, pattern: Pattern) -> [u8; 32] {
        let [to_responder, to_initiator, _] = self.hkdf(&[]);
        let (h, secrets) = (self.h, self.secrets);
        for (direction, split) in [(0, to_responder), (1, to_initiator)] {
            let name = format!("split key {direction}");
            match pattern {
                Pattern::Xx => secrets.passing(&name, &split),
                // snow keeps them once its last message is read, until the initiator goes on.
                Pattern::Ik => secrets.held(&name, &split, &["message 2"], "session"),
            }
            let info = Label::RECORD_KEY.context(Some(suite), &[&[direction]]).expect("short");
            let prk = kdf::extract(&h, &split);
            secrets.passing(&format!("pseudorandom key {direction}"), prk.expose());
            let key = kdf::expand::<32>(&prk, info.as_bytes());
            let name = format!("record key {direction}");
            match (direction, pattern) {
                (0, Pattern::Xx) => secrets.held(&name, key.expose(), &["session"], "rekeyed"),
                // The responder's handshake has ended when it has written message 2.
                (0, Pattern::Ik) => {
                    secrets.held(&name, key.expose(), &["message 2", "session"], "rekeyed");
                }
                _ => secrets.held(&name, key.expose(), &["session", "rekeyed"], "dropped"),
            }
            if direction == 0 {
                let info = Label::RECORD_REKEY.context(Some(suite), &[]).expect("short");
                let prk = kdf::extract(&[0; 32], key.expose());
                secrets.passing("pseudorandom key of the rekey", prk.expose());
                let next = kdf::expand::<32>(&prk, info.as_bytes());
                secrets.held("next record key", next.expose(), &["rekeyed"], "dropped");
            }
        }
        let info = Label::CHANNEL_BINDING.context(Some(suite), &[]).expect("short");
        *kdf::hkdf::<32>(&[0; 32], &h, &info).expose()
    }
}

fn secret<const N: usize>(bytes: &[u8]) -> Secret<N> {
    Secret::from_slice(bytes).expect("as long")
}

fn x25519(seed: &[u8]) -> StaticSecret {
    StaticSecret::from_seed(&secret(seed)).expect("a key")
}

fn dh(ours: &StaticSecret, theirs: &StaticSecret) -> [u8; 32] {
    *ours.agree(theirs.public()).expect("not zero").expose()
}
