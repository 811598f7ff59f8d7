//! Who is who: impersonation, misbinding, and what each stolen key is good for.

use std::sync::Arc;

use sealwire_core::{
    Error as CoreError, KeyStore, Suite,
    kem::{KemCiphertext, SharedSecret},
    keys::{Signature, StaticPublic, StaticSecret, VerifyingKey, X25519Public},
    keystore::{ExchangePublics, KeyUse, KxId},
    label::Context,
};
use sealwire_ratchet::{Error, agreement::PeerIdentity};
use sealwire_testkit::zero_shared_secret_publics;

use crate::common::{ALL_LEFT, Agent, BOTH, NEITHER, alice, bob, mallory};

/// A key store of parts: what an attacker has of others, and of its own where it lacks theirs.
#[derive(Debug)]
struct Loot {
    /// The identity that is claimed, and who really signs.
    identity: VerifyingKey,
    signs: Arc<dyn KeyStore>,
    /// The exchange key that is claimed, and what DH1 is computed with.
    publics: ExchangePublics,
    dh1: Dh1,
}

#[derive(Debug)]
enum Dh1 {
    /// The private exchange key of this store.
    Own(Arc<dyn KeyStore>),
    /// SPK_B: DH(SPK_B, IK_A) is the same as DH(IK_A, SPK_B).
    Stolen(StaticSecret),
}

impl KeyStore for Loot {
    fn identity(&self) -> &VerifyingKey {
        &self.identity
    }

    fn newest(&self) -> KxId {
        KxId::MIN
    }

    fn public(&self, _: KxId) -> Result<ExchangePublics, CoreError> {
        Ok(self.publics.clone())
    }

    fn sign(&self, message: &Context) -> Result<Signature, CoreError> {
        self.signs.sign(message)
    }

    fn agree(
        &self,
        kx: KxId,
        usage: KeyUse,
        peer: &X25519Public,
    ) -> Result<SharedSecret, CoreError> {
        match &self.dh1 {
            Dh1::Own(keys) => keys.agree(kx, usage, peer),
            Dh1::Stolen(spk) => spk.agree(&self.publics.handshake),
        }
    }

    fn decapsulate(
        &self,
        _: KxId,
        _: KeyUse,
        _: &KemCiphertext,
    ) -> Result<SharedSecret, CoreError> {
        Err(CoreError::KeyStore("an initiator has nothing to decapsulate"))
    }
}

/// Bob's signed prekey, as a thief finds it in his store.
fn stolen_signed_prekey(bob: &Agent) -> StaticSecret {
    let sent = alice().write_to(bob, bob.one_time(0, BOTH), Suite::AesGcm);
    let accepted = bob.receive(&sent.prefix, alice().identity()).expect("Alice");
    StaticSecret::from_seed(&accepted.prekey).expect("a key")
}

// attack T8
// AGR-18
#[test]
fn no_stolen_key_alone_writes_to_bob_as_alice() {
    let (alice, bob, mallory) = (alice(), bob(), mallory());
    // Whose identity and exchange key are claimed, who signs, and who computes DH1: `None` is
    // whoever has the signed prekey.
    for (name, identity, exchange, signs, dh1) in [
        ("nothing", &alice, &alice, &mallory, Some(&mallory)),
        ("Bob's identity key", &alice, &alice, &bob, Some(&mallory)),
        ("Bob's identity and exchange key", &alice, &alice, &bob, Some(&bob)),
        ("Bob's signed prekey", &alice, &alice, &mallory, None),
        ("Bob's signed prekey and identity key", &alice, &alice, &bob, None),
        ("Alice's exchange key", &alice, &alice, &mallory, Some(&alice)),
        ("Alice's identity key", &alice, &mallory, &alice, Some(&mallory)),
    ] {
        let stolen = || Dh1::Stolen(stolen_signed_prekey(&bob));
        let keys = Arc::new(Loot {
            identity: identity.keys.identity().clone(),
            signs: store(signs),
            publics: exchange.publics.clone(),
            dh1: dh1.map_or_else(stolen, |agent| Dh1::Own(store(agent))),
        });
        let thief = Agent {
            keys,
            publics: exchange.publics.clone(),
            ..Agent::new("alice", store(&alice), 1)
        };
        for left in ALL_LEFT {
            let sent = thief.write_to(&bob, bob.one_time(0, left), Suite::AesGcm);
            let result = bob.receive(&sent.prefix, alice.identity());
            assert_eq!(result.expect_err(name), Error::Open, "{name} {left:?}");
        }
    }
}

fn store(agent: &Agent) -> Arc<dyn KeyStore> {
    Arc::clone(&agent.keys)
}

// attack T8: the control of the test above, and what is documented: with the signed prekey a
// thief computes every secret of the agreement, so that the signature alone keeps it out.
// AGR-18
#[test]
fn with_bobs_signed_prekey_only_the_signature_is_in_the_way() {
    let (alice, bob, mallory) = (alice(), bob(), mallory());
    let loot = Loot {
        identity: mallory.keys.identity().clone(),
        signs: store(&mallory),
        publics: alice.publics.clone(),
        dh1: Dh1::Stolen(stolen_signed_prekey(&bob)),
    };
    let thief = Agent { keys: Arc::new(loot), ..Agent::new("alice", store(&alice), 1) };
    let sent = thief.write_to(&bob, bob.one_time(0, BOTH), Suite::AesGcm);
    // Were Mallory's key the one on Alice's card, the agreement would be whole.
    let wrong_card = PeerIdentity { key: mallory.keys.identity(), ..alice.identity() };
    let accepted = bob.receive(&sent.prefix, wrong_card).expect("the signature is Mallory's");
    assert!(accepted.agreed.secret() == sent.agreed.secret());
    assert_eq!(bob.receive(&sent.prefix, alice.identity()).expect_err("Alice"), Error::Open);
}

// attack T8: with Alice's identity key but not her exchange key the proof passes; the secrets
// differ, so that the first body does not open.
// AGR-16
#[test]
fn without_the_exchange_key_the_secrets_differ() {
    let (alice, bob, mallory) = (alice(), bob(), mallory());
    let loot = Loot {
        identity: alice.keys.identity().clone(),
        signs: store(&alice),
        publics: alice.publics.clone(),
        dh1: Dh1::Own(store(&mallory)),
    };
    let thief = Agent { keys: Arc::new(loot), ..Agent::new("alice", store(&alice), 1) };
    let sent = thief.write_to(&bob, bob.one_time(0, BOTH), Suite::AesGcm);
    let accepted = bob.receive(&sent.prefix, alice.identity()).expect("the signature is Alice's");
    assert!(accepted.agreed.secret() != sent.agreed.secret());
}

// attack T7
// AGR-7
#[test]
fn a_message_of_alice_is_not_taken_for_one_of_mallory() {
    let (alice, bob, mallory) = (alice(), bob(), mallory());
    let sent = alice.write_to(&bob, bob.one_time(0, BOTH), Suite::AesGcm);
    assert!(bob.receive(&sent.prefix, alice.identity()).is_ok(), "the control");
    let theirs = mallory.identity();
    for (name, peer) in [
        ("Mallory", theirs),
        ("Alice's exchange key on Mallory's card", {
            PeerIdentity { static_key: &alice.publics.handshake, ..theirs }
        }),
        ("Alice's keys under Mallory's id", PeerIdentity { id: b"mallory", ..alice.identity() }),
        ("Alice's keys under no id", PeerIdentity { id: b"", ..alice.identity() }),
        ("Mallory's identity key", PeerIdentity { key: theirs.key, ..alice.identity() }),
        ("Mallory's exchange key", {
            PeerIdentity { static_key: theirs.static_key, ..alice.identity() }
        }),
    ] {
        assert_eq!(bob.receive(&sent.prefix, peer).expect_err(name), Error::Open, "{name}");
    }
}

// attack T7: Mallory puts Alice's exchange key on a card of hers and writes herself.
#[test]
fn a_card_with_anothers_exchange_key_gives_other_secrets() {
    let (alice, bob, mallory) = (alice(), bob(), mallory());
    let loot = Loot {
        identity: mallory.keys.identity().clone(),
        signs: store(&mallory),
        publics: alice.publics.clone(),
        dh1: Dh1::Own(store(&mallory)),
    };
    let thief = Agent { keys: Arc::new(loot), publics: alice.publics.clone(), ..mallory };
    let sent = thief.write_to(&bob, bob.one_time(0, BOTH), Suite::AesGcm);
    let accepted = bob.receive(&sent.prefix, thief.identity()).expect("the signature is Mallory's");
    assert!(accepted.agreed.secret() != sent.agreed.secret());
}

// attack T7, T9: the same keys under two ids, on two devices, under two cards. The message is
// for one of them.
#[test]
fn a_message_is_for_one_id_device_and_card() {
    let (alice, bob) = (alice(), bob());
    let sent = alice.write_to(&bob, bob.one_time(0, BOTH), Suite::AesGcm);
    let open = |bob: &Agent, cards: &[[u8; 32]]| {
        let first = sealwire_ratchet::agreement::FirstMessage::from_prefix(&sent.prefix)?;
        let found = bob.prekeys.find(&first, crate::common::NOW)?;
        sealwire_ratchet::agreement::respond(&bob.local(), cards, &first, &found)?
            .prove(alice.identity())
            .map(|_| ())
    };
    let card = bob.card_hash();
    assert_eq!(open(&bob, &[card]), Ok(()));
    assert_eq!(open(&bob, &[[1; 32], card]), Ok(()), "an older card that still stands");
    let renamed = Agent::new("robert", store(&bob), 12);
    assert_eq!(open(&renamed, &[card]), Err(Error::Open), "the same keys under another id");
    let replica = Agent::on_device("bob", store(&bob), 12, 1);
    assert_eq!(open(&replica, &[card]), Err(Error::Open), "the same keys on another device");
    assert_eq!(open(&bob, &[[1; 32]]), Err(Error::Open), "another card");
    assert_eq!(open(&bob, &[]), Err(Error::NoPrekey), "no card that stands");
    let other = Agent::new("bob", store(&bob), 77);
    assert_eq!(open(&other, &[card]), Err(Error::Open), "other prekeys");
    let stranger = Agent::new("bob", store(&mallory()), 12);
    assert_eq!(open(&stranger, &[card]), Err(Error::Open), "other exchange keys");
}

// attack T1: as the exchange key of a card.
#[test]
fn an_exchange_key_that_gives_a_zero_secret_cannot_be_named() {
    for public in zero_shared_secret_publics() {
        assert!(StaticPublic::from_bytes(&public).is_err(), "{public:?}");
    }
}

// AGR-14: the sender is not named to whoever lacks Bob's keys.
#[test]
fn a_first_message_shows_no_name() {
    let (alice, bob) = (alice(), bob());
    for left in [BOTH, NEITHER] {
        let sent = alice.write_to(&bob, bob.one_time(0, left), Suite::ChaChaPoly);
        for named in [&alice.id, &alice.card(), &alice.card_hash().to_vec(), &bob.id] {
            assert!(!sent.prefix.windows(named.len()).any(|part| part == named));
        }
    }
}
