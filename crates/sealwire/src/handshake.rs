//! Which handshake leads to a peer: a pure function of what is known.

/// A handshake between two agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handshake {
    /// Noise IKhfs+psk0: the peer's valid card is held.
    NoiseIk,
    /// Noise XXhfs: no valid card is held. The peer says who it is, and is then pinned.
    NoiseXx,
    /// X3DH with ML-KEM-768, then a Double Ratchet: the peer is offline, its prekeys are not.
    X3dh,
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
    /// The peer cannot answer now, and no valid card of it is held, nor published with prekeys.
    #[error(
        "the peer cannot answer now, and there is no valid card of it; it must publish prekeys, \
         or be online"
    )]
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
    /// | offline | its valid card | [`X3dh`](Self::X3dh) |
    /// | offline | a card without a common hybrid suite | [`NoRoute::Downgrade`] |
    /// | offline | anything else | [`NoRoute::Offline`] |
    ///
    /// A peer that is offline publishes its card beside its prekeys, so
    /// [`Agent::send`](crate::Agent::send) looks there before it asks.
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
            (_, Known::Card(CardState::NoCommonSuite)) => Err(NoRoute::Downgrade),
            (Reach::Offline, Known::Card(CardState::Valid)) => Ok(Self::X3dh),
            (Reach::Offline, _) => Err(NoRoute::Offline),
            (Reach::Online, Known::Nothing | Known::StaticKey) => Ok(Self::NoiseXx),
            (Reach::Online, Known::Card(CardState::Valid)) => Ok(Self::NoiseIk),
            (Reach::Online, Known::Card(CardState::Expired)) => Ok(Self::NoiseXx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // attack T6: no row of the table leads to anything that is not hybrid.
    #[test]
    fn every_row_of_the_table_holds() {
        use Handshake::{NoiseIk, NoiseXx, X3dh};
        let table = [
            (Known::Nothing, Ok(NoiseXx), Err(NoRoute::Offline)),
            (Known::StaticKey, Ok(NoiseXx), Err(NoRoute::Offline)),
            (Known::Card(CardState::Valid), Ok(NoiseIk), Ok(X3dh)),
            (Known::Card(CardState::Expired), Ok(NoiseXx), Err(NoRoute::Offline)),
            (
                Known::Card(CardState::NoCommonSuite),
                Err(NoRoute::Downgrade),
                Err(NoRoute::Downgrade),
            ),
        ];
        for (known, online, offline) in table {
            let select = |reach| Handshake::select(&PeerKnowledge { reach, known });
            assert_eq!(select(Reach::Online), online, "{known:?}");
            assert_eq!(select(Reach::Offline), offline, "{known:?}");
        }
    }
}
