//! Messages of a pairing, and codes as they are typed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::sealwire::pairing;

fuzz_target!(|bytes: &[u8]| {
    pairing(bytes);
});
