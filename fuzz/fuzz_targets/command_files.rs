//! The command's own files: the address book, transfers under way, cards.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::cli::command_files;

fuzz_target!(|bytes: &[u8]| {
    command_files(bytes);
});
