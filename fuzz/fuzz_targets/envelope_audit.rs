//! Lines of an audit log.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::envelope::envelope_audit;

fuzz_target!(|bytes: &[u8]| {
    envelope_audit(bytes);
});
