//! What memcheck takes for secret. To memcheck, "secret" is "not initialised": it follows such
//! bits through registers and memory and reports a branch or an address that depends on them.

use std::hint::black_box;

use crabgrind::memcheck::{self, MemState};
use sealwire_core::secret::Secret;

/// Makes bytes secret, where they lie.
pub(crate) fn hide(bytes: &[u8]) {
    mark(bytes, MemState::Undefined);
}

/// Makes bytes public, where they lie.
pub(crate) fn show(bytes: &[u8]) {
    mark(bytes, MemState::Defined);
}

/// A yes or no that the world may learn.
pub(crate) fn shown(verdict: bool) -> bool {
    let byte = black_box([u8::from(verdict)]);
    show(&byte);
    black_box(byte) == [1]
}

/// A secret of `N` bytes, none of them alike.
pub(crate) fn secret<const N: usize>(first: u8) -> Secret<N> {
    let secret = Secret::init_with(|bytes: &mut [u8; N]| {
        for (index, byte) in (0u8..).zip(bytes) {
            *byte = first.wrapping_add(index.wrapping_mul(151));
        }
    });
    hide(secret.expose());
    secret
}

fn mark(bytes: &[u8], state: MemState) {
    let start = bytes.as_ptr().cast_mut().cast();
    // It fails outside valgrind only, where nothing is checked and main has said so.
    let _ = memcheck::mark_mem(start, bytes.len(), state);
}
