//! Answers of the transit engine of Vault or OpenBao.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::custody::kms_vault;

fuzz_target!(|bytes: &[u8]| {
    kms_vault(bytes);
});
