//! The impostors: they answer Alice with Bob's card and less than Bob's keys.

use std::{path::PathBuf, sync::Arc};

use sealwire::{
    core::{
        Error as CoreError, KeyStore, MemoryKeyStore,
        kem::{KemCiphertext, SharedSecret},
        keys::{Signature, VerifyingKey, X25519Public},
        keystore::{ExchangePublics, KeyUse, KxId},
        label::Context,
    },
    custody::{self, FileKeyStore},
    identity::{EvidenceList, IdentityCard},
    noise::{
        Introduction, Local, MAX_PAYLOAD, Pattern, PeerIdentity,
        frame::{
            FrameError, REFUSAL, read_message, read_preamble, read_record, write_all, write_message,
        },
        responder,
    },
};
use tokio::net::TcpStream;

/// Longer than any message 1.
const MAX_MESSAGE1: usize = 1296 + MAX_PAYLOAD;

/// What the impostor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Loot {
    /// Bob's card, and keys of its own.
    Card,
    /// Bob's card and his exchange keys, but not his identity key.
    ExchangeKeys,
}

/// What the impostor got out of Alice.
pub(crate) struct Haul {
    /// Alice went on after message 2: she took the impostor for Bob.
    pub(crate) believed: bool,
}

/// Bob's exchange keys, and an identity key that is not his.
#[derive(Debug)]
struct Stolen {
    exchange: FileKeyStore,
    own: MemoryKeyStore,
}

impl KeyStore for Stolen {
    fn identity(&self) -> &VerifyingKey {
        self.exchange.identity()
    }

    fn newest(&self) -> KxId {
        self.exchange.newest()
    }

    fn public(&self, kx: KxId) -> Result<ExchangePublics, CoreError> {
        self.exchange.public(kx)
    }

    fn sign(&self, message: &Context) -> Result<Signature, CoreError> {
        self.own.sign(message)
    }

    fn agree(
        &self,
        kx: KxId,
        usage: KeyUse,
        peer: &X25519Public,
    ) -> Result<SharedSecret, CoreError> {
        self.exchange.agree(kx, usage, peer)
    }

    fn decapsulate(
        &self,
        kx: KxId,
        usage: KeyUse,
        ciphertext: &KemCiphertext,
    ) -> Result<SharedSecret, CoreError> {
        self.exchange.decapsulate(kx, usage, ciphertext)
    }
}

/// An impostor with its loot.
pub(crate) struct Impostor {
    keys: Arc<dyn KeyStore>,
    introduction: Introduction,
    loot: Loot,
}

impl Impostor {
    /// Takes Bob's card and, from his key file, the exchange keys.
    pub(crate) fn new(
        loot: Loot,
        card: &IdentityCard,
        key_file: &PathBuf,
        passphrase: &custody::Passphrase,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let own = MemoryKeyStore::generate(&mut custody::system_rng())?;
        let keys: Arc<dyn KeyStore> = match loot {
            Loot::Card => Arc::new(own),
            Loot::ExchangeKeys => {
                Arc::new(Stolen { exchange: FileKeyStore::open(key_file, passphrase)?, own })
            }
        };
        let introduction = Introduction {
            id: card.id().as_str().as_bytes().to_vec(),
            card: card.as_bytes().to_vec(),
            log: None,
            evidence: EvidenceList::default().to_bytes(),
        };
        Ok(Self { keys, introduction, loot })
    }

    /// Answers one connection as well as the loot allows.
    pub(crate) async fn answer(&self, stream: &mut TcpStream) -> Result<Haul, FrameError> {
        let preamble = read_preamble(stream).await?;
        let message1 = read_message(stream, MAX_MESSAGE1).await?;
        if preamble.pattern() == Pattern::Ik && self.loot == Loot::Card {
            // Without Bob's keys message 1 stays closed: hope that Alice asks a stranger.
            write_all(stream, &REFUSAL).await?;
            let preamble = read_preamble(stream).await?;
            let message1 = read_message(stream, MAX_MESSAGE1).await?;
            return self.answer_xx(stream, &preamble, &message1).await;
        }
        match preamble.pattern() {
            Pattern::Xx => self.answer_xx(stream, &preamble, &message1).await,
            Pattern::Ik => self.answer_ik(stream, &preamble, &message1).await,
        }
    }

    fn local(&self) -> Local {
        Local::new(Arc::clone(&self.keys), self.keys.newest(), self.introduction.clone())
    }

    async fn answer_xx(
        &self,
        stream: &mut TcpStream,
        preamble: &sealwire::noise::Preamble,
        message1: &[u8],
    ) -> Result<Haul, FrameError> {
        let mut rng = custody::system_rng();
        let (message2, _) = responder::answer_xx(self.local(), preamble, message1, &mut rng)?;
        write_message(stream, &message2).await?;
        Ok(Haul { believed: read_message(stream, MAX_MESSAGE1).await.is_ok() })
    }

    async fn answer_ik(
        &self,
        stream: &mut TcpStream,
        preamble: &sealwire::noise::Preamble,
        message1: &[u8],
    ) -> Result<Haul, FrameError> {
        let mut rng = custody::system_rng();
        let claim = responder::answer_ik(self.local(), preamble, message1, &mut rng)?;
        let alice = IdentityCard::from_bytes(claim.payload().card())
            .map_err(|_| sealwire::noise::Error::Handshake)?;
        let alice = alice.claimed();
        let id = alice.id().as_str().as_bytes();
        let proven = claim.prove(PeerIdentity {
            id,
            key: alice.identity_key(),
            static_key: alice.exchange_key(),
        })?;
        let (message2, _) = proven.reply(id)?;
        write_message(stream, &message2).await?;
        Ok(Haul { believed: read_record(stream).await.is_ok() })
    }
}
