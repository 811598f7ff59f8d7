//! Every secret of a run, computed from what was drawn and from what passed in clear: a second
//! implementation of the key schedules. That the introduction and the messages open under what
//! comes out shows that the secrets are those of the run.

use sealwire_core::{
    Suite,
    aead::{AeadKey, TAG_LEN},
    kdf,
    kem::{CIPHERTEXT_LEN, KemSecret},
    keys::{StaticSecret, X25519Public},
    label::Label,
    secret::Secret,
};
use sealwire_testkit::memory::{Drawn, Fates, kem_vectors};

use crate::play::{self, ARRIVES, PLACES, Transcript};

/// The places at which a secret is held.
type Held = &'static [&'static str];

/// The places from `first` on, up to that before `gone`.
fn span(first: &str, gone: &str) -> Held {
    let [first, gone] =
        [first, gone].map(|name| PLACES.iter().position(|place| *place == name).expect("a place"));
    &PLACES[first..gone]
}

/// Plays a run here and computes what it must have been.
pub(crate) fn of(suite: Suite) -> Fates {
    let transcript = play::play(suite, None);
    let mut fates = Fates::default();
    let prekeys = Prekeys::note(&mut fates);
    let sk = agreement(&mut fates, suite, &prekeys, &transcript.prefix);
    Schedule { suite, fates: &mut fates, transcript: &transcript }.session(&prekeys.signed, &sk);
    fates
}

/// What Bob published, in private.
struct Prekeys {
    signed: StaticSecret,
    one_time: StaticSecret,
    kem: KemSecret,
}

impl Prekeys {
    fn note(fates: &mut Fates) -> Self {
        let mut draws = Drawn::new(play::PREKEYS);
        let [signed, d, z] = std::array::from_fn(|_| draws.block());
        let old = span("published", "prekeys expired");
        fates.held("the signed prekey", &signed, old);
        prekey(fates, "the last-resort prekey", [&d, &z], old);
        let mut draws = Drawn::new(play::ROTATED);
        let [next, d, z] = std::array::from_fn(|_| draws.block());
        let new = span("rotated", "dropped");
        fates.held("the next signed prekey", &next, new);
        prekey(fates, "the next last-resort prekey", [&d, &z], new);

        let (used, kept) = (span("published", "late"), span("published", "dropped"));
        let mut draws = Drawn::new(play::PAGES);
        let keys: Vec<_> = (0..play::ONE_TIME.x25519).map(|_| draws.block()).collect();
        let kems: Vec<_> =
            (0..play::ONE_TIME.kem).map(|_| [draws.block(), draws.block()]).collect();
        fates.held("the one-time prekey", &keys[0], used);
        let kem = prekey(fates, "the one-time ML-KEM prekey", [&kems[0][0], &kems[0][1]], used);
        for (number, key) in keys.iter().enumerate().skip(1) {
            fates.held(format!("one-time prekey {number}"), key, kept);
        }
        for (number, [d, z]) in kems.iter().enumerate().skip(1) {
            fates.held(format!("d of one-time ML-KEM prekey {number}"), d, kept);
            fates.held(format!("z of one-time ML-KEM prekey {number}"), z, kept);
        }
        Self { signed: x25519(&signed), one_time: x25519(&keys[0]), kem }
    }
}

/// Notes the agreement and gives SK.
fn agreement(fates: &mut Fates, suite: Suite, prekeys: &Prekeys, prefix: &[u8]) -> Secret<32> {
    let whole = span("published", "dropped");
    let [alice, bob] = [(play::ALICE, "alice"), (play::BOB, "bob")].map(|(seed, name)| {
        let mut draws = Drawn::new(seed);
        let (_identity, s) = (draws.block(), draws.block());
        fates.held(format!("{name}'s s"), &s, whole);
        x25519(&s)
    });
    let mut draws = Drawn::new(play::AGREEMENT);
    let [ephemeral, encapsulation] = [draws.block(), draws.block()];
    fates.passing("the ephemeral key", &ephemeral);
    fates.passing("the randomness of the encapsulation", &encapsulation);
    let ephemeral = x25519(&ephemeral);
    let Prekeys { signed, one_time, kem } = prekeys;
    let (ciphertext, ss) = kem.public().encapsulate_with(secret(&encapsulation));

    let (clear, sealed) = prefix.split_at(3 + 16 + 32 + CIPHERTEXT_LEN);
    assert!(clear.ends_with(ciphertext.as_bytes()), "the secrets are those of the run");
    let dh1 = dh(&alice, signed.public());
    // A claim has what K and N are made of until it is proven.
    let shared: [_; 4] = [
        ("DH2", dh(&ephemeral, bob.public())),
        ("DH3", dh(&ephemeral, signed.public())),
        ("DH4", dh(&ephemeral, one_time.public())),
        ("SS", *ss.expose()),
    ];
    fates.passing("DH1", &dh1);
    for (name, secret) in &shared {
        fates.held(*name, secret, &["claimed"]);
    }
    let before_proof = [&[0xFF; 32][..], shared.map(|(_, secret)| secret).as_flattened()].concat();
    let all = [&before_proof[..32], &dh1, &before_proof[32..]].concat();

    let info = Label::AGREEMENT_IDENTITY.context(Some(suite), &[&kdf::sha256(&[clear])]);
    let prk = kdf::extract(&[0; 32], &before_proof);
    let both = kdf::expand::<44>(&prk, info.expect("short").as_bytes());
    fates.passing("the pseudorandom key of K and N", prk.expose());
    opens(fates, suite, "the introduction", &both, clear, &sealed[2..]);

    let fields: [&[u8]; 3] = [b"X25519", b"SHA-256", b"ML-KEM-768"];
    let info = Label::AGREEMENT_SK.context(Some(suite), &fields).expect("short");
    let prk = kdf::extract(&[0; 32], &all);
    let sk = kdf::expand(&prk, info.as_bytes());
    fates.passing("the pseudorandom key of SK", prk.expose());
    fates.held("SK", sk.expose(), span("agreed", "begun"));
    sk
}

/// The ratchet, which notes what it makes.
struct Schedule<'a> {
    suite: Suite,
    fates: &'a mut Fates,
    transcript: &'a Transcript,
}

/// Where a message key is held, and the chain key behind it.
type Link = [Held; 2];

impl Schedule<'_> {
    fn session(mut self, prekey: &StaticSecret, sk: &Secret<32>) {
        let end = "sessions dropped";
        let names = ["the first root key", "Alice's header key", "Bob's header key"];
        let held = [span("begun", "late"), span("begun", "expired"), span("begun", end)];
        let [root, ..] = self.thirds((&[0; 32], sk.expose(), Label::RATCHET_START), names, held);

        // Alice's first chain, of which message 3 arrives, and then message 0.
        let held = span("begun", "answered");
        let alice = self.pair("Alice's first key", play::SESSION, held);
        let input = self.input("step 1", &alice, prekey.public());
        let held = [held, &["begun", "sealing"], span("begun", end)];
        let [root, chain] = self.step(1, &root, &input, held);
        let seed = self.seed("epoch 1", play::FIRST, 0, span("sealing", "answered"));
        let links: [Link; 4] = [
            [&["late"], &["sealing"]],
            [span("late", "flooded"), &[]],
            [span("late", "expired"), &[]],
            [&[], span("sealed", "turned")],
        ];
        self.chain("Alice's first chain", chain, 0, links.map(Some));

        // Bob's answer, which brings a secret of the KEM that Alice's next step takes in.
        let held = span("answered", "turned");
        let bob = self.pair("Bob's key", play::ANSWER, held);
        let input = self.input("step 2", &bob, alice.public());
        let [root, chain] = self.step(2, &root, &input, [held, &[], span("answered", end)]);
        let epoch = self.epoch(&seed, held);
        self.chain("Bob's chain", chain, 4, [Some([&[], span("answered", end)])]);

        // Alice's second chain: one message that arrives at once, and many of which few do.
        let held = span("turned", end);
        let alice = self.pair("Alice's second key", play::NEXT, held);
        let input = self.input("step 3", &alice, bob.public());
        let input = [&input[..], epoch.expose()].concat();
        let [_, chain] = self.step(3, &root, &input, [held, &[], held]);
        self.seed("epoch 2", play::NEXT, 32, held);
        self.chain("Alice's second chain", chain, 5, (0..=ARRIVES[1] + 1).map(flooded));
    }

    /// A ratchet key of what a message draws first.
    fn pair(&mut self, name: &str, draws: u64, held: Held) -> StaticSecret {
        let seed = Drawn::new(draws).block();
        self.fates.held(name, &seed, held);
        x25519(&seed)
    }

    /// The X25519 secret of a root step.
    fn input(&mut self, step: &str, ours: &StaticSecret, theirs: &X25519Public) -> [u8; 32] {
        let input = dh(ours, theirs);
        self.fates.passing(format!("the X25519 secret of {step}"), &input);
        input
    }

    /// The next root key and the first key of a chain. Noted with them is the header key of the
    /// chain after that.
    fn step(
        &mut self,
        number: u8,
        root: &[u8; 32],
        input: &[u8],
        held: [Held; 3],
    ) -> [[u8; 32]; 2] {
        let label = if input.len() == 32 { Label::RATCHET_ROOT } else { Label::RATCHET_ROOT_PQ };
        let names = ["root key", "first chain key", "header key"];
        let names = names.map(|name| format!("the {name} of step {number}"));
        let [root, chain, _] = self.thirds((root, input, label), names, held);
        [root, chain]
    }

    /// 96 bytes of HKDF in three parts.
    fn thirds<N: AsRef<str>>(
        &mut self,
        (salt, input, label): (&[u8; 32], &[u8], Label),
        names: [N; 3],
        held: [Held; 3],
    ) -> [[u8; 32]; 3] {
        let info = label.context(Some(self.suite), &[]).expect("short");
        let prk = kdf::extract(salt, input);
        self.fates.passing(format!("what {} is made of", names[0].as_ref()), prk.expose());
        let output = kdf::expand::<96>(&prk, info.as_bytes());
        let thirds = output.expose().as_chunks::<32>().0;
        for ((third, name), held) in thirds.iter().zip(names).zip(held) {
            self.fates.held(name.as_ref(), third, held);
        }
        [thirds[0], thirds[1], thirds[2]]
    }

    /// A key pair of Alice's for the KEM, of the seed behind so many bytes of what is drawn.
    fn seed(&mut self, name: &str, draws: u64, behind: usize, held: Held) -> KemSecret {
        let mut draws = Drawn::new(draws);
        let drawn: Vec<u8> = (0..3).flat_map(|_| draws.block()).collect();
        let seed = &drawn[behind..behind + 64];
        kem(self.fates, &format!("the ML-KEM key of {name}"), seed, held, held)
    }

    /// k_1: Bob draws the encapsulation behind his ratchet key.
    fn epoch(&mut self, key: &KemSecret, held: Held) -> Secret<32> {
        let mut draws = Drawn::new(play::ANSWER);
        let [_, randomness] = [draws.block(), draws.block()];
        self.fates.passing("the randomness of Bob's encapsulation", &randomness);
        let (ciphertext, shared) = key.public().encapsulate_with(secret(&randomness));
        self.fates.passing("the shared secret of epoch 1", shared.expose());
        let [ek, ct] = [&key.public().as_bytes()[..], ciphertext.as_bytes()]
            .map(|bytes| kdf::sha256(&[bytes]));
        let info = Label::RATCHET_KEM.context(Some(self.suite), &[&1u64.to_be_bytes(), &ek, &ct]);
        let prk = kdf::extract(&[0; 32], shared.expose());
        self.fates.passing("what k_1 is made of", prk.expose());
        let epoch = kdf::expand(&prk, info.expect("short").as_bytes());
        self.fates.held("k_1", epoch.expose(), held);
        epoch
    }

    /// A chain with these links, of which the first messages are in the transcript from `first`
    /// on. `None` is a link that is not noted.
    fn chain(
        &mut self,
        name: &str,
        mut chain: [u8; 32],
        first: usize,
        links: impl IntoIterator<Item = Option<Link>>,
    ) {
        for (n, link) in links.into_iter().enumerate() {
            let message = kdf::hmac(&chain, &[&[1]]);
            chain = kdf::hmac(&chain, &[&[2]]);
            let Some([at_message, at_chain]) = link else { continue };
            self.fates.held(format!("message key {n} of {name}"), &message, at_message);
            self.fates.held(format!("chain key {} of {name}", n + 1), &chain, at_chain);
            if let Some(sent) = self.transcript.messages.get(first + n) {
                self.message(&format!("message {n} of {name}"), &message, sent);
            }
        }
    }

    /// Key and nonce of a message that was sent.
    fn message(&mut self, name: &str, key: &[u8; 32], sent: &[u8]) {
        let (clear, body) = sent.split_at(2 + 85);
        let info = Label::RATCHET_MESSAGE.context(Some(self.suite), &[]).expect("short");
        let prk = kdf::extract(&kdf::sha256(&[&clear[2..]]), key);
        self.fates.passing(format!("what the key of {name} is made of"), prk.expose());
        let both = kdf::expand::<44>(&prk, info.as_bytes());
        let associated = [&self.transcript.h_ad[..], clear].concat();
        opens(self.fates, self.suite, name, &both, &associated, body);
    }
}

/// Of Alice's second chain, message 0 arrived before the flood, those of [`ARRIVES`] in it, and
/// one more behind it. The keys at either end of what is skipped are noted.
fn flooded(n: u32) -> Option<Link> {
    let [.., last] = ARRIVES;
    let noted = n <= 2 || ARRIVES.iter().any(|arrives| arrives.abs_diff(n) <= 1);
    let arrived = n == 0 || n > last || ARRIVES.contains(&n);
    let message: Held = if arrived { &[] } else { &["flooded"] };
    let chain: Held = match n {
        0 => &["turned"],
        n if n == last => &["flooded"],
        n if n > last => &["expired"],
        _ => &[],
    };
    noted.then_some([message, chain])
}

/// Notes key and nonce, and opens with them what was sealed under them.
fn opens(
    fates: &mut Fates,
    suite: Suite,
    name: &str,
    both: &Secret<44>,
    associated: &[u8],
    sealed: &[u8],
) {
    let (key, nonce) = both.expose().split_first_chunk::<32>().expect("44 bytes");
    fates.passing(format!("the key of {name}"), key);
    fates.passing(format!("the nonce of {name}"), nonce);
    let (body, tag) = sealed.split_last_chunk::<TAG_LEN>().expect("a tag");
    let key = AeadKey::new(suite.aead(), &secret(key)).expect("a key");
    let nonce = nonce.try_into().expect("12 bytes");
    let opened = key.open_detached(nonce, associated, &mut body.to_vec(), tag);
    assert_eq!(opened, Ok(()), "the secrets are those of the run: {name}");
}

/// An ML-KEM prekey, which is stored as its seed and expanded only while it is used.
fn prekey(fates: &mut Fates, name: &str, halves: [&[u8]; 2], held: Held) -> KemSecret {
    kem(fates, name, &halves.concat(), held, &[])
}

/// Notes an ML-KEM key: the seeds d and z, and the secret vector in the form that the backend
/// keeps, and in the other one.
fn kem(fates: &mut Fates, name: &str, seed: &[u8], held: Held, expanded: Held) -> KemSecret {
    let (d, z) = seed.split_at(32);
    fates.held(format!("d of {name}"), d, held);
    fates.held(format!("z of {name}"), z, held);
    let [encoded, numbers] = kem_vectors(seed);
    let (kept, other) =
        if cfg!(feature = "fast") { (encoded, numbers) } else { (numbers, encoded) };
    fates.held(format!("s of {name}"), &kept, expanded);
    fates.passing(format!("s of {name} in another form"), &other);
    KemSecret::from_seed(&secret(seed))
}

fn secret<const N: usize>(bytes: &[u8]) -> Secret<N> {
    Secret::from_slice(bytes).expect("as long")
}

fn x25519(seed: &[u8]) -> StaticSecret {
    StaticSecret::from_seed(&secret(seed)).expect("a key")
}

fn dh(ours: &StaticSecret, theirs: &X25519Public) -> [u8; 32] {
    *ours.agree(theirs).expect("not zero").expose()
}
