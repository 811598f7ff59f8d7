//! Which handshake leads to a peer: a pure function of what is known.

/// A handshake between two agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handshake {
    /// Noise IKhfs+psk0: the peer's valid card is held.
    NoiseIk,
    /// Noise XXhfs: no valid card is held. The peer says who it is, and is then pinned.
    NoiseXx,
}

/// Whether the peer can answer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a peer is reachable or it is not")]
pub enum Reach {
    /// A connection to the peer stands.
    Online,
    /// The peer cannot answer now.
    Offline,
}

/// What is held of the peer's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Known {
    /// Nothing.
    Nothing,
    /// Its X25519 exchange key alone, which then must match.
    StaticKey,
    /// Its card.
    Card(CardState),
}

/// What the peer's card is worth now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CardState {
    /// Verified, in its lifetime, and with a suite that both sides have.
    Valid,
    /// Verified, but past its end: the identity still binds, the exchange keys do not.
    Expired,
    /// Without a hybrid suite that both sides have.
    NoCommonSuite,
}

/// All that [`Handshake::select`] looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the two axes of the table")]
pub struct PeerKnowledge {
    /// Whether the peer can answer now.
    pub reach: Reach,
    /// What is held of its identity.
    pub known: Known,
}

/// No handshake leads to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoRoute {
    /// The peer cannot answer now.
    #[error("the peer is not reachable now")]
    Offline,
    /// The peer's card names no hybrid suite that this side has. Nothing less is spoken.
    #[error(
        "the peer's card offers no hybrid suite that this agent has; nothing less is spoken, so \
         update the older side"
    )]
    Downgrade,
}

impl Handshake {
    /// Picks the handshake.
    ///
    /// | reach | known | handshake |
    /// |---|---|---|
    /// | online | nothing | [`NoiseXx`](Self::NoiseXx), then pinned |
    /// | online | an X25519 key alone | [`NoiseXx`](Self::NoiseXx), and the key must match |
    /// | online | its valid card | [`NoiseIk`](Self::NoiseIk) |
    /// | online | its expired card | [`NoiseXx`](Self::NoiseXx), and the identity must match |
    /// | online | a card without a common hybrid suite | [`NoRoute::Downgrade`] |
    /// | offline | anything | [`NoRoute::Offline`] |
    ///
    /// ```
    /// use sealwire::{CardState, Handshake, Known, PeerKnowledge, Reach};
    /// let peer = PeerKnowledge { reach: Reach::Online, known: Known::Card(CardState::Valid) };
    /// assert_eq!(Handshake::select(&peer), Ok(Handshake::NoiseIk));
    /// ```
    ///
    /// # Errors
    /// [`NoRoute`] when none leads to the peer. There is no silent fallback.
    pub const fn select(peer: &PeerKnowledge) -> Result<Self, NoRoute> {
        match (peer.reach, peer.known) {
            (Reach::Offline, _) => Err(NoRoute::Offline),
            (Reach::Online, Known::Nothing | Known::StaticKey) => Ok(Self::NoiseXx),
            (Reach::Online, Known::Card(CardState::Valid)) => Ok(Self::NoiseIk),
            (Reach::Online, Known::Card(CardState::Expired)) => Ok(Self::NoiseXx),
            (Reach::Online, Known::Card(CardState::NoCommonSuite)) => Err(NoRoute::Downgrade),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // attack T6: no row of the table leads to anything that is not hybrid.
    #[test]
    fn every_row_of_the_table_holds() {
        use Handshake::{NoiseIk, NoiseXx};
        let online = [
            (Known::Nothing, Ok(NoiseXx)),
            (Known::StaticKey, Ok(NoiseXx)),
            (Known::Card(CardState::Valid), Ok(NoiseIk)),
            (Known::Card(CardState::Expired), Ok(NoiseXx)),
            (Known::Card(CardState::NoCommonSuite), Err(NoRoute::Downgrade)),
        ];
        for (known, expected) in online {
            let select = |reach| Handshake::select(&PeerKnowledge { reach, known });
            assert_eq!(select(Reach::Online), expected, "{known:?}");
            assert_eq!(select(Reach::Offline), Err(NoRoute::Offline), "{known:?}");
        }
    }
}
