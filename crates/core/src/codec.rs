//! A bounded reader and writer for fixed layouts, and canonical CBOR.

use core::convert::Infallible;

use crate::{DecodeError, DecodeReason};

/// Reads a fixed layout from front to back. Every error names what was being read.
///
/// ```
/// use sealwire_core::codec::Reader;
/// let mut reader = Reader::new("greeting", &[0, 3, b'a', b'b', b'c']);
/// assert_eq!(reader.bytes16(8), Ok(&b"abc"[..]));
/// assert_eq!(reader.finish(), Ok(()));
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` as a `what`.
    pub const fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    /// An error at this place.
    pub const fn error(&self, reason: DecodeReason) -> DecodeError {
        DecodeError::new(self.what, reason)
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`DecodeReason::Truncated`].
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or(self.error(DecodeReason::Truncated))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`DecodeReason::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], DecodeError> {
        let (taken, rest) =
            self.rest.split_first_chunk().ok_or(self.error(DecodeReason::Truncated))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`DecodeReason::Truncated`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| *byte)
    }

    /// The next two bytes, big-endian.
    ///
    /// # Errors
    /// [`DecodeReason::Truncated`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// The next four bytes, big-endian.
    ///
    /// # Errors
    /// [`DecodeReason::Truncated`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// The next eight bytes, big-endian.
    ///
    /// # Errors
    /// [`DecodeReason::Truncated`].
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(|bytes| u64::from_be_bytes(*bytes))
    }

    /// A version byte that must be `expected`.
    ///
    /// # Errors
    /// [`DecodeReason::UnknownVersion`] for any other, [`DecodeReason::Truncated`].
    pub fn version(&mut self, expected: u8) -> Result<(), DecodeError> {
        match self.u8()? {
            found if found == expected => Ok(()),
            found => Err(self.error(DecodeReason::UnknownVersion(found))),
        }
    }

    /// A byte string behind its length as u16, of at most `max` bytes.
    ///
    /// # Errors
    /// [`DecodeReason::TooLong`], [`DecodeReason::Truncated`].
    pub fn bytes16(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let len = usize::from(self.u16()?);
        if len > max {
            return Err(self.error(DecodeReason::TooLong(max)));
        }
        self.take(len)
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`DecodeReason::Trailing`] when bytes remain.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error(DecodeReason::Trailing)) }
    }
}

/// Writes a fixed layout.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty writer.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// An empty writer with room for `len` bytes.
    pub fn with_capacity(len: usize) -> Self {
        Self(Vec::with_capacity(len))
    }

    /// Appends bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    /// Appends two bytes, big-endian.
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends four bytes, big-endian.
    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Decodes CBOR (RFC 8949) of at most `max` bytes and refuses every encoding but the one that
/// [`to_cbor`] gives: definite lengths, shortest integers, nothing behind the value.
///
/// # Errors
/// [`DecodeError`] that names `what`.
pub fn from_cbor<'a, T>(what: &'static str, bytes: &'a [u8], max: usize) -> Result<T, DecodeError>
where
    T: minicbor::Decode<'a, ()> + minicbor::Encode<()>,
{
    let error = |reason| DecodeError::new(what, reason);
    if bytes.len() > max {
        return Err(error(DecodeReason::TooLong(max)));
    }
    let mut decoder = minicbor::Decoder::new(bytes);
    let value: T = decoder.decode().map_err(|failure| {
        error(if failure.is_end_of_input() {
            DecodeReason::Truncated
        } else {
            DecodeReason::Invalid("not the expected CBOR")
        })
    })?;
    if decoder.position() != bytes.len() {
        return Err(error(DecodeReason::Trailing));
    }
    // Held against the input piece by piece: a card is not built a second time to compare it.
    let mut expected = Expected(bytes);
    if minicbor::encode(&value, &mut expected).is_err() || !expected.0.is_empty() {
        return Err(error(DecodeReason::NonCanonical));
    }
    Ok(value)
}

/// Takes what is written if these bytes come next.
struct Expected<'a>(&'a [u8]);

/// Something else was written.
struct Differs;

impl minicbor::encode::Write for Expected<'_> {
    type Error = Differs;

    fn write_all(&mut self, written: &[u8]) -> Result<(), Differs> {
        self.0 = self.0.strip_prefix(written).ok_or(Differs)?;
        Ok(())
    }
}

/// How much is written.
struct Length(usize);

impl minicbor::encode::Write for Length {
    type Error = Infallible;

    fn write_all(&mut self, written: &[u8]) -> Result<(), Infallible> {
        self.0 = self.0.saturating_add(written.len());
        Ok(())
    }
}

/// The canonical CBOR of `value`.
pub fn to_cbor<T: minicbor::Encode<()>>(value: &T) -> Vec<u8> {
    // Room for all of it first: what is written is mostly keys and cards, to be copied once.
    let mut len = Length(0);
    let _: Result<(), _> = minicbor::encode(value, &mut len);
    let mut bytes = Vec::with_capacity(len.0);
    // Writing to a Vec cannot fail, and the derived encoders raise no error of their own.
    let _: Result<(), _> = minicbor::encode(value, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // A trailing `None` is left out by the encoder, so `maybe` stands in the middle.
    #[derive(Debug, PartialEq, minicbor::Encode, minicbor::Decode)]
    #[cbor(array)]
    struct Sample<'a> {
        #[n(0)]
        number: u64,
        #[n(1)]
        maybe: Option<u8>,
        #[cbor(b(2), with = "minicbor::bytes")]
        bytes: &'a [u8],
    }

    proptest! {
        #[test]
        fn cbor_round_trips_and_every_cut_is_refused(number: u64, bytes: Vec<u8>, maybe: Option<u8>) {
            let sample = Sample { number, bytes: &bytes, maybe };
            let encoded = to_cbor(&sample);
            prop_assert_eq!(from_cbor::<Sample<'_>>("sample", &encoded, 1 << 16).expect("own encoding"), sample);
            for cut in 0..encoded.len() {
                prop_assert!(from_cbor::<Sample<'_>>("sample", &encoded[..cut], 1 << 16).is_err());
            }
        }
    }

    #[test]
    fn other_encodings_of_the_same_value_are_refused() {
        let refused = |hex: &str| {
            let bytes = hex::decode(hex).expect("hex");
            from_cbor::<Sample<'_>>("sample", &bytes, 64).expect_err(hex).reason()
        };
        let plain = hex::decode("8305f64161").expect("hex");
        assert!(from_cbor::<Sample<'_>>("sample", &plain, 64).is_ok());
        assert_eq!(refused("831805f64161"), DecodeReason::NonCanonical);
        assert_eq!(refused("9f05f64161ff"), DecodeReason::NonCanonical);
        assert_eq!(refused("8305f6416100"), DecodeReason::Trailing);
        assert_eq!(refused("8405f6416100"), DecodeReason::NonCanonical);
        assert_eq!(refused("8305f6"), DecodeReason::Truncated);
        assert_eq!(refused(&"00".repeat(65)), DecodeReason::TooLong(64));
    }

    /// A layout with every kind of field; no two bytes of a number are alike.
    const LAYOUT: [u8; 22] =
        [1, 9, 2, 3, 4, 5, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0, 3, 7, 8, 9, 10];

    #[test]
    fn numbers_are_big_endian_and_fields_follow_each_other() {
        let mut reader = Reader::new("layout", &LAYOUT);
        assert_eq!(reader.version(1), Ok(()));
        assert_eq!(reader.u8(), Ok(9));
        assert_eq!(reader.u16(), Ok(0x0203));
        assert_eq!(reader.u32(), Ok(0x0405_0607));
        assert_eq!(reader.u64(), Ok(0x1011_1213_1415_1617));
        assert_eq!(reader.clone().take(5), Ok(&[0, 3, 7, 8, 9][..]));
        assert_eq!(reader.bytes16(3), Ok(&[7, 8, 9][..]));
        assert_eq!(reader.rest(), [10]);
        assert_eq!(reader.array(), Ok(&[10]));
        assert_eq!(reader.clone().take(1).expect_err("cut").reason(), DecodeReason::Truncated);
        assert_eq!(reader.finish(), Ok(()));

        let mut writer = Writer::new();
        writer.u8(1).u8(9).u16(0x0203).u32(0x0405_0607).u64(0x1011_1213_1415_1617);
        writer.u16(3).bytes(&[7, 8, 9]).bytes(&[10]);
        assert_eq!(writer.into_bytes(), LAYOUT);
    }

    #[test]
    fn a_value_as_long_as_its_bound_is_read() {
        let plain = hex::decode("8305f64161").expect("hex");
        assert!(from_cbor::<Sample<'_>>("sample", &plain, 5).is_ok());
        let error = from_cbor::<Sample<'_>>("sample", &plain, 4).expect_err("too long");
        assert_eq!((error.what(), error.reason()), ("sample", DecodeReason::TooLong(4)));
    }

    #[test]
    fn the_reader_names_what_it_reads() {
        let mut reader = Reader::new("greeting", &[2, 0, 9]);
        assert_eq!(
            reader.clone().version(1).expect_err("version").to_string(),
            "greeting: unknown version 2; a newer release may read it"
        );
        assert_eq!(reader.u8(), Ok(2));
        assert_eq!(
            reader.clone().u32().expect_err("cut").to_string(),
            "greeting: the input ends too early"
        );
        assert_eq!(reader.clone().bytes16(8).expect_err("long").reason(), DecodeReason::TooLong(8));
        assert_eq!(reader.finish().expect_err("rest").reason(), DecodeReason::Trailing);
    }
}
