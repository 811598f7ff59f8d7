//! No secret of prekeys, of an agreement or of a session stays in memory once it is of no use.
//!
//! A child process plays a conversation and stops at the places of [`PLACES`]. This process
//! computes every secret of the same conversation by itself, and looks for each in the child's
//! memory at each place.
#![cfg(target_os = "linux")]
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that fails panics")]

mod play;
mod secrets;
#[cfg(feature = "hazmat")]
mod session;

use sealwire_core::Suite;
use sealwire_testkit::memory::{self, Child, Drawn};

use play::PLACES;

/// What the child leaks in the end.
const LEAKED: u64 = 1 << 20;

/// The child of both tests.
#[test]
fn child() {
    let Some(argument) = memory::argument() else { return };
    let suites = [Suite::AesGcm, Suite::ChaChaPoly].into_iter();
    let suite = { suites }.find(|suite| format!("{suite:?}") == argument).expect("a suite");
    play::play(suite, Some(&memory::stop));
    // The control: this is found, so what is not found is not there.
    let leaked = Drawn::new(LEAKED).block();
    memory::stop("leaked");
    drop(std::hint::black_box(leaked));
}

fn look_everywhere(suite: Suite) {
    let mut fates = secrets::of(suite);
    fates.held("leaked", &Drawn::new(LEAKED).block(), &["leaked"]);
    let mut child = Child::start("child", &format!("{suite:?}"));
    let mut wrong = Vec::new();
    for place in PLACES {
        wrong.extend(child.at(place, |child| fates.differing(child, place)));
    }
    child.end();
    assert!(wrong.is_empty(), "of {} secrets:\n{}", fates.count(), wrong.join("\n"));
}

// attack T35
#[test]
fn an_agreement_and_its_session_with_aes_leave_nothing() {
    look_everywhere(Suite::AesGcm);
}

// attack T35
#[test]
fn an_agreement_and_its_session_with_chacha_leave_nothing() {
    look_everywhere(Suite::ChaChaPoly);
}
