//! A message sealed to an X-Wing key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::hybrid::sealed;

fuzz_target!(|bytes: &[u8]| {
    sealed(bytes);
});
