//! Padding: content is hidden among a few fixed sizes.

use crate::{DecodeError, DecodeReason, Error};

/// The sizes of whole relay frames, in bytes. Larger content is split.
pub const FRAME_CLASSES: [usize; 4] = [2 * 1024, 4 * 1024, 16 * 1024, 64 * 1024];

/// The smallest of [`FRAME_CLASSES`] that holds `frame_len` bytes, `None` when none does.
pub fn frame_class(frame_len: usize) -> Option<usize> {
    FRAME_CLASSES.into_iter().find(|class| *class >= frame_len)
}

/// Pads to `padded_len` bytes in place: content, 0x80, zeros.
///
/// # Errors
/// [`Error::Misuse`] when there is no room for the content and one byte more.
pub fn pad(content: &mut Vec<u8>, padded_len: usize) -> Result<(), Error> {
    if content.len() >= padded_len {
        return Err(Error::Misuse("padding needs at least one byte more than the content"));
    }
    content.reserve_exact(padded_len.saturating_sub(content.len()));
    content.push(0x80);
    content.resize(padded_len, 0);
    Ok(())
}

/// The content of a padded string: strips zeros and one 0x80.
///
/// # Errors
/// [`DecodeError`] when the last byte that is not zero is not 0x80.
pub fn unpad(padded: &[u8]) -> Result<&[u8], DecodeError> {
    let content =
        padded.iter().rposition(|byte| *byte != 0).and_then(|end| padded.split_at_checked(end));
    match content {
        Some((content, [0x80, ..])) => Ok(content),
        _ => Err(DecodeError::new("padding", DecodeReason::Invalid("ends in 0x80 and zeros"))),
    }
}

/// The PADMÉ length for content of `len` bytes: at most 12 % more, and the length tells only
/// O(log log len) bits. Source: "Reducing Metadata Leakage from Encrypted Files and
/// Communication with PURBs" (Nikitin et al., 2019), algorithm 1.
pub fn padme(len: usize) -> usize {
    let Some(exponent) = len.checked_ilog2() else { return len };
    let Some(bits) = exponent.checked_ilog2().map(|log| log.saturating_add(1)) else { return len };
    let mask = (1usize << exponent.saturating_sub(bits)).saturating_sub(1);
    len.checked_add(mask).map_or(len, |sum| sum & !mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn unpad_reverses_pad(content: Vec<u8>, extra in 1usize..300) {
            let mut padded = content.clone();
            pad(&mut padded, content.len() + extra).expect("room");
            prop_assert_eq!(padded.len(), content.len() + extra);
            prop_assert_eq!(unpad(&padded).expect("padded"), &content[..]);
        }

        #[test]
        fn padme_never_shrinks_and_costs_little(len in 0usize..1 << 40) {
            let padded = padme(len);
            prop_assert!(padded >= len);
            prop_assert!(padded - len <= len.div_ceil(8));
            prop_assert_eq!(padme(padded), padded);
        }
    }

    #[test]
    fn bad_padding_is_refused() {
        for (name, padded) in [
            ("empty", &[][..]),
            ("zeros only", &[0, 0, 0]),
            ("no marker", b"text"),
            ("another marker", &[1, 2, 0x81, 0]),
        ] {
            assert!(unpad(padded).is_err(), "{name}");
        }
    }

    #[test]
    fn no_room_is_misuse() {
        assert!(matches!(pad(&mut vec![1, 2], 2), Err(Error::Misuse(_))));
        assert!(matches!(pad(&mut vec![1, 2], 1), Err(Error::Misuse(_))));
    }

    // Worked out by hand from algorithm 1 of the paper: with e = floor(log2 len) and
    // s = floor(log2 e) + 1, the last e - s bits become zero, rounding up.
    #[test]
    fn padme_lengths_are_those_of_the_paper() {
        for (len, padded) in [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 3),
            (8, 8),
            (9, 10), // e = 3, s = 2: one bit.
            (15, 16),
            (100, 104),   // e = 6, s = 3: three bits.
            (1000, 1024), // e = 9, s = 4: five bits.
            (1025, 1088), // e = 10, s = 4: six bits.
            (usize::MAX, usize::MAX),
        ] {
            assert_eq!(padme(len), padded, "{len}");
        }
    }

    #[test]
    fn classes_are_the_smallest_that_fit() {
        for (len, class) in [
            (0, Some(2048)),
            (2048, Some(2048)),
            (2049, Some(4096)),
            (4097, Some(16_384)),
            (16_384, Some(16_384)),
            (16_385, Some(65_536)),
            (65536, Some(65536)),
            (65537, None),
        ] {
            assert_eq!(frame_class(len), class, "{len}");
        }
    }
}
