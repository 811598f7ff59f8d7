//! What both screens show.

use core::fmt;

use sealwire_core::{kdf::sha256, label::Label};

use super::{Code, Error};

/// The first and the last letter of a syllable, four bits each, and the vowel, two bits. Letters
/// that sound alike within a table are as few as 16 consonants allow.
const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 4] = b"aiou";

/// What both screens show: 40 bits, as four syllables that can be read aloud.
///
/// It is made of both cards and of what both sides drew, so that whoever is between the two
/// cannot choose it. Syllables, and no second row of characters like those of the code, so that
/// nobody compares the wrong thing.
///
/// ```
/// # use sealwire::pairing::Paired;
/// # fn compare(paired: &Paired) {
/// println!("Does the other screen say {}?", paired.phrase());
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Phrase([u8; 5]);

impl Phrase {
    /// The phrase of two sides, each with its card and its nonce.
    // PAIR-10
    pub(super) fn new(code: &Code, creator: [&[u8]; 2], joiner: [&[u8]; 2]) -> Result<Self, Error> {
        let ([creators, first], [joiners, second]) = (creator, joiner);
        let fields = [code.as_bytes(), creators, first, joiners, second];
        let digest = sha256(&[Label::PAIRING_PHRASE.context(None, &fields)?.as_bytes()]);
        let [a, b, c, d, e, ..] = digest;
        Ok(Self([a, b, c, d, e]))
    }
}

impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e] = self.0;
        let bits = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
        let letter = |table: &[u8], shift: u32| {
            let len = u64::try_from(table.len()).unwrap_or(1);
            let index = usize::try_from((bits >> shift) % len).unwrap_or_default();
            char::from(table.get(index).copied().unwrap_or_default())
        };
        for (at, shift) in [30, 20, 10, 0].into_iter().enumerate() {
            if at > 0 {
                f.write_str("-")?;
            }
            let [first, vowel, last] = [
                letter(CONSONANTS, shift + 6),
                letter(VOWELS, shift + 4),
                letter(CONSONANTS, shift),
            ];
            write!(f, "{first}{vowel}{last}")?;
        }
        Ok(())
    }
}

// A log line with the phrase in it could be taken for the comparison.
impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // PAIR-10
    #[test]
    fn every_bit_is_heard() {
        let said = |bits: u64| {
            let [_, _, _, bytes @ ..] = bits.to_be_bytes();
            Phrase(bytes).to_string()
        };
        assert_eq!(said(0), "bab-bab-bab-bab");
        assert_eq!(said((1 << 40) - 1), "zuz-zuz-zuz-zuz");
        let syllable = |first: u64, vowel: u64, last: u64| first << 6 | vowel << 4 | last;
        let syllables =
            [syllable(1, 1, 2), syllable(3, 2, 4), syllable(5, 3, 6), syllable(0, 0, 7)];
        let bits = syllables.into_iter().fold(0, |bits, syllable| bits << 10 | syllable);
        assert_eq!(said(bits), "dif-goh-juk-bal");
        let all: std::collections::BTreeSet<String> = (0..40).map(|bit| said(1 << bit)).collect();
        assert_eq!(all.len(), 40);
        let syllables: std::collections::BTreeSet<String> = (0..1024).map(said).collect();
        assert_eq!(syllables.len(), 1024);
    }
}
