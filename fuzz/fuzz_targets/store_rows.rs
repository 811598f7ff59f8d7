//! Rows of the store of an agent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::sealwire::store_rows;

fuzz_target!(|bytes: &[u8]| {
    store_rows(bytes);
});
