//! Whole handshakes and the records behind them: every private key and all that is drawn is
//! hidden, and messages are public as they are sent.

use sealwire_core::{Suite, SuiteSet, kdf, keystore::KeyStore, secret};
use sealwire_noise::{
    Introduction, KnownResponder, Local, PeerIdentity, Preamble, Session, initiator,
    record::{CloseReason, Opened, Opener, Sealer},
    responder,
};

use crate::keys::{Agent, Rng};
use crate::mark::{hide, show, show_inline, shown};
use crate::targets::gate_of;

/// What is wrong with a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The last byte of this message.
    Message(u8),
    /// The ciphertext of a preamble, behind a gate that fits it.
    Ciphertext,
}

impl Agent {
    fn local(&self) -> Local {
        let (id, card) = (self.id.to_vec(), self.card.to_vec());
        let introduction = Introduction { id, card, ..Introduction::default() };
        Local::new(self.store(), self.keys.newest(), introduction)
    }

    fn as_peer(&self) -> PeerIdentity<'_> {
        let static_key = &self.keys.publics().handshake;
        PeerIdentity { id: self.id, key: self.keys.identity(), static_key }
    }
}

/// XX: whole, and with each message refused that has a tag.
pub(crate) fn xx(suite: Suite) {
    for fault in [Fault::None, Fault::Message(2), Fault::Message(3)] {
        let ended = xx_with(suite, fault);
        assert_eq!(ended.is_some(), fault == Fault::None, "{fault:?}");
        ended.into_iter().for_each(records);
    }
}

/// The two ends, unless a message was refused.
fn xx_with(suite: Suite, fault: Fault) -> Option<[Session; 2]> {
    let (alice, bob, mut rng) = (Agent::alice(), Agent::bob(), Rng::hidden(1));
    let started = initiator::start_xx(alice.local(), suite, SuiteSet::all(), &mut rng);
    let (preamble, mut message, sent) = started.expect("message 1");
    send(&mut message, 1, fault);
    let answered = responder::answer_xx(bob.local(), &preamble, &message, &mut rng);
    let (mut message, answered) = answered.expect("message 2");
    send(&mut message, 2, fault);
    let mut claim = sent.read(&message).ok()?;
    show_inline(&mut claim);
    let proven = claim.prove(bob.as_peer()).expect("bob");
    let (mut message, at_alice) = proven.finish(bob.id).expect("message 3");
    send(&mut message, 3, fault);
    let mut claim = answered.read(&message).ok()?;
    show_inline(&mut claim);
    let at_bob = claim.prove(alice.as_peer()).expect("alice");
    Some([at_alice, at_bob])
}

/// IK with psk0: whole, with each message and the confirmation refused, and with a ciphertext
/// that decapsulation rejects.
pub(crate) fn ik(suite: Suite) {
    let messages = [1, 2, 3].map(Fault::Message);
    for fault in [Fault::None, Fault::Ciphertext].into_iter().chain(messages) {
        let ended = ik_with(suite, fault);
        assert_eq!(ended.is_some(), fault == Fault::None, "{fault:?}");
        ended.into_iter().for_each(records);
    }
}

/// As [`xx_with`]; the confirmation is message 3.
fn ik_with(suite: Suite, fault: Fault) -> Option<[Session; 2]> {
    let (alice, bob, mut rng) = (Agent::alice(), Agent::bob(), Rng::hidden(1));
    let known = KnownResponder {
        id: bob.id,
        static_key: &bob.keys.publics().handshake,
        kem_key: &bob.keys.publics().kem,
        kx: bob.keys.newest(),
        card_hash: kdf::sha256(&[bob.card]),
    };
    let started = initiator::start_ik(alice.local(), known, suite, SuiteSet::all(), &mut rng);
    let (preamble, mut message, sent) = started.expect("message 1");
    send(&mut message, 1, fault);
    let preamble = with_gate(&bob, preamble, &message, fault);
    let mut claim = responder::answer_ik(bob.local(), &preamble, &message, &mut rng).ok()?;
    show_inline(&mut claim);
    let proven = claim.prove(alice.as_peer()).expect("alice");
    let (mut message, replied) = proven.reply(alice.id).expect("message 2");
    send(&mut message, 2, fault);
    let mut claim = sent.read(&message).ok()?;
    show_inline(&mut claim);
    let proven = claim.prove(bob.as_peer()).expect("bob");
    let (mut confirmation, at_alice) = proven.finish().expect("a confirmation");
    send(&mut confirmation, 3, fault);
    let at_bob = replied.confirm(&mut confirmation[2..]).ok()?;
    Some([at_alice, at_bob])
}

/// The message is public once it is sent.
fn send(message: &mut [u8], number: u8, fault: Fault) {
    show(message);
    if let Some(last) = message.last_mut().filter(|_| fault == Fault::Message(number)) {
        *last ^= 1;
    }
}

/// The preamble as the responder reads it. Whoever knows the responder's card can make the gate
/// anew, so it is made anew for what was changed.
fn with_gate(responder: &Agent, preamble: Preamble, message: &[u8], fault: Fault) -> Preamble {
    let mut bytes = preamble.to_bytes();
    show(&bytes);
    let (head, gate) = bytes.split_last_chunk_mut::<32>().expect("a gate");
    if let Some(last) = head.last_mut().filter(|_| fault == Fault::Ciphertext) {
        *last ^= 1;
    }
    *gate = gate_of(&responder.keys.publics().kem, head, message);
    Preamble::from_bytes(&bytes).expect("a preamble")
}

/// Records in both directions, the last of one of them refused.
fn records([alice, bob]: [Session; 2]) {
    let same = secret::equal(alice.channel_binding(), bob.channel_binding());
    assert!(shown(same), "one session");
    let ((mut from_alice, mut to_alice), (mut from_bob, mut to_bob)) =
        (alice.into_parts(), bob.into_parts());
    for change in [false, true] {
        assert_eq!(carry(&mut from_alice, &mut to_bob, change), Some(300).filter(|_| !change));
    }
    assert_eq!(carry(&mut from_bob, &mut to_alice, false), Some(300));
    let mut record = Vec::new();
    from_bob.seal_pad(40, &mut record).expect("sealed");
    show(&record);
    assert_eq!(to_alice.open(&mut record[2..]), Ok(Opened::Nothing));
    record.clear();
    from_bob.seal_close(CloseReason::Done, &mut record).expect("sealed");
    show(&record);
    assert_eq!(to_alice.open(&mut record[2..]), Ok(Opened::Close(CloseReason::Done)));
}

/// Seals a hidden content and opens it: how long it is, unless it does not open.
fn carry(from: &mut Sealer, to: &mut Opener, change: bool) -> Option<usize> {
    let (content, mut record) = (vec![9; 300], Vec::new());
    hide(&content);
    from.seal_data(&content, &mut record).expect("sealed");
    show(&record);
    if let Some(last) = record.last_mut().filter(|_| change) {
        *last ^= 1;
    }
    match to.open(&mut record[2..]) {
        Ok(Opened::Data(content)) => Some(content.len()),
        _ => None,
    }
}
