//! What a directory serves: bundles, pages, keys out of pages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::ratchet::prekeys;

fuzz_target!(|bytes: &[u8]| {
    prekeys(bytes);
});
