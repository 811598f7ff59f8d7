//! Answers of AWS KMS.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::custody::kms_aws;

fuzz_target!(|bytes: &[u8]| {
    kms_aws(bytes);
});
