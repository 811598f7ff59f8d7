//! Agents with their prekeys, and the steps between two of them.

use std::sync::Arc;

use sealwire_core::{
    KeyStore, MemoryKeyStore, Suite, Timestamp, kdf,
    keystore::{ExchangePublics, KeySeeds, KxId},
};
use sealwire_ratchet::{
    Error,
    agreement::{
        self, Accepted, Claim, FirstMessage, Initiated, Introduction, Local, PeerIdentity, ReplyTo,
    },
    prekey::{
        Bundle, Contact, OneTimeKeys, PageUpload, PeerKeys, Prekeys, Publisher, Unclaimed,
        UnverifiedBundle,
    },
};
use sealwire_testkit::rng::SeededRng;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const DAY: u64 = 24 * 60 * 60;
pub(crate) const NONE: Unclaimed = Unclaimed { x25519: 0, kem: 0 };

/// An agent, what it has published, and the private halves of that.
pub(crate) struct Agent {
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) id: Vec<u8>,
    pub(crate) device: u32,
    pub(crate) publics: ExchangePublics,
    pub(crate) prekeys: Prekeys,
    pub(crate) bundle: Vec<u8>,
    pub(crate) x25519: PageUpload,
    pub(crate) kem: PageUpload,
}

pub(crate) fn store(seed: u64) -> Arc<MemoryKeyStore> {
    let seeds = KeySeeds::generate(&mut SeededRng::new(seed)).expect("seeds");
    Arc::new(MemoryKeyStore::from_seeds(&seeds).expect("keys"))
}

pub(crate) fn alice() -> Agent {
    Agent::new("alice", store(1), 11)
}

pub(crate) fn bob() -> Agent {
    Agent::new("bob", store(2), 12)
}

pub(crate) fn mallory() -> Agent {
    Agent::new("mallory", store(3), 13)
}

pub(crate) fn contact() -> Contact {
    Contact { mailbox: b"inbox 9137-2046".to_vec(), capability: b"permit 5501-887".to_vec() }
}

pub(crate) fn reply() -> ReplyTo {
    ReplyTo {
        mailbox: Some(b"return 4426-301".to_vec()),
        capability: Some(b"permit 7718-952".to_vec()),
    }
}

impl Agent {
    /// The agent `id` with these keys; prekeys come from `seed`.
    pub(crate) fn new(id: &str, keys: Arc<dyn KeyStore>, seed: u64) -> Self {
        Self::on_device(id, keys, seed, 0)
    }

    pub(crate) fn on_device(id: &str, keys: Arc<dyn KeyStore>, seed: u64, device: u32) -> Self {
        let mut rng = SeededRng::new(seed);
        let publics = keys.public(keys.newest()).expect("a set");
        let mut prekeys = Prekeys::generate(device, NOW, &mut rng).expect("randomness");
        let card_hash = kdf::sha256(&[b"card of ", id.as_bytes()]);
        let publisher = Publisher { keys: &*keys, id: id.as_bytes(), card_hash };
        let refill = prekeys.refill(&publisher, NONE, NOW, &mut rng).expect("keys").expect("due");
        prekeys.apply(refill.change).expect("fresh");
        let (bundle, change) = prekeys.bundle(&publisher, &contact(), NOW).expect("a bundle");
        prekeys.apply(change).expect("fresh");
        let [x25519, kem] = refill.pages.try_into().expect("a page of each kind");
        let id = id.as_bytes().to_vec();
        Self { keys, id, device, publics, prekeys, bundle, x25519, kem }
    }

    pub(crate) fn card(&self) -> Vec<u8> {
        [b"card of ", &self.id[..]].concat()
    }

    pub(crate) fn card_hash(&self) -> [u8; 32] {
        kdf::sha256(&[&self.card()])
    }

    pub(crate) fn kx(&self) -> KxId {
        self.keys.newest()
    }

    pub(crate) fn publisher(&self) -> Publisher<'_> {
        Publisher { keys: &*self.keys, id: &self.id, card_hash: self.card_hash() }
    }

    pub(crate) fn local(&self) -> Local {
        let introduction = Introduction {
            id: self.id.clone(),
            device: self.device,
            card: self.card(),
            log: None,
            evidence: b"evidence".to_vec(),
        };
        Local::new(Arc::clone(&self.keys), self.kx(), introduction)
    }

    pub(crate) fn peer_keys(&self) -> PeerKeys<'_> {
        PeerKeys {
            id: &self.id,
            key: self.keys.identity(),
            static_key: &self.publics.handshake,
            kx: self.kx(),
            card_hash: self.card_hash(),
        }
    }

    pub(crate) fn identity(&self) -> PeerIdentity<'_> {
        PeerIdentity {
            id: &self.id,
            key: self.keys.identity(),
            static_key: &self.publics.handshake,
        }
    }

    /// The bundle as a claimer verifies it.
    pub(crate) fn verified(&self) -> Bundle {
        self.verify(&self.bundle).expect("a sound bundle")
    }

    pub(crate) fn verify(&self, bundle: &[u8]) -> Result<Bundle, Error> {
        UnverifiedBundle::from_bytes(bundle)?.verify(&self.peer_keys(), self.device, None, NOW)
    }

    /// The one-time keys number `index`, of those kinds that `left` says.
    pub(crate) fn one_time(&self, index: usize, left: Left) -> OneTimeKeys {
        let bundle = self.verified();
        let x25519 = || bundle.one_time_x25519(&self.x25519.header, &self.x25519.keys[index], NOW);
        let kem = || bundle.one_time_kem(&self.kem.header, &self.kem.keys[index], NOW);
        OneTimeKeys {
            x25519: left.x25519.then(|| x25519().expect("a sound key")),
            kem: left.kem.then(|| kem().expect("a sound key")),
        }
    }

    /// Writes to `peer`.
    pub(crate) fn write_to(&self, peer: &Self, keys: OneTimeKeys, suite: Suite) -> Initiated {
        let (local, bundle) = (self.local(), peer.verified());
        agreement::initiate(&local, &bundle, keys, suite, reply(), NOW, &mut SeededRng::new(99))
            .expect("an agreement")
    }

    /// Opens a first message as far as the claim.
    pub(crate) fn open(&self, prefix: &[u8]) -> Result<Claim, Error> {
        let first = FirstMessage::from_prefix(prefix)?;
        let found = self.prekeys.find(&first, NOW)?;
        agreement::respond(&self.local(), &[self.card_hash()], &first, &found)
    }

    /// Opens a first message and has `sender` proven.
    pub(crate) fn receive(
        &self,
        prefix: &[u8],
        sender: PeerIdentity<'_>,
    ) -> Result<Accepted, Error> {
        self.open(prefix)?.prove(sender)
    }

    /// Everything it has stored.
    pub(crate) fn state(&self) -> Vec<Vec<u8>> {
        self.prekeys.rows().into_iter().map(|(_, row)| row.to_vec()).collect()
    }
}

/// Which one-time keys the directory has left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub(crate) x25519: bool,
    pub(crate) kem: bool,
}

pub(crate) const BOTH: Left = Left { x25519: true, kem: true };
pub(crate) const NEITHER: Left = Left { x25519: false, kem: false };
pub(crate) const ALL_LEFT: [Left; 4] =
    [BOTH, Left { x25519: true, kem: false }, Left { x25519: false, kem: true }, NEITHER];
