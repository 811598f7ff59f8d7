//! Two agents that meet at a relay by a code, and who else could be there.

use core::future::{Future, pending, ready};
use std::{sync::Arc, time::Duration};

use sealwire::{
    Agent, Clock, Error, SystemClock,
    core::{Timestamp, keys::SigningKey},
    custody::system_rng,
    delivery::DeliveryError,
    identity::PinnedBy,
    pairing::{self, Code, Committed, Meeting, MeetingBox, Paired, Role},
    relay::{
        Capability, MessageId, Problem, SendId, Token,
        client::{Client, ClientError, Settings},
        wire::{MailboxKind, NewMailbox},
    },
};
use tokio::task::JoinSet;

use crate::common::{Rig, keys};

/// A side of a pairing: an agent, and a client that is told nothing of it.
struct Side {
    agent: Agent,
    client: Client,
}

/// A side that is pairing.
type Pairing = JoinSet<Result<Paired, Error>>;

impl Side {
    fn new(rig: &Rig, seed: u64) -> Self {
        Self::with_deadline(rig, seed, Duration::from_secs(2))
    }

    /// One whose client gives a call up after so long.
    fn with_deadline(rig: &Rig, seed: u64, deadline: Duration) -> Self {
        let mut settings = Settings::default();
        settings.deadline = deadline;
        settings.pause = Duration::from_millis(20);
        let agent = Agent::builder(keys(seed)).build().expect("an agent");
        Self { agent, client: Client::new(rig.url(), None, settings).expect("a client") }
    }

    async fn open(&self, code: Code, role: Role) -> Meeting {
        Meeting::open(&self.client, code, role).await.expect("the relay is there")
    }

    async fn refused(&self, code: Code, role: Role) -> Error {
        Meeting::open(&self.client, code, role).await.map(drop).expect_err("not open")
    }

    fn start(&self, meeting: Meeting) -> Pairing {
        let (agent, mut pairing) = (self.agent.clone(), JoinSet::new());
        pairing.spawn(async move { meeting.pair(&agent, pending()).await });
        pairing
    }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("nothing hangs")
}

async fn ended(mut side: Pairing) -> Result<Paired, Error> {
    in_time(side.join_next()).await.expect("one").expect("no panic")
}

fn code() -> Code {
    Code::generate(&mut system_rng()).expect("randomness")
}

/// Where a role reads.
fn place(code: Code, reader: Role) -> MeetingBox {
    let rendezvous = code.rendezvous().expect("short");
    match reader {
        Role::Creator => rendezvous.creator,
        Role::Joiner => rendezvous.joiner,
    }
}

/// Leaves a frame where a role reads, as anybody can who has the code.
async fn leave(client: &Client, code: Code, reader: Role, number: u8, frame: &[u8]) {
    let MeetingBox { send, deposit, .. } = place(code, reader);
    let (send, token) = (SendId::from_bytes(send), Token::from_bytes([number; 16]));
    let end = Timestamp::from_secs(4_000_000_000);
    let capability = Capability::mint(&deposit, &send, &token, end).expect("an expiry");
    let id = MessageId::from_bytes([number; 16]);
    client.deposit(send, &capability, id, frame).await.expect("it is taken");
}

/// Reads the first message of a role, as anybody can who has the code.
async fn first(client: &Client, code: Code, reader: Role) -> Vec<u8> {
    behind(client, code, reader, 0).await
}

/// Reads the first message behind a sequence.
async fn behind(client: &Client, code: Code, reader: Role, after: u64) -> Vec<u8> {
    let key = SigningKey::from_seed(&place(code, reader).seed);
    loop {
        let found =
            client.fetch(&key, after, 1, Duration::from_secs(5)).await.expect("it is there");
        if let Some(message) = found.messages.into_iter().next() {
            return message.frame;
        }
    }
}

async fn is_gone(client: &Client, code: Code, reader: Role) -> bool {
    let key = SigningKey::from_seed(&place(code, reader).seed);
    let found = client.fetch(&key, 0, 1, Duration::ZERO).await;
    matches!(found, Err(ClientError::Problem(Problem::NotFound)))
}

async fn all_gone(client: &Client, code: Code) -> bool {
    is_gone(client, code, Role::Creator).await && is_gone(client, code, Role::Joiner).await
}

fn pairing(error: Error) -> pairing::Error {
    let text = format!("{error:?}");
    let Error::Pairing(error) = error else { unreachable!("{text}") };
    error
}

// PAIR-3, PAIR-11, PAIR-12
#[tokio::test]
async fn two_that_meet_at_a_relay_pin_one_another_and_leave_nothing_there() {
    let rig = Rig::new().await;
    let (alice, bob) = (Side::new(&rig, 1), Side::new(&rig, 2));
    let code = code();
    let at_alice = alice.start(alice.open(code, Role::Creator).await);
    let typed = Code::parse(&code.to_string().to_lowercase()).expect("the same");
    let at_bob = bob.start(bob.open(typed, Role::Joiner).await);
    let at_alice = ended(at_alice).await.expect("Bob came");
    let at_bob = ended(at_bob).await.expect("Alice came");
    assert_eq!(at_alice.phrase(), at_bob.phrase());
    assert!(all_gone(&alice.client, code).await);
    alice.agent.pin(at_alice.confirm()).expect("Bob");
    bob.agent.pin(at_bob.confirm()).expect("Alice");
    for (one, other) in [(&alice, &bob), (&bob, &alice)] {
        let pin = one.agent.peers().get(other.agent.id()).expect("readable").expect("a pin");
        assert_eq!(pin.pinned_by(), PinnedBy::OutOfBand);
    }
    // The code leads nowhere any more.
    let refused = bob.refused(code, Role::Joiner).await;
    assert!(matches!(pairing(refused), pairing::Error::Nobody));
}

// PAIR-11
#[tokio::test]
async fn a_code_under_which_nobody_waits_is_told_at_once_and_leaves_nothing() {
    let rig = Rig::new().await;
    let (alice, bob) = (Side::new(&rig, 1), Side::new(&rig, 2));
    let (meant, typed) = (code(), code());
    let _waiting = alice.open(meant, Role::Creator).await;
    let refused = in_time(bob.refused(typed, Role::Joiner)).await;
    assert!(matches!(pairing(refused), pairing::Error::Nobody));
    assert!(
        all_gone(&bob.client, typed).await && !is_gone(&bob.client, meant, Role::Creator).await
    );
}

// attack T7: a relay, or whoever has the code, pairs with both sides as itself.
#[tokio::test]
async fn a_middle_that_meets_both_sides_is_heard_in_the_phrases() {
    let (here, there) = (Rig::new().await, Rig::new().await);
    let (alice, bob) = (Side::new(&here, 1), Side::new(&there, 2));
    let mallory = [Side::new(&here, 66), Side::new(&there, 66)];
    let code = code();
    let at_alice = alice.start(alice.open(code, Role::Creator).await);
    let to_alice = mallory[0].start(mallory[0].open(code, Role::Joiner).await);
    let to_bob = mallory[1].start(mallory[1].open(code, Role::Creator).await);
    let at_bob = bob.start(bob.open(code, Role::Joiner).await);
    let at_alice = ended(at_alice).await.expect("somebody came");
    let at_bob = ended(at_bob).await.expect("somebody came");
    let to_alice = ended(to_alice).await.expect("Alice");
    let to_bob = ended(to_bob).await.expect("Bob");
    assert_ne!(at_alice.phrase(), at_bob.phrase());
    assert_eq!((at_alice.phrase(), at_bob.phrase()), (to_alice.phrase(), to_bob.phrase()));
    let mallory = mallory[0].agent.id();
    assert_eq!((at_alice.peer(), at_bob.peer()), (mallory, mallory));
}

// attack T25: whoever has the code can keep the two from pairing, and nothing more.
// PAIR-7, PAIR-12
#[tokio::test]
async fn whatever_a_stranger_leaves_first_ends_the_pairing() {
    let rig = Rig::new().await;
    let (alice, stranger) = (Side::new(&rig, 1), Side::new(&rig, 3));
    for (what, size, byte) in
        [("zeros", 2048, 0), ("noise", 4096, 0xa5), ("the longest frame", 65_536, 1)]
    {
        let code = code();
        let meeting = alice.open(code, Role::Creator).await;
        leave(&stranger.client, code, Role::Creator, 1, &vec![byte; size]).await;
        let refused = ended(alice.start(meeting)).await.expect_err(what);
        assert!(matches!(pairing(refused), pairing::Error::Decode(_)), "{what}");
        assert!(all_gone(&alice.client, code).await, "{what}");
    }

    let code = code();
    let at_alice = alice.start(alice.open(code, Role::Creator).await);
    let own = first(&stranger.client, code, Role::Joiner).await;
    leave(&stranger.client, code, Role::Creator, 1, &own).await;
    let refused = ended(at_alice).await.expect_err("her own");
    assert!(matches!(pairing(refused), pairing::Error::Reflected));
}

// attack T25
// PAIR-7, PAIR-12
#[tokio::test]
async fn junk_between_the_two_messages_ends_both_sides() {
    let rig = Rig::new().await;
    let (alice, bob) = (Side::new(&rig, 1), Side::new(&rig, 2));
    let code = code();
    let meeting = alice.open(code, Role::Creator).await;
    let joining = bob.open(code, Role::Joiner).await;
    let (_, commitment) = committed(&bob, code, Role::Joiner);
    leave(&bob.client, code, Role::Creator, 1, &commitment).await;
    leave(&bob.client, code, Role::Creator, 2, &[7; 2048]).await;
    let refused = ended(alice.start(meeting)).await.expect_err("junk");
    assert!(matches!(pairing(refused), pairing::Error::Decode(_)));
    // Bob is told so, and need not wait.
    let refused = ended(bob.start(joining)).await.expect_err("it is over");
    assert!(matches!(pairing(refused), pairing::Error::Ended));
}

fn committed(side: &Side, code: Code, role: Role) -> (Committed, Vec<u8>) {
    Committed::new(code, role, side.agent.card().clone(), &mut system_rng()).expect("begun")
}

// PAIR-12
#[tokio::test]
async fn a_side_that_has_left_its_messages_and_gone_has_paired_all_the_same() {
    let rig = Rig::new().await;
    let (alice, bob) = (Side::new(&rig, 1), Side::new(&rig, 2));
    let code = code();
    let at_alice = alice.start(alice.open(code, Role::Creator).await);
    let hers = first(&bob.client, code, Role::Joiner).await;
    // Bob's mailbox is gone before Alice leaves in it what she reveals.
    let key = SigningKey::from_seed(&place(code, Role::Joiner).seed);
    assert!(bob.client.close_mailbox(&key).await.expect("closed"));
    let (begun, commitment) = committed(&bob, code, Role::Joiner);
    let (_, reveal) =
        begun.handle_commitment(&hers, keys(2).as_ref(), &mut system_rng()).expect("Alice");
    leave(&bob.client, code, Role::Creator, 1, &commitment).await;
    leave(&bob.client, code, Role::Creator, 2, &reveal).await;
    assert_eq!(ended(at_alice).await.expect("Bob was there").peer(), bob.agent.id());
}

// PAIR-12
#[tokio::test]
async fn a_side_that_is_done_leaves_the_other_what_it_has_not_read() {
    let rig = Rig::new().await;
    let (alice, bob) = (Side::new(&rig, 1), Side::new(&rig, 2));
    let code = code();
    let at_alice = alice.start(alice.open(code, Role::Creator).await);
    let hers = first(&bob.client, code, Role::Joiner).await;
    let (begun, commitment) = committed(&bob, code, Role::Joiner);
    let (at_bob, reveal) =
        begun.handle_commitment(&hers, keys(2).as_ref(), &mut system_rng()).expect("Alice");
    leave(&bob.client, code, Role::Creator, 1, &commitment).await;
    leave(&bob.client, code, Role::Creator, 2, &reveal).await;
    let at_alice = ended(at_alice).await.expect("Bob");
    assert!(is_gone(&bob.client, code, Role::Creator).await);
    let her_card = behind(&bob.client, code, Role::Joiner, 1).await;
    let at_bob = at_bob.handle_reveal(&her_card, SystemClock::new().wall()).expect("Alice");
    assert_eq!(at_alice.phrase(), at_bob.phrase());
}

// PAIR-12
#[tokio::test]
async fn a_side_that_gives_up_removes_the_place_and_the_other_hears_of_it() {
    let rig = Rig::new().await;
    let (alice, bob) = (Side::new(&rig, 1), Side::new(&rig, 2));
    let code = code();
    let meeting = alice.open(code, Role::Creator).await;
    let limit = tokio::time::sleep(Duration::from_millis(200));
    let refused = in_time(meeting.pair(&alice.agent, limit)).await.expect_err("nobody came");
    assert!(matches!(pairing(refused), pairing::Error::Stopped));
    let refused = bob.refused(code, Role::Joiner).await;
    assert!(matches!(pairing(refused), pairing::Error::Nobody));

    let code = self::code();
    let meeting = alice.open(code, Role::Creator).await;
    let at_bob = bob.start(bob.open(code, Role::Joiner).await);
    // He waits for her commitment when the signal comes.
    first(&bob.client, code, Role::Creator).await;
    in_time(meeting.pair(&alice.agent, ready(()))).await.expect_err("she went");
    let refused = ended(at_bob).await.expect_err("she went");
    assert!(matches!(pairing(refused), pairing::Error::Ended));
    assert!(all_gone(&bob.client, code).await);
}

#[tokio::test]
async fn a_relay_that_is_away_for_longer_than_a_call_lasts_is_waited_for() {
    let mut rig = Rig::new().await;
    let [alice, bob] = [1, 2].map(|seed| Side::with_deadline(&rig, seed, Duration::from_secs(1)));
    let code = code();
    let mut at_alice = alice.start(alice.open(code, Role::Creator).await);
    let joining = bob.open(code, Role::Joiner).await;
    first(&bob.client, code, Role::Joiner).await;
    rig.stop().await;
    let mut at_bob = bob.start(joining);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(at_alice.try_join_next().is_none() && at_bob.try_join_next().is_none());
    rig.restart().await;
    let at_alice = ended(at_alice).await.expect("Bob came");
    let at_bob = ended(at_bob).await.expect("Alice came");
    assert_eq!(at_alice.phrase(), at_bob.phrase());
}

#[tokio::test]
async fn an_agent_does_not_pair_with_itself() {
    let rig = Rig::new().await;
    let [one, other] = [Side::new(&rig, 1), Side::new(&rig, 1)];
    let code = code();
    let first = one.start(one.open(code, Role::Creator).await);
    let second = other.start(other.open(code, Role::Joiner).await);
    let ends = [ended(first).await, ended(second).await].map(|end| pairing(end.expect_err("one")));
    // Who was slower finds the place gone.
    let is_so =
        |error: &pairing::Error| matches!(error, pairing::Error::Oneself | pairing::Error::Ended);
    assert!(ends.iter().all(is_so), "{ends:?}");
    assert!(ends.iter().any(|error| matches!(error, pairing::Error::Oneself)), "{ends:?}");
}

#[tokio::test]
async fn what_the_relay_refuses_for_good_is_not_waited_for() {
    let rig = Rig::new().await;
    let (alice, bob) = (Side::new(&rig, 1), Side::new(&rig, 2));
    // Somebody who guessed the code has made another mailbox there.
    let code = code();
    let MeetingBox { seed, send, deposit } = place(code, Role::Joiner);
    let mailbox = NewMailbox {
        send: SendId::from_bytes(send),
        kind: MailboxKind::Contact,
        secret: deposit,
        lifetime: 60,
        per_token: 1,
    };
    let key = SigningKey::from_seed(&seed);
    bob.client.create_mailbox(&key, &mailbox).await.expect("made");
    let refused = alice.refused(code, Role::Creator).await;
    assert!(matches!(refused, Error::Delivery(DeliveryError::Refused(_))), "{refused:?}");
    assert!(all_gone(&alice.client, code).await);

    // A clock that is off is not right a moment later.
    let code = self::code();
    let _waiting = alice.open(code, Role::Creator).await;
    let mut settings = Settings::default();
    settings.clock = Arc::new(|| Timestamp::from_secs(1_000));
    let late = Client::new(rig.url(), None, settings).expect("a client");
    let refused = in_time(Meeting::open(&late, code, Role::Joiner)).await.map(drop);
    let refused = refused.expect_err("its clock");
    assert!(matches!(refused, Error::Delivery(DeliveryError::Clock { .. })), "{refused:?}");
}

// attack T34
#[tokio::test]
async fn debug_shows_no_code_of_a_meeting() {
    let rig = Rig::new().await;
    let alice = Side::new(&rig, 1);
    let code = code();
    let meeting = alice.open(code, Role::Creator).await;
    assert_eq!(format!("{meeting:?}"), "Meeting { role: Creator, .. }");
}
