//! Drawing randomness: fallible, before anything else is changed.

use rand_core::TryCryptoRng;

use crate::{Error, secret::Secret};

/// Draws `N` bytes from `rng`.
///
/// # Errors
/// [`Error::Randomness`] when the generator fails, or gives nothing but zeros: for the lengths
/// used here that is a broken generator, never chance.
pub fn draw<const N: usize>(rng: &mut (impl TryCryptoRng + ?Sized)) -> Result<Secret<N>, Error> {
    let secret = Secret::try_init_with(|out: &mut [u8; N]| {
        rng.try_fill_bytes(out).map_err(|_| Error::Randomness)
    })?;
    if secret.expose().iter().all(|byte| *byte == 0) {
        return Err(Error::Randomness);
    }
    Ok(secret)
}

/// Draws `COUNT` blocks of 32 bytes and refuses two that are equal.
///
/// A generator that repeats itself would make keys that should be independent the same.
///
/// # Errors
/// [`Error::Randomness`] as for [`draw`], or when two blocks are equal.
pub fn draw_distinct<const COUNT: usize>(
    rng: &mut (impl TryCryptoRng + ?Sized),
) -> Result<[Secret<32>; COUNT], Error> {
    let mut blocks: Vec<Secret<32>> = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let block = draw(rng)?;
        if blocks.contains(&block) {
            return Err(Error::Randomness);
        }
        blocks.push(block);
    }
    blocks.try_into().map_err(|_| Error::Unreachable("as many blocks as were drawn"))
}
