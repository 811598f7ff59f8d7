//! What an attacker builds: handshakes played by hand.

use std::sync::Arc;

use sealwire::{
    Agent, Error, Source,
    core::{KeyStore, Suite, SuiteSet},
    noise::{
        Introduction, Local,
        frame::{read_message, write_first, write_message},
        initiator,
    },
};
use sealwire_testkit::rng::SeededRng;
use tokio::io::{AsyncReadExt, DuplexStream, duplex};

use crate::live::common::Outcome;

/// Dials `bob` with XX by hand: `keys` work, `introduction` is said. Gives what Bob made of it
/// and what he sent after message 2.
pub(crate) async fn xx_by_hand(
    keys: Arc<dyn KeyStore>,
    introduction: Introduction,
    bob: &Agent,
) -> (Outcome, Vec<u8>) {
    let (near, far) = duplex(1 << 16);
    let own = keys.newest();
    let dialling = say_xx(near, Local::new(keys, own, introduction));
    let (answered, seen) = tokio::join!(bob.accept(far, Source::shared()), dialling);
    (answered, seen.expect("a handshake"))
}

async fn say_xx(mut near: DuplexStream, local: Local) -> Result<Vec<u8>, Error> {
    let mut rng = SeededRng::new(77);
    let (preamble, message1, sent) =
        initiator::start_xx(local, Suite::AesGcm, SuiteSet::all(), &mut rng)?;
    write_first(&mut near, &preamble, &message1).await?;
    let message2 = read_message(&mut near, 65_535).await?;
    let claim = sent.read(&message2)?;
    let card = sealwire::identity::IdentityCard::from_bytes(claim.payload().card())?;
    let card = card.claimed();
    let id = card.id().as_str().as_bytes();
    let proven = claim.prove(sealwire::noise::PeerIdentity {
        id,
        key: card.identity_key(),
        static_key: card.exchange_key(),
    })?;
    let (message3, _) = proven.finish(id)?;
    write_message(&mut near, &message3).await?;
    let mut seen = Vec::new();
    near.read_to_end(&mut seen).await?;
    Ok(seen)
}

/// An introduction with this card, in the name of this id.
pub(crate) fn introduction(id: &[u8], card: &[u8]) -> Introduction {
    Introduction {
        id: id.to_vec(),
        card: card.to_vec(),
        log: None,
        evidence: sealwire::identity::EvidenceList::default().to_bytes(),
    }
}
