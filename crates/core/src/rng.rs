//! Drawing randomness: fallible, before anything else is changed.

use rand_core::TryCryptoRng;
use zeroize::Zeroizing;

use crate::{
    Error,
    secret::{Secret, equal},
};

/// Draws `N` bytes from `rng`.
///
/// # Errors
/// [`Error::Randomness`] when the generator fails, or gives nothing but zeros: for the lengths
/// used here that is a broken generator, never chance.
pub fn draw<const N: usize>(rng: &mut (impl TryCryptoRng + ?Sized)) -> Result<Secret<N>, Error> {
    let secret = Secret::try_init_with(|out: &mut [u8; N]| {
        rng.try_fill_bytes(out).map_err(|_| Error::Randomness)
    })?;
    // In constant time: a loop that stops early would tell how many zeros the secret begins with.
    if equal(secret.expose(), &[0; N]) {
        return Err(Error::Randomness);
    }
    Ok(secret)
}

/// Draws `A` bytes and `B` bytes by one call of `rng`, which may ask the operating system each time.
///
/// # Errors
/// As [`draw`], for either.
pub fn draw_two<const A: usize, const B: usize>(
    rng: &mut (impl TryCryptoRng + ?Sized),
) -> Result<(Secret<A>, Secret<B>), Error> {
    let mut both = Zeroizing::new(vec![0; A.saturating_add(B)]);
    rng.try_fill_bytes(&mut both).map_err(|_| Error::Randomness)?;
    let (a, b) = both.split_at_checked(A).unwrap_or_default();
    let (a, b) = (Secret::from_slice(a)?, Secret::from_slice(b)?);
    if equal(a.expose(), &[0; A]) || equal(b.expose(), &[0; B]) {
        return Err(Error::Randomness);
    }
    Ok((a, b))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        KeyStore, MemoryKeyStore,
        kem::KemSecret,
        keys::{EphemeralSecret, SigningKey, StaticSecret},
        keystore::{KeySeeds, KxId},
    };
    use sealwire_testkit::rng::{BrokenRng, Fault, FixedRng, SeededRng};

    /// Something that draws randomness; `None` when it made a key all the same.
    type Drawing = fn(&mut BrokenRng) -> Option<Error>;

    /// Everything that draws once.
    const SINGLE: [(&str, Drawing); 9] = [
        ("draw", |rng| draw::<16>(rng).err()),
        ("draw_two", |rng| draw_two::<32, 24>(rng).err()),
        ("Secret::random", |rng| Secret::<32>::random(rng).err()),
        ("SigningKey::generate", |rng| SigningKey::generate(rng).err()),
        ("StaticSecret::generate", |rng| StaticSecret::generate(rng).err()),
        ("EphemeralSecret::generate", |rng| EphemeralSecret::generate(rng).err()),
        ("KemSecret::generate", |rng| KemSecret::generate(rng).err()),
        ("KemPublic::encapsulate", |rng| {
            let key = KemSecret::generate(&mut SeededRng::new(1)).expect("randomness");
            key.public().encapsulate(rng).err()
        }),
        ("draw_distinct of one", |rng| draw_distinct::<1>(rng).err()),
    ];

    /// Everything that draws blocks that must differ, and how many.
    const SEVERAL: [(&str, Drawing, u32); 4] = [
        ("draw_distinct", |rng| draw_distinct::<3>(rng).err(), 3),
        ("KeySeeds::generate", |rng| KeySeeds::generate(rng).err(), 5),
        ("KeySeeds::add_set", |rng| seeds().add_set(rng).err(), 4),
        ("MemoryKeyStore::generate", |rng| MemoryKeyStore::generate(rng).err(), 5),
    ];

    fn seeds() -> KeySeeds {
        KeySeeds::generate(&mut SeededRng::new(1)).expect("randomness")
    }

    fn all() -> impl Iterator<Item = (&'static str, Drawing)> {
        SINGLE.into_iter().chain(SEVERAL.map(|(name, drawing, _)| (name, drawing)))
    }

    // attack T31
    #[test]
    fn a_generator_that_fails_makes_no_key() {
        for (name, drawing) in all() {
            let error = drawing(&mut BrokenRng::new(Fault::Always));
            assert_eq!(error, Some(Error::Randomness), "{name}");
        }
    }

    // attack T31
    #[test]
    fn a_generator_that_gives_zeros_makes_no_key() {
        for (name, drawing) in all() {
            let error = drawing(&mut BrokenRng::new(Fault::Zero));
            assert_eq!(error, Some(Error::Randomness), "{name}");
        }
    }

    // attack T31
    #[test]
    fn a_generator_that_fails_at_any_one_call_makes_no_key() {
        for (name, drawing) in SINGLE {
            let error = drawing(&mut BrokenRng::new(Fault::Once(0)));
            assert_eq!(error, Some(Error::Randomness), "{name}");
        }
        for (name, drawing, calls) in SEVERAL {
            for failing in 0..calls {
                let mut rng = BrokenRng::new(Fault::Once(failing));
                assert_eq!(drawing(&mut rng), Some(Error::Randomness), "{name}, call {failing}");
                assert_eq!(rng.calls(), failing + 1, "{name} stops at the failure");
            }
            let mut rng = BrokenRng::new(Fault::Once(calls));
            assert_eq!(drawing(&mut rng), None, "{name} calls {calls} times");
        }
    }

    // attack T31
    #[test]
    fn a_generator_that_repeats_itself_makes_no_set_of_keys() {
        for (name, drawing, _) in SEVERAL {
            let error = drawing(&mut BrokenRng::new(Fault::Repeating));
            assert_eq!(error, Some(Error::Randomness), "{name}");
        }
    }

    // attack T31: randomness is drawn before anything changes.
    #[test]
    fn a_failed_draw_leaves_the_seeds_as_they_were() {
        let faults = (0..4).map(Fault::Once);
        for fault in faults.chain([Fault::Always, Fault::Repeating, Fault::Zero]) {
            let mut seeds = seeds();
            let before = seeds.to_bytes();
            assert_eq!(seeds.add_set(&mut BrokenRng::new(fault)), Err(Error::Randomness));
            assert_eq!(seeds.to_bytes(), before, "{fault:?}");
            assert_eq!(seeds.add_set(&mut SeededRng::new(2)).map(KxId::get), Ok(2), "{fault:?}");
        }
    }

    // attack T31
    #[test]
    fn two_values_of_one_call_are_both_looked_at() {
        let draw = |from: usize, to: usize| {
            let mut bytes = [0; 56];
            bytes[from..to].fill(7);
            draw_two::<32, 24>(&mut FixedRng::new(&bytes))
        };
        for (from, to) in [(0, 32), (32, 56)] {
            assert_eq!(draw(from, to).map(drop), Err(Error::Randomness), "{from}");
        }
        let (a, b) = draw(31, 33).expect("a byte each that is not zero");
        assert_eq!((a.expose()[31], b.expose()[0]), (7, 7));
        assert!(draw_two::<32, 25>(&mut FixedRng::new(&[7; 56])).is_err());
    }

    #[test]
    fn a_sound_generator_is_taken_as_it_is() {
        let mut rng = SeededRng::new(5);
        let [a, b] = draw_distinct::<2>(&mut rng).expect("randomness");
        let both = draw::<64>(&mut SeededRng::new(5)).expect("randomness");
        assert_eq!([*a.expose(), *b.expose()].concat(), both.expose());
        let store = MemoryKeyStore::generate(&mut rng).expect("randomness");
        let other = MemoryKeyStore::generate(&mut rng).expect("randomness");
        assert_ne!(store.identity(), other.identity());
    }
}
