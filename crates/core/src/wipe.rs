//! Overwriting memory that other crates leave behind.
//!
//! snow, libcrux and parts of aws-lc keep key material in plain structures and do not clear
//! them. [`Wiped`] keeps such a structure in one heap allocation that is overwritten after its
//! destructor ran, and [`stack`] overwrites the stack that a call used.

use core::{
    cell::Cell,
    fmt,
    hint::black_box,
    mem::{ManuallyDrop, MaybeUninit},
    ops::{Deref, DerefMut},
    ptr,
};

use zeroize::Zeroize;

/// How much stack below the caller [`stack`] overwrites at least, in bytes.
///
/// The deepest call that matters, ML-KEM key generation, uses about 40 KiB in a release build.
pub const STACK_BYTES: usize = 64 * 1024;

/// How far below an outer call of [`stack`] an inner one may begin and still leave the
/// overwriting to it.
const NESTING_BYTES: usize = 16 * 1024;

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
            ptr::drop_in_place(raw);
            Box::from_raw(raw.cast::<MaybeUninit<T>>())
        };
        zeroize_uninit(&mut rest);
    }
}

/// Overwrites a value without a type, byte by byte, in a way that is not optimised away.
fn zeroize_uninit<T>(value: &mut MaybeUninit<T>) {
    let start = value.as_mut_ptr().cast::<MaybeUninit<u8>>();
    // SAFETY: a MaybeUninit<T> is size_of::<T>() bytes, each of them a valid MaybeUninit<u8>,
    // and the borrow of `value` is exclusive for as long as `bytes` lives.
    let bytes = unsafe { core::slice::from_raw_parts_mut(start, size_of::<T>()) };
    bytes.zeroize();
}

/// Calls `work` and then overwrites the [`STACK_BYTES`] of stack below this frame, after a panic
/// too.
///
/// A call inside another one leaves it to that one, if all it would overwrite lies in what that
/// one will: so the cost is paid once for a whole handshake step and not for every key in it.
pub fn stack<R>(work: impl FnOnce() -> R) -> R {
    let _scope = Scope::enter();
    apart(work)
}

std::thread_local! {
    /// The stack address of the outermost call of [`stack`] under way, or 0.
    static OUTERMOST: Cell<usize> = const { Cell::new(0) };
}

/// One call of [`stack`]. Overwrites when it ends, unless an outer one will.
struct Scope {
    /// What [`OUTERMOST`] was before.
    outer: usize,
    covered: bool,
}

impl Scope {
    #[inline(always)]
    fn enter() -> Self {
        let marker = 0u8;
        let here = ptr::from_ref(black_box(&marker)).addr();
        // Without thread-local storage, as at a thread's end, nobody else overwrites.
        let outer = OUTERMOST.try_with(Cell::get).unwrap_or(0);
        // Stacks grow down. An address above the outer one is another stack.
        let covered = outer.checked_sub(here).is_some_and(|below| below <= NESTING_BYTES);
        if !covered {
            let _ = OUTERMOST.try_with(|outermost| outermost.set(here));
        }
        Self { outer, covered }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if !self.covered {
            overwrite();
            let _ = OUTERMOST.try_with(|outermost| outermost.set(self.outer));
        }
    }
}

/// Keeps the frames of `work` below the frame of its caller.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Overwrites what a call of [`stack`] promises, and what a call inside it that left it to this
/// one promises.
#[inline(never)]
fn overwrite() {
    // One memset, kept by the black box: a volatile store for each byte would take longer than
    // the key agreement before it. The borrow is a mutable one: zeros behind a shared one are a
    // constant, which the compiler puts into the program and not on the stack.
    let mut zeros = [0u8; STACK_BYTES + NESTING_BYTES];
    black_box(&mut zeros);
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

    #[test]
    fn stack_returns_the_result() {
        assert_eq!(stack(|| 40 + 2), 42);
    }

    const PATTERN: u8 = 0xA7;

    /// Leaves [`PATTERN`] on the stack, `depth` bytes and more below the caller, and says where.
    #[inline(never)]
    fn leave(depth: usize) -> usize {
        if depth == 0 {
            let mut pattern = [PATTERN; 64];
            return ptr::from_mut(black_box(&mut pattern)).addr();
        }
        let mut room = [0u8; 1024];
        black_box(&mut room);
        let place = leave(depth.saturating_sub(1024));
        black_box(&mut room);
        place
    }

    /// How many bytes of a pattern stand at a place of this process's memory, read through the
    /// kernel: no reference to a dead frame is made.
    #[cfg(target_os = "linux")]
    fn pattern_at(place: usize) -> usize {
        use std::os::unix::fs::FileExt;
        let memory = std::fs::File::open("/proc/self/mem").expect("Linux has it");
        let mut bytes = [0; 64];
        memory.read_exact_at(&mut bytes, place as u64).expect("a stack is mapped");
        bytes.iter().filter(|byte| **byte == PATTERN).count()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_call_left_on_the_stack_is_overwritten() {
        for depth in [0, 8, 24, 40, 56].map(|kib| kib * 1024) {
            // The control: without overwriting, what lies deeper than the next calls stays.
            let left = pattern_at(apart(|| leave(depth + 16 * 1024)));
            assert!(left > 32, "{depth}: {left} bytes are left without overwriting");
            assert_eq!(pattern_at(stack(|| leave(depth))), 0, "{depth}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_call_inside_another_is_overwritten_at_the_end() {
        let inner = stack(|| {
            let place = stack(|| leave(40 * 1024));
            assert!(pattern_at(place) > 32, "the outer call does it");
            place
        });
        assert_eq!(pattern_at(inner), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_call_far_below_another_overwrites_itself() {
        #[inline(never)]
        fn below() -> usize {
            let mut room = [0u8; NESTING_BYTES];
            black_box(&mut room);
            let place = stack(|| leave(56 * 1024));
            black_box(&mut room);
            place
        }
        stack(|| assert_eq!(pattern_at(below()), 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_panic_is_overwritten_too_and_ends_the_nesting() {
        let place = Cell::new(0);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            stack(|| {
                place.set(leave(50 * 1024));
                panic!("as a backend might");
            });
        }));
        assert!(caught.is_err());
        assert_eq!(pattern_at(place.get()), 0);
        assert_eq!(OUTERMOST.get(), 0);
    }
}
