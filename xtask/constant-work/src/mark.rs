//! What memcheck takes for secret. To memcheck, "secret" is "not initialised": it follows such
//! bits through registers and memory and reports a branch or an address that depends on them.

use std::ffi::c_void;
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

/// Makes public what lies in a value itself, and not what it points to. Secrets of the library are
/// in boxes: what is left are ids, counters, hashes and public keys.
///
/// The borrow is exclusive, so that the compiler does not go on with an earlier copy of the value.
pub(crate) fn show_inline<T>(value: &mut T) {
    mark_at(std::ptr::from_mut(value).cast(), size_of::<T>(), MemState::Defined);
}

/// Whether bytes are public.
pub(crate) fn is_public(bytes: &[u8]) -> bool {
    memcheck::is_defined(bytes.as_ptr().cast_mut().cast(), bytes.len()).is_ok()
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
    mark_at(bytes.as_ptr().cast_mut().cast(), bytes.len(), state);
}

fn mark_at(start: *mut c_void, len: usize, state: MemState) {
    // It fails outside valgrind only, where nothing is checked and main has said so.
    let _ = memcheck::mark_mem(start, len, state);
}
