//! Overwriting memory that other crates leave behind.
//!
//! snow, libcrux and parts of aws-lc keep key material in plain structures and do not clear
//! them. [`Wiped`] keeps such a structure in one heap allocation that is overwritten after its
//! destructor ran, and [`stack`] overwrites the stack that a call used. [`WipedVec`] holds bytes
//! of ours that are many.

mod heap;

pub use heap::WipedVec;

use core::{
    fmt,
    mem::{ManuallyDrop, MaybeUninit},
    ops::{Deref, DerefMut},
};

use zeroize::optimization_barrier;

/// How much stack below the caller [`deep_stack`] overwrites, in bytes.
///
/// The deepest call that matters, ML-KEM key generation, goes down 35 KiB.
pub const DEEP_BYTES: usize = 64 * 1024;

/// How much stack below the caller [`stack`] overwrites, in bytes: what fits beside the rest in
/// a processor's first cache. A handshake makes some forty such calls.
///
/// The deepest call but those of ML-KEM goes down 4 KiB.
pub const STACK_BYTES: usize = 16 * 1024;

/// A boxed value whose memory is overwritten with zeros after it is dropped.
///
/// ```
/// use sealwire_core::wipe::Wiped;
/// let mut state = Wiped::new([1u8; 64]);
/// state[0] = 2;
/// assert_eq!(state[0], 2);
/// assert_eq!(format!("{state:?}"), "Wiped(..)");
/// ```
pub struct Wiped<T>(ManuallyDrop<Box<T>>);

impl<T> Wiped<T> {
    /// Moves `value` to the heap. The stack it came from is the caller's to clear: see [`stack`].
    pub fn new(value: T) -> Self {
        Self(ManuallyDrop::new(Box::new(value)))
    }
}

impl<T> Deref for Wiped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Wiped<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> fmt::Debug for Wiped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wiped(..)")
    }
}

impl<T> Drop for Wiped<T> {
    fn drop(&mut self) {
        // SAFETY: the box is taken once, here, and `self.0` is not used again.
        let raw = Box::into_raw(unsafe { ManuallyDrop::take(&mut self.0) });
        // SAFETY: `raw` came from a box of T, is valid and aligned, and is dropped once. What
        // remains are bytes without a type, owned by a box of the same layout, which frees
        // them after they were overwritten. Any bit pattern is a valid MaybeUninit<u8>.
        let mut rest = unsafe {
            core::ptr::drop_in_place(raw);
            Box::from_raw(raw.cast::<MaybeUninit<T>>())
        };
        zeroize_uninit(&mut rest);
    }
}

/// Overwrites bytes with zeros, all at once and in a way that is not optimised away: `Zeroize`
/// writes one byte after another, which for some KiB takes as long as opening them did.
pub fn bytes(bytes: &mut [u8]) {
    bytes.fill(0);
    optimization_barrier(bytes);
}

/// As [`bytes`], for a value without a type.
fn zeroize_uninit<T>(value: &mut MaybeUninit<T>) {
    let start = value.as_mut_ptr().cast::<MaybeUninit<u8>>();
    // SAFETY: a MaybeUninit<T> is size_of::<T>() bytes, each of them a valid MaybeUninit<u8>,
    // and the borrow of `value` is exclusive for as long as `bytes` lives.
    let bytes = unsafe { core::slice::from_raw_parts_mut(start, size_of::<T>()) };
    bytes.fill(MaybeUninit::new(0));
    optimization_barrier(bytes);
}

/// Calls `work` and then overwrites the [`STACK_BYTES`] of stack below this frame.
pub fn stack<R>(work: impl FnOnce() -> R) -> R {
    let result = apart(work);
    overwrite::<STACK_BYTES>();
    result
}

/// As [`stack`], with [`DEEP_BYTES`]: for ML-KEM, and for what moves large structures.
pub fn deep_stack<R>(work: impl FnOnce() -> R) -> R {
    let result = apart(work);
    overwrite::<DEEP_BYTES>();
    result
}

/// As [`deep_stack`], for work that says beside its result whether there were any secrets.
pub fn deep_stack_if<R>(work: impl FnOnce() -> (R, bool)) -> R {
    let (result, secrets) = apart(work);
    if secrets {
        overwrite::<DEEP_BYTES>();
    }
    result
}

/// Keeps the frames of `work` below the frame of its caller.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[inline(never)]
fn overwrite<const BYTES: usize>() {
    // One memset, kept by the black box: a volatile store for each byte would take longer than
    // the key agreement before it. A variable, and borrowed as mutable: a reference to the bare
    // array would be to a constant, and nothing would be written to the stack.
    let mut frame = [0u8; BYTES];
    core::hint::black_box(&mut frame);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Noisy<'a>(&'a Cell<u32>, [u8; 32]);

    impl Drop for Noisy<'_> {
        fn drop(&mut self) {
            assert_eq!(self.1, [7; 32], "the value is intact while its destructor runs");
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn the_destructor_runs_once_before_the_overwrite() {
        let drops = Cell::new(0);
        drop(Wiped::new(Noisy(&drops, [7; 32])));
        assert_eq!(drops.get(), 1);
    }

    #[test]
    fn overwriting_clears_every_byte() {
        let mut value = MaybeUninit::new([0xA5u8; 200]);
        zeroize_uninit(&mut value);
        // SAFETY: the array was initialised, and zeros are valid bytes.
        assert_eq!(unsafe { value.assume_init() }, [0; 200]);
    }

    /// A mark on the stack is a number under this: the number itself may be there anyhow.
    const MASK: u64 = 0x5EA1_317E_0BAD_C0DE;

    /// Leaves a mark on the stack, `BYTES` below the caller.
    #[inline(never)]
    fn leave_mark<const BYTES: usize>(number: u64) {
        let mut frame = [0u8; BYTES];
        if let Some(deepest) = frame.first_chunk_mut() {
            *deepest = (number ^ MASK).to_ne_bytes();
        }
        core::hint::black_box(&mut frame);
    }

    /// Whether a mark is on the stack below the caller, as the kernel sees it.
    #[cfg(target_os = "linux")]
    #[inline(never)]
    fn is_marked(number: u64) -> bool {
        use std::os::unix::fs::FileExt;
        let memory = std::fs::File::open("/proc/self/mem").expect("a process may look at itself");
        let mut below = vec![0u8; 2 * DEEP_BYTES];
        let here = core::ptr::from_ref(&below).addr();
        let start = u64::try_from(here - below.len()).expect("64 bits");
        memory.read_exact_at(&mut below, start).expect("a stack that has been used is there");
        let mut words =
            below.windows(8).map(|word| u64::from_ne_bytes(word.try_into().expect("8")));
        words.any(|word| word ^ MASK == number)
    }

    // attack T35: a constant array in place of the variable overwrites nothing at all.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_call_left_on_the_stack_is_gone() {
        const NEAR: usize = STACK_BYTES - 1024;
        const FAR: usize = DEEP_BYTES - 1024;
        std::hint::black_box([1u8; 3 * DEEP_BYTES]);
        leave_mark::<NEAR>(1);
        assert!(is_marked(1), "the control: a mark can be seen");
        stack(|| leave_mark::<NEAR>(2));
        assert!(!is_marked(2));
        stack(|| leave_mark::<FAR>(3));
        assert!(is_marked(3), "the control: further down than is overwritten");
        deep_stack(|| leave_mark::<FAR>(4));
        assert!(!is_marked(4));
        deep_stack_if(|| (leave_mark::<FAR>(5), true));
        assert!(!is_marked(5));
        deep_stack_if(|| (leave_mark::<FAR>(6), false));
        assert!(is_marked(6));
    }

    #[test]
    fn stack_returns_the_result() {
        assert_eq!(stack(|| 40 + 2), 42);
        assert_eq!(deep_stack(|| 40 + 2), 42);
        assert_eq!(deep_stack_if(|| (40 + 2, true)), 42);
    }
}
