//! No secret of a handshake or a session stays in memory once it is of no use.
//!
//! A child process plays a handshake and stops at the places of [`PLACES`]. This process
//! computes every secret of the same handshake by itself, and looks for each in the child's
//! memory at each place.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that fails panics")]

mod play;
mod secrets;

use sealwire_core::Suite;
use sealwire_noise::Pattern;
use sealwire_testkit::memory::{self, Child, Drawn};

use secrets::Secrets;

/// Where the child stops, in this order.
const PLACES: [&str; 7] =
    ["keys", "message 1", "message 2", "session", "rekeyed", "dropped", "leaked"];

/// The child of every test in this file.
#[test]
fn child() {
    let Some(argument) = memory::argument() else { return };
    let scenes = [Pattern::Xx, Pattern::Ik]
        .into_iter()
        .flat_map(|pattern| [Suite::AesGcm, Suite::ChaChaPoly].map(|suite| (pattern, suite)));
    let (pattern, suite) =
        { scenes }.find(|(pattern, suite)| pattern.name(*suite) == argument).expect("a scene");
    play::play(pattern, suite, true);
    // The control: this is found, so what is not found is not there.
    let leaked = Drawn::new(play::ALICE).block();
    memory::stop("leaked");
    drop(std::hint::black_box(leaked));
}

fn look_everywhere(pattern: Pattern, suite: Suite) {
    let Secrets { notes, fates } = secrets::of(pattern, suite);
    let mut child = Child::start("child", pattern.name(suite));
    let mut wrong = Vec::new();
    for place in PLACES {
        let found = child.at(place, |child| child.search(&notes));
        wrong.extend(fates.iter().filter_map(|fate| fate.differs(place, &found)));
    }
    child.end();
    assert!(wrong.is_empty(), "of {} secrets:\n{}", fates.len(), wrong.join("\n"));
}

// attack T35
#[test]
fn xx_with_aes_leaves_nothing() {
    look_everywhere(Pattern::Xx, Suite::AesGcm);
}

// attack T35
#[test]
fn xx_with_chacha_leaves_nothing() {
    look_everywhere(Pattern::Xx, Suite::ChaChaPoly);
}

// attack T35
#[test]
fn ik_with_aes_leaves_nothing() {
    look_everywhere(Pattern::Ik, Suite::AesGcm);
}

// attack T35
#[test]
fn ik_with_chacha_leaves_nothing() {
    look_everywhere(Pattern::Ik, Suite::ChaChaPoly);
}
