//! Canonical CBOR in both directions. A list says how long it is before anything is allocated
//! for it, bytes are borrowed until a type takes them, and encoding never grows a buffer: what
//! is secret is nowhere but in the input, the value and the output.

use core::ops::RangeInclusive;

use minicbor::{
    Decoder,
    data::Type,
    encode::{Encoder, Error, Write},
};
use sealwire_core::{DecodeError, DecodeReason, secret::Secret};

/// What has one encoding.
pub(super) trait Item: Sized {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError>;
    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>>;
}

/// The value of which `bytes`, at most `max`, are the encoding.
// REL-4: whatever is not its own encoding is refused.
pub(super) fn decode<T: Item>(
    what: &'static str,
    bytes: &[u8],
    max: usize,
) -> Result<T, DecodeError> {
    let mut input = Input { what, decoder: Decoder::new(bytes) };
    if bytes.len() > max {
        return Err(input.error(DecodeReason::TooLong(max)));
    }
    let value = T::read(&mut input)?;
    if input.decoder.position() != bytes.len() {
        return Err(input.error(DecodeReason::Trailing));
    }
    let mut again = Encoder::new(Same(bytes));
    match value.write(&mut again) {
        Ok(()) if again.writer().0.is_empty() => Ok(value),
        _ => Err(input.error(DecodeReason::NonCanonical)),
    }
}

/// The encoding of `value`.
pub(super) fn encode(value: &impl Item) -> Vec<u8> {
    let mut counted = Encoder::new(Count(0));
    // Neither counting nor a Vec can fail, and no item raises an error of its own.
    let _: Result<(), _> = value.write(&mut counted);
    let mut out = Encoder::new(Vec::with_capacity(counted.writer().0));
    let _: Result<(), _> = value.write(&mut out);
    out.into_writer()
}

/// Bytes that are being decoded.
pub(super) struct Input<'a> {
    what: &'static str,
    decoder: Decoder<'a>,
}

impl<'a> Input<'a> {
    const fn error(&self, reason: DecodeReason) -> DecodeError {
        DecodeError::new(self.what, reason)
    }

    /// The error that names a broken rule.
    pub(super) const fn refuse(&self, rule: &'static str) -> DecodeError {
        self.error(DecodeReason::Invalid(rule))
    }

    /// The head of an array of `len` elements.
    pub(super) fn array(&mut self, len: u64) -> Result<(), DecodeError> {
        if self.head()? == len { Ok(()) } else { Err(self.refuse("an array of another length")) }
    }

    /// The head of an array that begins with the number of its kind: that number, and how many
    /// elements the array has.
    pub(super) fn tagged(&mut self) -> Result<(u64, u64), DecodeError> {
        let len = self.head()?;
        Ok((self.number(0..=u64::MAX, "the number of a kind")?, len))
    }

    /// A list with as many elements as `bounds` allows.
    pub(super) fn list<T: Item>(
        &mut self,
        bounds: RangeInclusive<usize>,
        rule: &'static str,
    ) -> Result<Vec<T>, DecodeError> {
        let len = usize::try_from(self.head()?).unwrap_or(usize::MAX);
        if !bounds.contains(&len) {
            return Err(self.refuse(rule));
        }
        (0..len).map(|_| T::read(self)).collect()
    }

    fn head(&mut self) -> Result<u64, DecodeError> {
        let len = self.decoder.array().map_err(|failure| self.failed(&failure, "an array"))?;
        len.ok_or(self.error(DecodeReason::NonCanonical))
    }

    /// A number within `bounds`.
    pub(super) fn number(
        &mut self,
        bounds: RangeInclusive<u64>,
        rule: &'static str,
    ) -> Result<u64, DecodeError> {
        let number = self.decoder.u64().map_err(|failure| self.failed(&failure, rule))?;
        if bounds.contains(&number) { Ok(number) } else { Err(self.refuse(rule)) }
    }

    /// A number that takes at most four bytes, within `bounds`.
    pub(super) fn small(
        &mut self,
        bounds: RangeInclusive<u32>,
        rule: &'static str,
    ) -> Result<u32, DecodeError> {
        let (low, high) = bounds.into_inner();
        let number = self.number(low.into()..=high.into(), rule)?;
        u32::try_from(number).map_err(|_| self.refuse(rule))
    }

    /// A truth.
    pub(super) fn truth(&mut self) -> Result<bool, DecodeError> {
        self.decoder.bool().map_err(|failure| self.failed(&failure, "a truth"))
    }

    /// Bytes, as many as `bounds` allows.
    pub(super) fn bytes(
        &mut self,
        bounds: RangeInclusive<usize>,
        rule: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let bytes = self.decoder.bytes().map_err(|failure| self.failed(&failure, rule))?;
        if bounds.contains(&bytes.len()) { Ok(bytes) } else { Err(self.refuse(rule)) }
    }

    /// `N` bytes.
    pub(super) fn fixed<const N: usize>(
        &mut self,
        rule: &'static str,
    ) -> Result<&'a [u8; N], DecodeError> {
        self.bytes(N..=N, rule)?.try_into().map_err(|_| self.refuse(rule))
    }

    /// A text.
    pub(super) fn text(&mut self, rule: &'static str) -> Result<&'a str, DecodeError> {
        self.decoder.str().map_err(|failure| self.failed(&failure, rule))
    }

    fn failed(&self, failure: &minicbor::decode::Error, rule: &'static str) -> DecodeError {
        if failure.is_end_of_input() {
            self.error(DecodeReason::Truncated)
        } else {
            self.refuse(rule)
        }
    }
}

/// Null where there is none: an element is never left out.
impl<T: Item> Item for Option<T> {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        match input.decoder.datatype() {
            Ok(Type::Null) => input
                .decoder
                .null()
                .map(|()| None)
                .map_err(|failure| input.failed(&failure, "null or a value")),
            _ => T::read(input).map(Some),
        }
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        match self {
            Some(value) => value.write(out),
            None => out.null().map(drop),
        }
    }
}

impl Item for Secret<32> {
    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let bytes: &[u8; 32] = input.fixed("a secret has 32 bytes")?;
        Ok(Self::init_with(|secret| secret.copy_from_slice(bytes)))
    }

    fn write<W: Write>(&self, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
        out.bytes(self.expose()).map(drop)
    }
}

/// The head of a list of `len` elements.
pub(super) fn head<W: Write>(len: usize, out: &mut Encoder<W>) -> Result<(), Error<W::Error>> {
    // A usize has at most 64 bits.
    out.array(u64::try_from(len).unwrap_or(u64::MAX)).map(drop)
}

/// A list, as [`Input::list`] reads it.
pub(super) fn list<T: Item, W: Write>(
    items: &[T],
    out: &mut Encoder<W>,
) -> Result<(), Error<W::Error>> {
    head(items.len(), out)?;
    items.iter().try_for_each(|item| item.write(out))
}

/// Counts what is written.
struct Count(usize);

impl Write for Count {
    type Error = core::convert::Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(())
    }
}

/// Compares what is written with what was read, and keeps nothing.
struct Same<'a>(&'a [u8]);

impl Write for Same<'_> {
    type Error = ();

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0 = self.0.strip_prefix(bytes).ok_or(())?;
        Ok(())
    }
}
