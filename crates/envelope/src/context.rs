//! What an object is said to be: pairs of text that are bound to it.

use std::collections::{BTreeMap, btree_map::Entry};

use sealwire_core::{
    DecodeError, DecodeReason,
    codec::{Reader, Writer},
};

use crate::Error;

/// What errors call pairs.
const WHAT: &str = "context";

/// The pair that every object may have and that is never stored in it.
pub const TENANT: &str = "tenant";

/// Pairs of text: sorted by name, no name twice.
///
/// Names and values are compared byte by byte. Text that looks alike and is written in other
/// characters is other text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(BTreeMap<String, String>);

/// The context of an object that is sealed: pairs that stand in its header in clear, and pairs
/// that whoever opens it must know.
///
/// ```
/// use sealwire_envelope::Context;
/// # fn main() -> Result<(), sealwire_envelope::Error> {
/// let context = Context::new([("tenant", "acme"), ("content-type", "text/plain")])?;
/// assert_eq!(context.stored().get("content-type"), Some("text/plain"));
/// assert_eq!(context.stored().get("tenant"), None);
/// assert_eq!(context.required().get("tenant"), Some("acme"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    stored: Pairs,
    required: Pairs,
}

impl Context {
    /// A context in which `tenant`, where it is given, is required, and all else is stored.
    ///
    /// # Errors
    /// As [`Context::requiring`].
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        Self::requiring(&[], pairs)
    }

    /// A context in which the pairs with these names are required, and `tenant` too.
    ///
    /// # Errors
    /// [`Error::Decode`] for a name that is empty, too long or stands twice, and for more or
    /// longer pairs than [`Pairs::MAX`] and [`Pairs::MAX_LEN`] allow.
    pub fn requiring<'a>(
        names: &[&str],
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        let mut all = Pairs::default();
        for (name, value) in pairs {
            all.insert(name, value)?;
        }
        // ENV-4
        let is_required = |(name, _): &(String, String)| name == TENANT || names.contains(&&**name);
        let (required, stored) = all.0.into_iter().partition(is_required);
        Ok(Self { stored: Pairs(stored), required: Pairs(required) })
    }

    /// The context of an object that is sealed anew: the pairs of its header, and those that
    /// opened it.
    ///
    /// # Errors
    /// [`Error::Misuse`] for pairs that no object has together.
    pub fn from_parts(stored: &Pairs, required: &Pairs) -> Result<Self, Error> {
        // ENV-3, ENV-4
        if stored.get(TENANT).is_some() || !stored.fit_beside(required) {
            return Err(Error::Misuse("pairs that one object has"));
        }
        Ok(Self { stored: stored.clone(), required: required.clone() })
    }

    /// The pairs that stand in the header, in clear.
    pub const fn stored(&self) -> &Pairs {
        &self.stored
    }

    /// The pairs that are bound and not stored.
    pub const fn required(&self) -> &Pairs {
        &self.required
    }
}

impl Pairs {
    /// Most pairs of an object, stored and required together: enough to describe an object, and
    /// few enough to be read by a person.
    pub const MAX: usize = 32;
    /// Most bytes of all pairs of an object, as [`Pairs::to_bytes`] writes them: a reader holds
    /// them before it has checked anything.
    pub const MAX_LEN: usize = 8 * 1024;
    /// Most bytes of a name.
    pub const MAX_NAME_LEN: usize = 128;

    /// These pairs.
    ///
    /// # Errors
    /// As [`Pairs::insert`].
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let mut all = Self::default();
        for (name, value) in pairs {
            all.insert(name, value)?;
        }
        Ok(all)
    }

    /// Adds a pair.
    ///
    /// # Errors
    /// [`Error::Decode`] for a name that is empty, too long, holds a control character or is
    /// there already, and where there would be too many pairs or too many bytes.
    pub fn insert(&mut self, name: &str, value: &str) -> Result<(), Error> {
        Ok(self.add(name, value)?)
    }

    // ENV-3
    fn add(&mut self, name: &str, value: &str) -> Result<(), DecodeError> {
        let refuse = |rule| Err(DecodeError::new(WHAT, DecodeReason::Invalid(rule)));
        let control = name.chars().any(char::is_control);
        if name.is_empty() || name.len() > Self::MAX_NAME_LEN || control {
            return refuse("a name has 1 to 128 bytes and no control characters");
        }
        if self.0.len() >= Self::MAX {
            return refuse("has at most 32 pairs");
        }
        let len = self.encoded_len().saturating_add(pair_len(name, value));
        if len > Self::MAX_LEN {
            return Err(DecodeError::new(WHAT, DecodeReason::TooLong(Self::MAX_LEN)));
        }
        match self.0.entry(name.to_owned()) {
            Entry::Occupied(_) => refuse("no name stands twice"),
            Entry::Vacant(entry) => {
                entry.insert(value.to_owned());
                Ok(())
            }
        }
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The pairs, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The tenant, or nothing where there is none.
    pub fn tenant(&self) -> &str {
        self.get(TENANT).unwrap_or_default()
    }

    /// Whether these and `other` can be the pairs of one object: no name in both, and no more of
    /// them than one object has.
    pub(crate) fn fit_beside(&self, other: &Self) -> bool {
        self.len().saturating_add(other.len()) <= Self::MAX
            && self.encoded_len().saturating_add(other.encoded_len()) <= Self::MAX_LEN
            && !self.0.keys().any(|name| other.0.contains_key(name))
    }

    fn encoded_len(&self) -> usize {
        self.iter().map(|(name, value)| pair_len(name, value)).sum()
    }

    /// `len16(name) | name | len16(value) | value` of each pair, in the order of the names.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        for text in self.iter().flat_map(|(name, value)| [name, value]) {
            // At most 8 KiB: see `add`.
            writer.u16(u16::try_from(text.len()).unwrap_or(u16::MAX)).bytes(text.as_bytes());
        }
        writer.into_bytes()
    }

    /// Reads what [`Pairs::to_bytes`] gave.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(WHAT, bytes);
        if bytes.len() > Self::MAX_LEN {
            return Err(reader.error(DecodeReason::TooLong(Self::MAX_LEN)));
        }
        let mut pairs = Self::default();
        while !reader.rest().is_empty() {
            let name = text(&mut reader)?;
            // ENV-3
            if pairs.0.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
                return Err(reader.error(DecodeReason::Invalid("names ascend")));
            }
            let value = text(&mut reader)?;
            pairs.add(name, value)?;
        }
        Ok(pairs)
    }
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let bytes = reader.bytes16(Pairs::MAX_LEN)?;
    core::str::from_utf8(bytes).map_err(|_| reader.error(DecodeReason::Invalid("is UTF-8")))
}

fn pair_len(name: &str, value: &str) -> usize {
    name.len().saturating_add(value.len()).saturating_add(4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invalid(rule: &'static str) -> DecodeError {
        DecodeError::new(WHAT, DecodeReason::Invalid(rule))
    }

    #[test]
    fn pairs_are_written_in_the_order_of_their_names() {
        let pairs = Pairs::new([("b", "2"), ("a", ""), ("B", "3")]).unwrap();
        assert_eq!(pairs.to_bytes(), b"\0\x01B\0\x013\0\x01a\0\0\0\x01b\0\x012");
        assert_eq!(Pairs::from_bytes(&pairs.to_bytes()), Ok(pairs));
        assert_eq!(Pairs::from_bytes(b""), Ok(Pairs::default()));
    }

    // ENV-3
    #[test]
    fn encodings_that_break_a_rule_are_refused() {
        let many: Vec<u8> = (0..33).flat_map(|n| [0, 1, b'0' + n, 0, 0]).collect();
        let cases: [(&str, &[u8], DecodeReason); 11] = [
            ("names descend", b"\0\x01b\0\0\0\x01a\0\0", DecodeReason::Invalid("names ascend")),
            ("a name twice", b"\0\x01a\0\0\0\x01a\0\0", DecodeReason::Invalid("names ascend")),
            ("cut in a name's length", b"\0", DecodeReason::Truncated),
            ("cut in a name", b"\0\x02a", DecodeReason::Truncated),
            ("cut before a value", b"\0\x01a", DecodeReason::Truncated),
            ("cut in a value", b"\0\x01a\0\x02b", DecodeReason::Truncated),
            ("no UTF-8 in a name", b"\0\x01\xFF\0\0", DecodeReason::Invalid("is UTF-8")),
            ("no UTF-8 in a value", b"\0\x01a\0\x01\xFF", DecodeReason::Invalid("is UTF-8")),
            (
                "an empty name",
                b"\0\0\0\0",
                DecodeReason::Invalid("a name has 1 to 128 bytes and no control characters"),
            ),
            ("33 pairs", &many, DecodeReason::Invalid("has at most 32 pairs")),
            ("too long", &[0; Pairs::MAX_LEN + 1], DecodeReason::TooLong(Pairs::MAX_LEN)),
        ];
        for (name, bytes, reason) in cases {
            assert_eq!(Pairs::from_bytes(bytes), Err(DecodeError::new(WHAT, reason)), "{name}");
        }
        assert_eq!(Pairs::from_bytes(&many[..5 * 32]).unwrap().len(), 32);
    }

    #[test]
    fn names_and_sizes_have_bounds() {
        let rule = "a name has 1 to 128 bytes and no control characters";
        for (name, expected) in [
            ("", Err(invalid(rule))),
            (&"n".repeat(129), Err(invalid(rule))),
            ("line\nfeed", Err(invalid(rule))),
            (&"n".repeat(128), Ok(())),
            ("twice", Err(invalid("no name stands twice"))),
        ] {
            let mut pairs = Pairs::new([("twice", "")]).unwrap();
            assert_eq!(pairs.add(name, "value"), expected, "{name:?}");
        }
        let longest = "v".repeat(Pairs::MAX_LEN - 5);
        assert!(Pairs::new([("n", &*longest)]).is_ok());
        assert!(Pairs::new([("nn", &*longest)]).is_err());
        // Together they are as long as one may be.
        let half = "v".repeat(Pairs::MAX_LEN / 2 - 5);
        let both = Pairs::new([("a", &*half), ("b", &*half)]).unwrap();
        assert!(Pairs::new([("a", &*half), ("bb", &*half)]).is_err());
        let (one, other) = (Pairs::new([("a", &*half)]).unwrap(), Pairs::new([("b", &*half)]));
        let longer = Pairs::new([("bb", &*half)]).unwrap();
        assert!(one.fit_beside(&other.unwrap()) && !one.fit_beside(&longer));
        assert!(!both.is_empty() && Pairs::default().is_empty());
    }

    // ENV-4
    #[test]
    fn the_tenant_is_never_stored_and_named_pairs_are_not_either() {
        let pairs = [("tenant", "acme"), ("case", "7"), ("type", "text")];
        let context = Context::requiring(&["case", "absent"], pairs).unwrap();
        assert_eq!(context.stored(), &Pairs::new([("type", "text")]).unwrap());
        assert_eq!(context.required(), &Pairs::new([("case", "7"), ("tenant", "acme")]).unwrap());
        assert_eq!(context.required().tenant(), "acme");
        assert_eq!(context.stored().tenant(), "");
        let again = Context::from_parts(context.stored(), context.required()).unwrap();
        assert_eq!(again, context);
        for (stored, required) in
            [(context.required(), context.stored()), (context.stored(), context.stored())]
        {
            assert!(matches!(Context::from_parts(stored, required), Err(Error::Misuse(_))));
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_again(bytes: Vec<u8>) {
            if let Ok(pairs) = Pairs::from_bytes(&bytes) {
                prop_assert_eq!(pairs.to_bytes(), bytes);
            }
        }

        #[test]
        fn pairs_survive_a_round_trip(
            texts in proptest::collection::btree_map("[a-z]{1,8}", ".{0,20}", 0..20),
        ) {
            let pairs = Pairs::new(texts.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
            prop_assert_eq!(Pairs::from_bytes(&pairs.to_bytes()), Ok(pairs));
        }
    }
}
