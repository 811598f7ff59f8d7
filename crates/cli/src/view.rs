//! Cards and pins as they are shown.

use std::fmt;

use clap::ValueEnum;
use sealwire::{
    core::{Suite, SuiteSet, Timestamp},
    identity::{IdentityCard, Pin, PinnedBy},
};
use serde::Serialize;

use crate::text::{Plain, utc};

/// The suites by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub(crate) enum SuiteName {
    #[serde(rename = "aes-256-gcm")]
    #[value(name = "aes-256-gcm")]
    AesGcm,
    #[serde(rename = "chacha20-poly1305")]
    #[value(name = "chacha20-poly1305")]
    ChaChaPoly,
}

impl From<Suite> for SuiteName {
    fn from(suite: Suite) -> Self {
        match suite {
            Suite::AesGcm => Self::AesGcm,
            Suite::ChaChaPoly => Self::ChaChaPoly,
        }
    }
}

impl From<SuiteName> for Suite {
    fn from(name: SuiteName) -> Self {
        match name {
            SuiteName::AesGcm => Self::AesGcm,
            SuiteName::ChaChaPoly => Self::ChaChaPoly,
        }
    }
}

impl fmt::Display for SuiteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AesGcm => "aes-256-gcm",
            Self::ChaChaPoly => "chacha20-poly1305",
        })
    }
}

/// The suites of a list by name.
pub(crate) fn suites(suites: &SuiteSet) -> Vec<SuiteName> {
    suites.iter().map(SuiteName::from).collect()
}

/// Names with commas between them.
pub(crate) fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

/// What a card says.
#[derive(Debug, Serialize)]
pub(crate) struct CardView {
    pub(crate) id: String,
    pub(crate) sequence: u64,
    pub(crate) kx_id: u32,
    pub(crate) suites: Vec<SuiteName>,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) home_relay: Option<String>,
    pub(crate) card_hash: String,
}

impl From<&IdentityCard> for CardView {
    fn from(card: &IdentityCard) -> Self {
        Self {
            id: card.id().to_string(),
            sequence: card.sequence(),
            kx_id: card.kx_id().get(),
            suites: suites(card.suites()),
            not_before: card.not_before().as_secs(),
            not_after: card.not_after().as_secs(),
            home_relay: card.home_relay().map(str::to_owned),
            card_hash: card.hash().to_string(),
        }
    }
}

impl fmt::Display for CardView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, sequence, kx_id, suites, not_before, not_after, home_relay, card_hash } =
            self;
        let time = |seconds| utc(Timestamp::from_secs(seconds));
        writeln!(f, "id             {id}")?;
        writeln!(f, "sequence       {sequence}")?;
        writeln!(f, "exchange keys  number {kx_id}")?;
        writeln!(f, "suites         {}", list(suites))?;
        if let Some(relay) = home_relay {
            writeln!(f, "home relay     {}", Plain::new(relay))?;
        }
        writeln!(f, "valid from     {}", time(*not_before))?;
        writeln!(f, "valid until    {}", time(*not_after))?;
        writeln!(f, "card hash      {card_hash}")
    }
}

/// What is remembered of a peer.
#[derive(Debug, Serialize)]
pub(crate) struct PinView {
    #[serde(flatten)]
    pub(crate) card: CardView,
    pub(crate) pinned: &'static str,
    pub(crate) first_seen: u64,
    pub(crate) last_seen: u64,
    /// Where the peer was dialled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<String>,
}

impl From<&Pin> for PinView {
    fn from(pin: &Pin) -> Self {
        Self {
            card: pin.card().claimed().into(),
            pinned: pinned_by(pin.pinned_by()),
            first_seen: pin.first_seen().as_secs(),
            last_seen: pin.last_seen().as_secs(),
            addresses: Vec::new(),
        }
    }
}

impl fmt::Display for PinView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { card, pinned, first_seen, last_seen, addresses } = self;
        let time = |seconds| utc(Timestamp::from_secs(seconds));
        writeln!(f, "{}", card.id)?;
        let how = if *pinned == "out_of_band" { "by its owner's card" } else { "at first contact" };
        writeln!(f, "  pinned       {how}, {}", time(*first_seen))?;
        writeln!(f, "  last seen    {}", time(*last_seen))?;
        writeln!(f, "  card         {}, valid until {}", card.sequence, time(card.not_after))?;
        match addresses.is_empty() {
            true => Ok(()),
            false => writeln!(f, "  met at       {}", Plain::new(&list(addresses))),
        }
    }
}

/// How a peer became known, for programs.
pub(crate) fn pinned_by(by: PinnedBy) -> &'static str {
    match by {
        PinnedBy::FirstContact => "first_contact",
        PinnedBy::OutOfBand => "out_of_band",
    }
}
