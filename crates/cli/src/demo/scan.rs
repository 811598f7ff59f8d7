//! Looks for what must not be on the wire, in a mailbox or on a disk.

use std::collections::HashSet;

/// Length of the pieces that are looked for, in bytes: long enough that chance never makes one.
pub(super) const PIECE: usize = 16;

/// Pieces with fewer different bytes than this are left out: runs of zeros or blanks prove
/// nothing when they are found.
const VARIETY: usize = 6;

/// Something that must not be seen, in pieces.
struct Needle {
    pieces: HashSet<[u8; PIECE]>,
    /// Which pairs of bytes a piece begins with, so that most offsets cost one look.
    starts: Vec<bool>,
}

impl Needle {
    /// Cuts up everything that must not be seen.
    fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut pieces = HashSet::new();
        for secret in secrets {
            pieces.extend(secret.as_chunks().0.iter().copied().filter(is_telling));
        }
        let mut starts = vec![false; 1 << 16];
        for piece in &pieces {
            if let Some(start) = starts.get_mut(start(piece)) {
                *start = true;
            }
        }
        Self { pieces, starts }
    }

    /// How many pieces are looked for.
    fn len(&self) -> usize {
        self.pieces.len()
    }

    /// How many places of `haystack` hold a piece, at whatever offset.
    fn count(&self, haystack: &[u8]) -> usize {
        haystack
            .windows(PIECE)
            .filter_map(|window| window.first_chunk::<PIECE>())
            .filter(|window| self.starts.get(start(window)) == Some(&true))
            .filter(|window| self.pieces.contains(*window))
            .count()
    }
}

/// A name, and what must not be seen.
pub(super) type Secret<'a> = (&'static str, Vec<&'a [u8]>);

/// Looks for each of the secrets. Says whether none was found, and what was found how often.
pub(super) fn look_for(seen: &[u8], secrets: &[Secret<'_>]) -> (bool, String) {
    let mut hidden = true;
    let mut said = Vec::new();
    for (what, secrets) in secrets {
        let needle = Needle::new(secrets.iter().copied());
        let found = needle.count(seen);
        // The control: the same search does find it where it stands in clear.
        let control = needle.count(&secrets.concat()) >= needle.len();
        hidden &= found == 0 && control;
        said.push(match needle.len() {
            0 => format!("{what} is too short or too plain to look for"),
            _ => format!("{what} {found} times"),
        });
    }
    (hidden, said.join("; "))
}

/// Whether a piece of something is there: what shows that the search would find it.
pub(super) fn is_there(seen: &[u8], what: &[u8]) -> bool {
    Needle::new([what]).count(seen) > 0
}

fn start(piece: &[u8; PIECE]) -> usize {
    let [first, second, ..] = piece;
    usize::from(u16::from_be_bytes([*first, *second]))
}

fn is_telling(piece: &[u8; PIECE]) -> bool {
    piece.iter().collect::<HashSet<_>>().len() >= VARIETY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_found_at_any_offset_and_nothing_else_is() {
        let secret: Vec<u8> = (0..200).collect();
        let needle = Needle::new([secret.as_slice()]);
        assert_eq!(needle.len(), 12);
        for offset in 0..40 {
            let haystack = [&vec![7; offset], &secret[16..32], &[9; 50]].concat();
            assert_eq!(needle.count(&haystack), 1, "{offset}");
        }
        assert_eq!(needle.count(&[7; 1000]), 0);
        assert_eq!(needle.count(&secret[1..16]), 0);
    }

    #[test]
    fn blank_pieces_are_left_out() {
        assert_eq!(Needle::new([&[0; 64][..], b"                "]).len(), 0);
    }
}
