//! What a peer presents beside its card.

use core::fmt;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use sealwire_core::{
    DecodeError, DecodeReason,
    codec::{Reader, from_cbor, to_cbor},
};

use crate::Error;

const WHAT: &str = "evidence list";

/// A list of at most [`EvidenceList::MAX_ITEMS`] pieces of evidence.
///
/// ```
/// use sealwire_identity::{Evidence, EvidenceKind, EvidenceList};
/// # fn main() -> Result<(), sealwire_identity::Error> {
/// let credential = Evidence::new(EvidenceKind::OrgCredential, true, b"a credential")?;
/// let list = EvidenceList::new(vec![credential])?;
/// assert_eq!(EvidenceList::from_bytes(&list.to_bytes())?, list);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceList(Vec<Evidence>);

/// One piece of evidence. Nothing in it has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Evidence {
    kind: EvidenceKind,
    bound: bool,
    data: Vec<u8>,
}

/// The kinds of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum EvidenceKind {
    /// A credential of an organisation.
    OrgCredential = 1,
    /// A SPIFFE X.509-SVID.
    X509Svid = 2,
    /// A [`ScoreStatement`](crate::ScoreStatement).
    Score = 3,
}

impl EvidenceList {
    /// The most items: a peer needs one of a kind, or two while it changes from one issuer to
    /// another.
    pub const MAX_ITEMS: usize = 8;

    /// The longest encoding, in bytes: what a handshake payload of 32 KiB leaves beside a card
    /// of 4 KiB and a proof.
    pub const MAX_LEN: usize = 24 * 1024;

    const VERSION: u8 = 1;

    /// A list of these items, in this order.
    ///
    /// # Errors
    /// [`Error::Misuse`] for more than [`EvidenceList::MAX_ITEMS`] items, or more bytes than
    /// [`EvidenceList::MAX_LEN`].
    pub fn new(items: Vec<Evidence>) -> Result<Self, Error> {
        if items.len() > Self::MAX_ITEMS {
            return Err(Error::Misuse("more than 8 pieces of evidence; choose the best"));
        }
        let list = Self(items);
        if list.to_bytes().len() > Self::MAX_LEN {
            return Err(Error::Misuse("more than 24 KiB of evidence; choose the best"));
        }
        Ok(list)
    }

    /// The items, in the order in which the peer gave them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Evidence> {
        self.0.iter()
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no evidence.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `version 1 | CBOR [[kind, bound, data] …]`
    pub fn to_bytes(&self) -> Vec<u8> {
        let items = self.0.iter().map(|Evidence { kind, bound, data }| RawItem {
            kind: *kind as u8,
            bound: *bound,
            data,
        });
        let mut bytes = vec![Self::VERSION];
        bytes.extend(to_cbor(&RawList(items.collect())));
        bytes
    }

    /// Reads a list.
    ///
    /// # Errors
    /// [`Error::Decode`] for anything but the canonical encoding of items whose kind this
    /// release knows.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(WHAT, bytes);
        // EV-2
        if bytes.len() > Self::MAX_LEN {
            return Err(reader.error(DecodeReason::TooLong(Self::MAX_LEN)).into());
        }
        // EV-1
        reader.version(Self::VERSION)?;
        let RawList(items) = from_cbor(WHAT, reader.rest(), Self::MAX_LEN)?;
        items.iter().map(Evidence::from_raw).collect::<Result<_, _>>().map(Self)
    }
}

impl Evidence {
    /// The longest data of one item, in bytes: a certificate chain of two or three links.
    pub const MAX_DATA: usize = 4 * 1024;

    /// Evidence of this kind. `bound` says that it names the identity key or the id of the
    /// card that it is presented with.
    ///
    /// # Errors
    /// [`Error::Misuse`] for no data, or more than [`Evidence::MAX_DATA`].
    pub fn new(kind: EvidenceKind, bound: bool, data: &[u8]) -> Result<Self, Error> {
        if data.is_empty() || data.len() > Self::MAX_DATA {
            return Err(Error::Misuse("evidence holds 1 to 4096 bytes"));
        }
        Ok(Self { kind, bound, data: data.to_vec() })
    }

    /// What kind of evidence it is.
    pub const fn kind(&self) -> EvidenceKind {
        self.kind
    }

    /// Whether the peer says that it is bound to its identity key.
    ///
    /// # Security
    /// `false` means that it never raises a decision (EV-4). `true` is a claim: whoever judges the
    /// data checks that it names this peer.
    pub const fn is_bound(&self) -> bool {
        self.bound
    }

    /// The evidence itself, in the format of its kind.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    fn from_raw(raw: &RawItem<'_>) -> Result<Self, Error> {
        let RawItem { kind, bound, data } = raw;
        // EV-3
        let kind = EvidenceKind::from_u8(*kind)?;
        // EV-2
        if data.is_empty() || data.len() > Self::MAX_DATA {
            let rule = DecodeReason::Invalid("an item holds 1 to 4096 bytes");
            return Err(DecodeError::new(WHAT, rule).into());
        }
        Ok(Self { kind, bound: *bound, data: data.to_vec() })
    }
}

impl EvidenceKind {
    fn from_u8(id: u8) -> Result<Self, DecodeError> {
        match id {
            1 => Ok(Self::OrgCredential),
            2 => Ok(Self::X509Svid),
            3 => Ok(Self::Score),
            _ => Err(DecodeError::new(
                WHAT,
                DecodeReason::Invalid("an unknown kind of evidence; a newer release may read it"),
            )),
        }
    }
}

/// Without the data: a credential in a log is one too many.
impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, bound, data } = self;
        f.debug_struct("Evidence")
            .field("kind", kind)
            .field("bound", bound)
            .field("data_len", &data.len())
            .finish()
    }
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct RawItem<'b> {
    #[n(0)]
    kind: u8,
    #[n(1)]
    bound: bool,
    #[cbor(b(2), with = "minicbor::bytes")]
    data: &'b [u8],
}

struct RawList<'b>(Vec<RawItem<'b>>);

impl<C> Encode<C> for RawList<'_> {
    fn encode<W: encode::Write>(
        &self,
        encoder: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        self.0.encode(encoder, context)
    }
}

impl<'b, C> Decode<'b, C> for RawList<'b> {
    fn decode(decoder: &mut Decoder<'b>, context: &mut C) -> Result<Self, decode::Error> {
        // EV-2: the count is checked before anything is allocated for the items.
        let count = decoder
            .array()?
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| *count <= EvidenceList::MAX_ITEMS)
            .ok_or(decode::Error::message("holds at most 8 items"))?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(RawItem::decode(decoder, context)?);
        }
        Ok(Self(items))
    }
}
