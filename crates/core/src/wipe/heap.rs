//! Bytes that are many: overwritten in one go.

use core::{
    fmt,
    mem::MaybeUninit,
    ops::{Deref, DerefMut},
};

use zeroize::{ZeroizeOnDrop, optimization_barrier};

/// Bytes on the heap that are overwritten with zeros when they are dropped, and all the room
/// behind them.
///
/// As `Zeroizing<Vec<u8>>`, which overwrites them one by one: of a buffer of some KiB that takes
/// half as long as the encryption of what was in it. Allocate all of it first, since a vector
/// that grows leaves copies behind.
///
/// ```
/// use sealwire_core::wipe::WipedVec;
/// let mut bytes = WipedVec::with_capacity(64);
/// bytes.extend_from_slice(b"plain");
/// assert_eq!(*bytes, b"plain");
/// assert_eq!(format!("{bytes:?}"), "WipedVec(..)");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WipedVec(Vec<u8>);

impl WipedVec {
    /// No bytes yet, and room for so many.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// So many zeros.
    pub fn zeroed(len: usize) -> Self {
        Self(vec![0; len])
    }
}

impl From<Vec<u8>> for WipedVec {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for WipedVec {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for WipedVec {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl AsRef<[u8]> for WipedVec {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WipedVec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WipedVec(..)")
    }
}

impl Drop for WipedVec {
    fn drop(&mut self) {
        self.0.clear();
        let room = self.0.spare_capacity_mut();
        room.fill(MaybeUninit::new(0));
        // What the barrier may read must have been written, though it is freed next.
        optimization_barrier(room);
    }
}

impl ZeroizeOnDrop for WipedVec {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wipe::bytes;

    #[test]
    fn every_byte_is_overwritten() {
        let mut all = [0xA5; 100];
        bytes(&mut all[1..99]);
        assert_eq!((all[0], all[99]), (0xA5, 0xA5));
        assert_eq!(all[1..99], [0; 98]);
    }

    /// How many words of a vector are in memory once `end` has dropped it, as the kernel sees it.
    #[cfg(target_os = "linux")]
    fn left(visible: usize, end: impl FnOnce(Vec<u8>)) -> usize {
        use std::os::unix::fs::FileExt;
        const WORD: [u8; 8] = 0x5EA1_0B17_E5BA_D001_u64.to_ne_bytes();
        let memory = std::fs::File::open("/proc/self/mem").expect("a process may look at itself");
        // Before, so that it does not lie where the other one was; and what is allocated last
        // keeps the allocator from giving the memory back.
        let mut found = vec![0; 8 * WORDS];
        let mut buffer: Vec<u8> = WORD.iter().copied().cycle().take(8 * WORDS).collect();
        let behind = vec![1_u8; 64];
        let address = u64::try_from(buffer.as_ptr().addr()).expect("64 bits");
        buffer.truncate(visible);
        end(buffer);
        memory.read_exact_at(&mut found, address).expect("the heap keeps what it was given");
        drop(behind);
        found.chunks_exact(8).filter(|word| **word == WORD).count()
    }

    #[cfg(target_os = "linux")]
    const WORDS: usize = 2048;

    // attack T35: freed memory that nobody reads is memory that a compiler need not overwrite.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_dropped_is_gone_from_the_heap() {
        assert!(left(8 * WORDS, drop) > WORDS / 2, "the control: it can be seen");
        for visible in [0, 1, WORDS, 8 * WORDS] {
            assert_eq!(left(visible, |bytes| drop(WipedVec::from(bytes))), 0, "{visible}");
        }
        assert_eq!(left(8 * WORDS, |mut all| bytes(&mut all)), 0);
    }
}
