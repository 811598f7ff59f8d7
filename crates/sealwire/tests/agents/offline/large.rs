//! Messages that do not fit a frame: whole, once, in bounded room, whoever dies in between.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use sealwire::{
    Agent, AllowAnyAuthenticated, Chunk, Decision, Error, Event, LargeMessage, Limits, PeerFacts,
    Progress, Transfer, TrustPolicy, Waiting,
    delivery::{Device, InProcess, MessageId},
    store::Table,
};

use crate::offline::{
    common::{DAY, Place, World, counts, frames, read, refused, say, sync},
    relay::Fate,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const PART: usize = 62 * KIB;

/// Bytes of which no two stretches are alike.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 16).to_be_bytes()[..6]);
    }
    bytes.truncate(len);
    bytes
}

async fn send(from: &Agent, to: &Agent, payload: &[u8]) -> Result<MessageId, Error> {
    let transfer = Transfer::new(b"a file").patience(Duration::ZERO);
    from.send_large(to.id(), &mut &payload[..], transfer).await
}

/// Takes all that is here of large messages into `file`, as an application does, and says
/// whether that was the end of one.
async fn take(agent: &Agent, file: &mut Vec<u8>) -> Result<bool, Error> {
    let mut done = false;
    for mut large in agent.inbox()?.large().await? {
        while let Some(chunk) = large.next().await? {
            done |= write(file, &chunk);
            large.ack(chunk).await?;
        }
    }
    Ok(done)
}

fn write(file: &mut Vec<u8>, chunk: &Chunk) -> bool {
    let start = usize::try_from(chunk.offset()).expect("short");
    assert!(start <= file.len(), "no hole");
    file.truncate(start);
    file.extend_from_slice(chunk.bytes());
    chunk.is_last()
}

async fn open(agent: &Agent) -> usize {
    agent.inbox().expect("inbox").large().await.expect("large").len()
}

/// Bytes of the rows of pieces.
fn kept(place: &Place) -> usize {
    let rows = place.disk.table(Table::Meta).into_iter();
    rows.filter(|(key, _)| key.as_bytes().starts_with(b"part ")).map(|(_, value)| value.len()).sum()
}

fn outbox(place: &Place) -> usize {
    place.disk.table(Table::Outbox).iter().map(|(_, value)| value.len()).sum()
}

/// Runs both until the whole has arrived, or one of them fails.
async fn transfer(
    world: &World,
    alice: &Agent,
    bob: &Agent,
    payload: &[u8],
    file: &mut Vec<u8>,
) -> Result<MessageId, Error> {
    let sending = async {
        let transfer =
            Transfer::new(b"a file").length(u64::try_from(payload.len()).expect("short"));
        alice.send_large(bob.id(), &mut &payload[..], transfer).await
    };
    let receiving = async {
        loop {
            bob.sync().await?;
            assert!(kept(&world.bob) <= 33 * MIB && outbox(&world.alice) <= 10 * MIB, "bounded");
            if take(bob, file).await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::try_join!(sending, receiving).map(|(message, ())| message)
}

// CON-10
#[tokio::test(start_paused = true)]
async fn twenty_mebibytes_arrive_once_although_both_sides_die_again_and_again() {
    let (world, alice, bob) = World::published().await;
    drop((alice, bob));
    let payload = bytes(20 * MIB + 5);
    let (mut file, mut deaths) = (Vec::new(), 0);
    let message = loop {
        let (alice, bob) = (world.alice.start(), world.bob.start());
        world.alice.disk.fail_after(2 + deaths % 4);
        world.bob.disk.fail_after(50 + 7 * (deaths % 4));
        match transfer(&world, &alice, &bob, &payload, &mut file).await {
            Ok(message) => break message,
            Err(Error::State(_)) => deaths += 1,
            Err(error) => panic!("{error}"),
        }
        drop((alice, bob));
        world.alice.ended().await;
        world.bob.ended().await;
        world.alice.disk.heal();
        world.bob.disk.heal();
    };
    world.alice.disk.heal();
    world.bob.disk.heal();
    assert!(deaths > 10, "{deaths}");
    assert!(file == payload);
    // Nothing is left but that it was there, and it is not sent again.
    let (alice, bob) = (world.alice.start(), world.bob.start());
    sync(&alice).await;
    let events = sync(&bob).await;
    assert!(events.iter().all(|event| !matches!(event, Event::LargeFailed { .. })), "{events:?}");
    assert_eq!((open(&bob).await, kept(&world.bob), outbox(&world.alice)), (0, 0, 0));
    let deposits = world.relay.left().len();
    let again = Transfer::new(b"a file").length(u64::try_from(payload.len()).expect("short"));
    let again = alice.send_large(bob.id(), &mut &payload[..], again).await;
    assert_eq!((again.expect("done"), world.relay.left().len()), (message, deposits));
    say(&alice, &bob, b"did you get it?").await;
    say(&bob, &alice, b"yes").await;
}

/// Bytes that need not be kept to be known.
struct Endless {
    at: u64,
    len: u64,
}

fn byte(at: u64) -> u8 {
    at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]
}

impl tokio::io::AsyncRead for Endless {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        while self.at < self.len && buffer.remaining() > 0 {
            buffer.put_slice(&[byte(self.at)]);
            self.at += 1;
        }
        std::task::Poll::Ready(Ok(()))
    }
}

/// Takes what is there, which are the bytes from `next` on, and says whether that was the end.
async fn compare(large: &mut LargeMessage, next: &mut u64) -> bool {
    while let Some(chunk) = large.next().await.expect("read") {
        assert_eq!(chunk.offset(), *next);
        let mut expected = (*next..).map(byte);
        assert!(chunk.bytes().iter().all(|found| expected.next() == Some(*found)));
        *next += u64::try_from(chunk.bytes().len()).expect("short");
        let last = chunk.is_last();
        large.ack(chunk).await.expect("acknowledged");
        if last {
            return true;
        }
    }
    false
}

// CON-10, CON-13
#[tokio::test(start_paused = true)]
async fn a_hundred_mebibytes_pass_through_stores_that_stay_small() {
    let long = std::env::var_os("SEALWIRE_LONG").is_some_and(|value| value == "1");
    let mib = if long { 100 } else { 3 };
    let len = (mib << 20) + 1;
    let world = World::new();
    let office = Arc::new(InProcess::new());
    let start = |place: &Place| place.builder().delivery(office.clone()).build().expect("an agent");
    let (alice, bob) = (start(&world.alice), start(&world.bob));
    bob.publish_prekeys().await.expect("publish");
    let sending = async {
        let transfer = Transfer::new(b"a file").length(len);
        alice.send_large(bob.id(), &mut Endless { at: 0, len }, transfer).await.expect("sent")
    };
    let receiving = async {
        let (mut next, mut done) = (0, false);
        let mut listener = bob.listen().await.expect("listens");
        while !done {
            listener.changed().await.expect("news");
            sync(&bob).await;
            assert!(kept(&world.bob) <= 33 * MIB && outbox(&world.alice) <= 10 * MIB);
            for mut large in bob.inbox().expect("inbox").large().await.expect("large") {
                done |= compare(&mut large, &mut next).await;
            }
        }
        next
    };
    let (_, received) = tokio::join!(sending, receiving);
    assert_eq!(received, len);
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_is_waited_for_and_the_outbox_stays_small() {
    let (world, alice, bob) = World::talking().await;
    let payload = bytes(26 * MIB);
    let told: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let log = Arc::clone(&told);
    let transfer = Transfer::new(b"a file")
        .patience(Duration::ZERO)
        .on_progress(move |progress| log.lock().expect("lock").push(progress));
    let error = refused(alice.send_large(bob.id(), &mut &payload[..], transfer).await);
    assert!(error.is_retryable() && error.to_string() == "the mailbox is full", "{error}");
    let last = *told.lock().expect("lock").last().expect("progress");
    assert_eq!((last.waiting, last.length), (Some(Waiting::Full), None));
    assert!(last.delivered > 15 << 20 && last.sealed - last.delivered >= 8 << 20, "{last:?}");
    assert!(outbox(&world.alice) < 10 * MIB);
    // What was sent by then is here, and the rest comes.
    let mut file = Vec::new();
    sync(&bob).await;
    assert!(!take(&bob, &mut file).await.expect("taken"));
    assert_eq!(file.len(), usize::try_from(last.delivered).expect("short"));
    let sending = async {
        loop {
            match send(&alice, &bob, &payload).await {
                Err(error) if error.is_retryable() => {}
                sent => break sent.expect("sent"),
            }
            sync(&bob).await;
            take(&bob, &mut file).await.expect("taken");
        }
    };
    sending.await;
    sync(&bob).await;
    assert!(take(&bob, &mut file).await.expect("taken") && file == payload);
    let sealed =
        told.lock().expect("lock").iter().map(|progress| progress.sealed).collect::<Vec<_>>();
    assert!(sealed.is_sorted());
}

// CON-11
#[tokio::test]
async fn every_length_around_the_edges_arrives() {
    let (world, alice, bob) = World::talking().await;
    for len in [0, 1, PART - 1, PART, PART + 1, 2 * PART, 16 * PART, 16 * PART + 1] {
        let payload = bytes(len);
        let transfer = Transfer::new(&len.to_be_bytes());
        let sent = alice.send_large(bob.id(), &mut &payload[..], transfer).await.expect("sent");
        sync(&bob).await;
        let large = bob.inbox().expect("inbox").large().await.expect("large").remove(0);
        assert_eq!((large.id(), large.is_complete(), large.taken()), (sent, true, 0), "{len}");
        assert_eq!((large.length(), &large.from().agent), (u64::try_from(len).ok(), alice.id()));
        let mut file = Vec::new();
        assert!(take(&bob, &mut file).await.expect("taken"), "{len}");
        assert!(file == payload, "{len}");
        assert_eq!((open(&bob).await, kept(&world.bob)), (0, 0));
    }
}

// attack T17, T25, T26
#[tokio::test]
async fn parts_out_of_order_and_repeated_are_taken_once_and_in_order() {
    for forgetful in [false, true] {
        let (world, alice, bob) = World::talking().await;
        let mut number = 0;
        world.relay.on_deposit(move |_| {
            number += 1;
            if number % 3 == 0 { Fate::Twice } else { Fate::Pass }
        });
        world.relay.backwards(true);
        world.relay.forgets_acks(forgetful);
        let payload = bytes(3 * MIB);
        send(&alice, &bob, &payload).await.expect("sent");
        let (mut file, mut done) = (Vec::new(), 0);
        if forgetful {
            for _ in 0..3 {
                assert!(matches!(refused(bob.sync().await), Error::Delivery(_)));
                done += usize::from(take(&bob, &mut file).await.expect("taken"));
            }
            world.relay.forgets_acks(false);
        }
        sync(&bob).await;
        done += usize::from(take(&bob, &mut file).await.expect("taken"));
        assert_eq!(done, 1);
        assert!(file == payload);
        assert_eq!(counts(&bob).await[0].3, 0, "no key is kept");
        assert_eq!(sync(&bob).await, []);
    }
}

#[tokio::test]
async fn small_messages_pass_between_the_parts() {
    let (_world, alice, bob) = World::talking().await;
    let payload = bytes(5 * MIB);
    let large = async {
        send(&alice, &bob, &payload).await.expect("sent");
    };
    let small = async {
        for payload in 0..10_u8 {
            alice.send(bob.id(), &[payload]).await.expect("sent");
            alice.flush().await.expect("delivered");
        }
    };
    tokio::join!(large, small);
    assert_eq!(alice.undelivered().await.expect("count"), 0);
    sync(&bob).await;
    assert_eq!(read(&bob).await, (0..10_u8).map(|payload| vec![payload]).collect::<Vec<_>>());
    let mut file = Vec::new();
    assert!(take(&bob, &mut file).await.expect("taken") && file == payload);
}

// attack T26
// CON-8, CON-10
#[tokio::test]
async fn a_crash_at_any_commit_of_either_side_loses_and_repeats_nothing() {
    let payload = bytes(3 * PART + 7);
    for commits in 0..12 {
        let (world, alice, bob) = World::talking().await;
        world.alice.disk.fail_after(commits);
        let first = send(&alice, &bob, &payload).await;
        drop(alice);
        world.alice.disk.heal();
        let alice = world.alice.start();
        let second = send(&alice, &bob, &payload).await.expect("sent");
        assert!(first.is_err() || first.is_ok_and(|first| first == second));
        let mut file = Vec::new();
        world.bob.disk.fail_after(commits);
        let _ = bob.sync().await;
        let early = take(&bob, &mut file).await;
        drop(bob);
        world.bob.disk.heal();
        let bob = world.bob.start();
        sync(&bob).await;
        let done = take(&bob, &mut file).await.expect("taken");
        assert!(done != early.unwrap_or_default(), "the end is seen once: {commits}");
        assert!(file == payload, "{commits}");
        assert_eq!((open(&bob).await, kept(&world.bob)), (0, 0));
        say(&alice, &bob, b"and on").await;
    }
}

// CON-8
#[tokio::test]
async fn a_chunk_that_was_not_acknowledged_comes_again_and_one_that_was_does_not() {
    let (world, alice, bob) = World::talking().await;
    let payload = bytes(2 * MIB);
    send(&alice, &bob, &payload).await.expect("sent");
    sync(&bob).await;
    let chunk = |bob: &Agent| {
        let inbox = bob.inbox().expect("inbox");
        async move {
            let large = inbox.large().await.expect("large").remove(0);
            let chunk = large.next().await.expect("read").expect("a chunk");
            (large, chunk)
        }
    };
    let (_, first) = chunk(&bob).await;
    assert!((1..=MIB).contains(&first.bytes().len()) && first.offset() == 0 && !first.is_last());
    drop(bob);
    let bob = world.bob.start();
    let (mut again, repeated) = chunk(&bob).await;
    assert_eq!((repeated.offset(), repeated.bytes()), (0, first.bytes()));
    again.ack(repeated).await.expect("acknowledged");
    assert_eq!(again.taken(), u64::try_from(first.bytes().len()).expect("short"));
    let (_, second) = chunk(&bob).await;
    assert_eq!(second.offset(), again.taken());
    // Another handle of it, behind: nothing happens twice.
    let (mut behind, third) = chunk(&bob).await;
    again.ack(second).await.expect("acknowledged");
    behind.ack(third).await.expect("no error");
    let taken = bob.inbox().expect("inbox").large().await.expect("large").remove(0).taken();
    assert_eq!(taken, again.taken());
}

// CON-10
#[tokio::test]
async fn another_source_under_the_same_key_is_refused() {
    let (world, alice, bob) = World::talking().await;
    let payload = bytes(10 * MIB);
    world.relay.on_deposit(|_| Fate::Away);
    let error = refused(send(&alice, &bob, &payload).await);
    assert!(matches!(error, Error::Delivery(_)), "{error:?}");
    let before = world.alice.disk.dump();
    let mut changed = payload.clone();
    changed[5 * MIB] ^= 1;
    let short = &payload[..MIB];
    for (name, source) in [("a byte", &changed[..]), ("shorter", short), ("nothing", &[])] {
        let error = refused(send(&alice, &bob, source).await);
        assert!(matches!(error, Error::SourceChanged), "{name}: {error:?}");
    }
    let with_length = Transfer::new(b"a file").length(20 << 20);
    let error = refused(alice.send_large(bob.id(), &mut &payload[..], with_length).await);
    assert!(matches!(error, Error::SourceChanged), "another length: {error:?}");
    assert_eq!(world.alice.disk.dump(), before);
    world.relay.honest();
    // To another peer, the key is another.
    let carol = Place::new(3, &world.relay, &world.clock).start();
    carol.publish_prekeys().await.expect("publish");
    send(&alice, &carol, short).await.expect("sent");
    // Once it is done, too.
    let error = refused(send(&alice, &carol, &payload).await);
    assert!(matches!(error, Error::SourceChanged), "longer: {error:?}");
    let mut file = Vec::new();
    sync(&carol).await;
    assert!(take(&carol, &mut file).await.expect("taken") && file == short);
}

#[tokio::test]
async fn a_source_that_is_not_as_long_as_was_said_is_misuse() {
    let (_world, alice, bob) = World::talking().await;
    for (said, len) in [(0, 1), (MIB, 0), (MIB, MIB - 1), (MIB, MIB + 1), (MIB, 3 * MIB)] {
        let transfer = Transfer::new(&[said, len].map(usize::to_be_bytes).concat());
        let transfer = transfer.length(u64::try_from(said).expect("short"));
        let error = refused(alice.send_large(bob.id(), &mut &bytes(len)[..], transfer).await);
        assert!(matches!(error, Error::Misuse(_)), "{said} {len}: {error:?}");
    }
    let (once, payload) = (Transfer::new(b"to myself"), bytes(9));
    let error = refused(alice.send_large(alice.id(), &mut &payload[..], once).await);
    assert!(matches!(error, Error::Oneself), "{error:?}");
}

#[tokio::test]
async fn a_source_that_fails_ends_the_call_and_not_the_transfer() {
    struct Failing(usize);
    impl tokio::io::AsyncRead for Failing {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            if self.0 == 0 {
                return std::task::Poll::Ready(Err(std::io::Error::other("the disk is gone")));
            }
            let len = self.0.min(buffer.remaining()).min(1000);
            buffer.put_slice(&vec![7; len]);
            self.0 -= len;
            std::task::Poll::Ready(Ok(()))
        }
    }
    let (_world, alice, bob) = World::talking().await;
    let error = alice.send_large(bob.id(), &mut Failing(3 * MIB), Transfer::new(b"a file")).await;
    assert!(matches!(error, Err(Error::Source(_))), "{error:?}");
    send(&alice, &bob, &vec![7; 3 * MIB]).await.expect("sent");
    sync(&bob).await;
    let mut file = Vec::new();
    assert!(take(&bob, &mut file).await.expect("taken"));
    assert!(file == vec![7; 3 * MIB]);
}

#[tokio::test(start_paused = true)]
async fn two_calls_with_one_key_do_not_send_twice() {
    let (_world, alice, bob) = World::talking().await;
    let payload = bytes(6 * MIB);
    let (one, other) = tokio::join!(send(&alice, &bob, &payload), send(&alice, &bob, &payload));
    let misuse = |sent: &Result<MessageId, Error>| matches!(sent, Err(Error::Misuse(_)));
    assert!(misuse(&one) != misuse(&other), "{one:?} {other:?}");
    send(&alice, &bob, &payload).await.expect("sent");
    sync(&bob).await;
    let mut file = Vec::new();
    assert!(take(&bob, &mut file).await.expect("taken") && file == payload);
    assert_eq!(frames(&sync(&bob).await), 0);
}

// CON-15
#[tokio::test(start_paused = true)]
async fn a_stranger_is_sent_a_few_parts_and_the_rest_once_it_answers() {
    let (world, alice, bob) = World::published().await;
    let payload = bytes(12 * MIB);
    let error = refused(send(&alice, &bob, &payload).await);
    assert!(matches!(error, Error::Unanswered) && error.is_retryable(), "{error:?}");
    assert_eq!((world.relay.left().len(), world.relay.firsts().len()), (64, 64));
    // Bob takes them. His application has not written a word.
    sync(&bob).await;
    send(&alice, &bob, &payload).await.expect("sent");
    assert_eq!(world.relay.firsts().len(), 64, "the others went to a mailbox for her alone");
    sync(&bob).await;
    let mut file = Vec::new();
    assert!(take(&bob, &mut file).await.expect("taken") && file == payload);
    assert_eq!(read(&alice).await, Vec::<Vec<u8>>::new(), "an answer is no message");
    assert_eq!(world.relay.left().len(), 65 + (12 * MIB - 64 * 29 * KIB).div_ceil(PART));
    assert_eq!(counts(&bob).await, [(true, 1, 64 + 169, 0)]);
    // There was one answer, and a restart makes no other.
    let bob = world.bob.start();
    sync(&bob).await;
    assert_eq!(counts(&bob).await[0].1, 1);
    say(&bob, &alice, b"thanks").await;
}

// CON-15
#[tokio::test]
async fn a_peer_that_may_not_be_written_to_is_not_answered() {
    let (world, alice, bob) = World::published().await;
    drop(bob);
    let bob = world.bob.builder().outbound(sealwire::not(Arc::new(AllowAnyAuthenticated)));
    let bob = bob.build().expect("an agent");
    let payload = bytes(3 * MIB);
    assert!(matches!(refused(send(&alice, &bob, &payload).await), Error::Unanswered));
    sync(&bob).await;
    assert!(matches!(refused(send(&alice, &bob, &payload).await), Error::Unanswered));
    assert_eq!(counts(&bob).await, [(true, 0, 64, 0)]);
    assert_eq!(open(&bob).await, 1, "what came is there");
}

// CON-15
#[tokio::test(start_paused = true)]
async fn two_that_begin_at_once_with_large_messages_come_together() {
    let (_world, alice, bob) = World::published().await;
    let payload = bytes(4 * MIB);
    let (mut at_alice, mut at_bob) = (Vec::new(), Vec::new());
    let run = |from: Agent, to: Agent, payload: Vec<u8>| async move {
        from.send_large(to.id(), &mut &payload[..], Transfer::new(b"a file")).await
    };
    tokio::try_join!(
        run(alice.clone(), bob.clone(), payload.clone()),
        run(bob.clone(), alice.clone(), payload.clone()),
    )
    .expect("sent");
    sync(&alice).await;
    sync(&bob).await;
    assert!(take(&alice, &mut at_alice).await.expect("taken") && at_alice == payload);
    assert!(take(&bob, &mut at_bob).await.expect("taken") && at_bob == payload);
}

// attack T23
// CON-13
#[tokio::test]
async fn what_the_application_does_not_take_waits_with_the_sender() {
    let (world, alice, bob) = World::talking().await;
    drop(bob);
    let mut limits = Limits::default();
    limits.large_kib_per_peer = 2 * KIB;
    let bob = world.bob.builder().limits(limits).build().expect("an agent");
    let carol = Place::new(3, &world.relay, &world.clock).start();
    let payload = bytes(4 * MIB);
    send(&alice, &bob, &payload).await.expect("sent");
    for _ in 0..3 {
        sync(&bob).await;
        assert!((MIB..=2 * MIB).contains(&kept(&world.bob)), "{}", kept(&world.bob));
    }
    // Others still get through, first messages too.
    say(&carol, &bob, b"hello").await;
    let mut file = Vec::new();
    for _ in 0..3 {
        assert!(!take(&bob, &mut file).await.expect("taken") || file == payload);
        sync(&bob).await;
    }
    assert!(file == payload);
    assert_eq!(kept(&world.bob), 0);
}

// attack T23
// CON-13
#[tokio::test]
async fn the_parts_of_a_stranger_never_keep_others_from_beginning() {
    let (world, alice, bob) = World::published().await;
    drop(bob);
    let mut limits = Limits::default();
    limits.large_kib_per_peer = 100;
    let bob = world.bob.builder().limits(limits).build().expect("an agent");
    let carol = Place::new(3, &world.relay, &world.clock).start();
    send(&alice, &bob, &bytes(MIB)).await.expect("sent");
    carol.send(bob.id(), b"hello").await.expect("sent");
    sync(&carol).await;
    let events = sync(&bob).await;
    assert_eq!(read(&bob).await, [b"hello"]);
    assert!(frames(&events) > 30, "what has no room is thrown away: {events:?}");
    say(&bob, &alice, b"too much").await;
}

// CON-12
#[tokio::test]
async fn an_agent_that_takes_no_large_messages_says_so_once_and_keeps_nothing() {
    let (world, alice, bob) = World::talking().await;
    drop(bob);
    let mut limits = Limits::default();
    limits.large_kib_per_peer = 0;
    let bob = world.bob.builder().limits(limits).build().expect("an agent");
    send(&alice, &bob, &bytes(MIB)).await.expect("sent");
    let denied =
        Event::Denied { peer: Device::from(alice.id()), reason: "large messages are not taken" };
    assert_eq!(sync(&bob).await, [denied]);
    assert_eq!((open(&bob).await, kept(&world.bob)), (0, 0));
    say(&alice, &bob, b"in short then").await;
}

/// Denies whatever holds these bytes.
#[derive(Debug)]
struct Denies(Vec<u8>);

impl TrustPolicy for Denies {
    fn before_dial(&self, _: &PeerFacts) -> Decision {
        Decision::allow()
    }

    fn on_accept(&self, _: &PeerFacts) -> Decision {
        Decision::allow()
    }

    fn on_message(&self, _: &PeerFacts, message: &[u8]) -> Decision {
        let found = message.windows(self.0.len()).any(|window| window == self.0);
        if found { Decision::Deny("told so") } else { Decision::allow() }
    }
}

// CON-12
#[tokio::test]
async fn a_policy_that_denies_a_part_denies_the_whole() {
    let (world, alice, bob) = World::talking().await;
    drop(bob);
    let payload = bytes(MIB);
    let denies = || Denies(payload[MIB / 2..MIB / 2 + 20].to_vec());
    // Alice began the session, and may begin others.
    let bob = world.bob.builder().inbound(denies()).outbound(denies());
    let bob = bob.build().expect("an agent");
    send(&alice, &bob, &payload).await.expect("sent");
    let events = sync(&bob).await;
    let denied = Event::Denied { peer: Device::from(alice.id()), reason: "told so" };
    assert_eq!(events, [denied]);
    assert_eq!((open(&bob).await, kept(&world.bob)), (0, 0));
    let other = Transfer::new(b"another file");
    alice.send_large(bob.id(), &mut &payload[..PART], other).await.expect("sent");
    sync(&bob).await;
    let mut file = Vec::new();
    assert!(take(&bob, &mut file).await.expect("taken") && file == payload[..PART]);
}

#[tokio::test]
async fn a_large_message_that_is_refused_is_gone_and_does_not_come_back() {
    let (world, alice, bob) = World::talking().await;
    let payload = bytes(3 * MIB);
    let mut number = 0;
    world.relay.on_deposit(move |_| {
        number += 1;
        if number <= 20 { Fate::Pass } else { Fate::Away }
    });
    let error = refused(send(&alice, &bob, &payload).await);
    assert!(matches!(error, Error::Delivery(_)), "{error:?}");
    world.relay.honest();
    sync(&bob).await;
    let large = bob.inbox().expect("inbox").large().await.expect("large").remove(0);
    let stale = large.clone();
    large.refuse().await.expect("refused");
    assert_eq!((open(&bob).await, kept(&world.bob)), (0, 0));
    assert!(stale.next().await.expect("read").is_none());
    let bob = world.bob.start();
    send(&alice, &bob, &payload).await.expect("sent");
    assert_eq!(sync(&bob).await, []);
    assert_eq!((open(&bob).await, kept(&world.bob)), (0, 0));
    assert_eq!(world.bob.disk.table(Table::Inbox), []);
}

/// Rows of large messages.
fn remembered(place: &Place) -> usize {
    let rows = place.disk.table(Table::Meta);
    rows.iter().filter(|(key, _)| key.as_bytes() != b"home").count()
}

fn expired(events: &[Event], peer: &Agent, message: MessageId) -> bool {
    events.contains(&Event::LargeExpired { peer: Device::from(peer.id()), message })
}

// CON-14
#[tokio::test]
async fn what_never_comes_whole_is_given_up_after_thirty_days() {
    let (world, alice, bob) = World::talking().await;
    let mut number = 0;
    world.relay.on_deposit(move |_| {
        number += 1;
        if number == 3 { Fate::Lost } else { Fate::Pass }
    });
    let message = send(&alice, &bob, &bytes(MIB)).await.expect("sent");
    sync(&bob).await;
    let mut file = Vec::new();
    assert!(!take(&bob, &mut file).await.expect("taken"));
    assert_eq!(file.len(), 2 * PART);
    assert!(kept(&world.bob) > MIB / 2);
    let bob = world.bob.start();
    world.clock.pass(30 * DAY);
    assert!(!expired(&sync(&bob).await, &alice, message));
    world.clock.pass(1);
    assert!(expired(&sync(&bob).await, &alice, message));
    assert_eq!((open(&bob).await, kept(&world.bob)), (0, 0));
    assert_eq!(remembered(&world.bob), 1, "that it was there");
    let bob = world.bob.start();
    world.clock.pass(30 * DAY + 1);
    sync(&bob).await;
    assert_eq!(remembered(&world.bob), 0);
}

// CON-14
#[tokio::test]
async fn what_is_not_sent_on_is_given_up_after_thirty_days_and_what_was_sent_forgotten_after_7() {
    let (world, alice, bob) = World::talking().await;
    send(&alice, &bob, &bytes(9)).await.expect("sent");
    world.relay.on_deposit(|_| Fate::Away);
    let payload = bytes(10 * MIB);
    let transfer = Transfer::new(b"another file").patience(Duration::ZERO);
    let mut message = None;
    let transfer = transfer.on_progress(|progress| message = Some(progress.message));
    let error = refused(alice.send_large(bob.id(), &mut &payload[..], transfer).await);
    assert!(error.is_retryable(), "{error:?}");
    let message = message.expect("progress");
    world.relay.honest();
    for (seconds, rows, over) in [(7 * DAY, 2, false), (1, 1, false), (23 * DAY, 0, true)] {
        world.clock.pass(seconds);
        assert_eq!(expired(&sync(&alice).await, &bob, message), over, "{seconds}");
        assert_eq!(remembered(&world.alice), rows, "{seconds}");
    }
}

// attack T30
#[tokio::test]
async fn a_clock_that_jumps_ends_no_large_message() {
    let (world, alice, bob) = World::talking().await;
    let payload = bytes(MIB);
    send(&alice, &bob, &payload).await.expect("sent");
    sync(&bob).await;
    world.clock.set(sealwire::core::Timestamp::from_secs(9_000_000_000));
    assert!(sync(&bob).await.contains(&Event::ClockJumped));
    let mut file = Vec::new();
    assert!(take(&bob, &mut file).await.expect("taken") && file == payload);
}

// CON-16
#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_lost_with_parts_in_it_begins_the_transfer_anew() {
    for (told_before, len) in [(false, 3 * MIB), (true, 3 * MIB), (false, 9 * MIB)] {
        let (world, alice, bob) = World::talking().await;
        let payload = bytes(len);
        let mut number = 0;
        world.relay.on_deposit(move |_| {
            number += 1;
            if number <= 30 { Fate::Pass } else { Fate::Away }
        });
        assert!(send(&alice, &bob, &payload).await.is_err(), "it is away");
        // Bob has taken some of it, and more is here.
        sync(&bob).await;
        let mut file = Vec::new();
        let mut large = bob.inbox().expect("inbox").large().await.expect("large").remove(0);
        let chunk = large.next().await.expect("read").expect("a chunk");
        write(&mut file, &chunk);
        large.ack(chunk).await.expect("acknowledged");
        world.relay.honest();
        world.relay.lose_mailboxes().await;
        sync(&bob).await;
        bob.publish_prekeys().await.expect("publish");
        let undeliverable = |event: &&Event| matches!(event, Event::Undeliverable { .. });
        if told_before {
            let events = sync(&alice).await;
            assert_eq!(events.iter().filter(undeliverable).count(), 1, "once: {events:?}");
        } else {
            let error = refused(send(&alice, &bob, &payload).await);
            assert!(matches!(error, Error::Rewound) && error.is_retryable(), "{error:?}");
        }
        let receiving = async {
            while !take(&bob, &mut file).await.expect("taken") {
                tokio::time::sleep(Duration::from_millis(100)).await;
                sync(&bob).await;
            }
        };
        let again = async {
            let again = Transfer::new(b"a file");
            alice.send_large(bob.id(), &mut &payload[..], again).await
        };
        let (sent, ()) = tokio::join!(again, receiving);
        assert_eq!(sent.expect("sent"), large.id());
        assert!(file == payload);
        assert_eq!(open(&bob).await, 0);
        say(&bob, &alice, b"thanks").await;
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn state_on_disk_carries_a_large_message_over_restarts_of_both() {
    use sealwire::store::{Options, SqliteStore};
    let home = tempfile::tempdir().expect("a directory");
    let world = World::new();
    let start = |place: &Place, name: &str| {
        let store = SqliteStore::open(home.path().join(name), place.keys.as_ref(), Options::new());
        place.builder().store(Arc::new(store.expect("the state"))).build().expect("an agent")
    };
    start(&world.bob, "bob").publish_prekeys().await.expect("publish");
    let payload = bytes(2 * MIB);
    let mut number = 0;
    world.relay.on_deposit(move |_| {
        number += 1;
        if number % 20 > 14 { Fate::Away } else { Fate::Pass }
    });
    let (mut file, mut restarts) = (Vec::new(), 0);
    loop {
        let bob = world.bob.keys.clone();
        let bob = sealwire::identity::AgentId::from_key(sealwire::core::KeyStore::identity(&*bob));
        let transfer = Transfer::new(b"a file").patience(Duration::ZERO);
        let alice = start(&world.alice, "alice");
        let sent = alice.send_large(&bob, &mut &payload[..], transfer).await;
        drop(alice);
        let bob = start(&world.bob, "bob");
        sync(&bob).await;
        if take(&bob, &mut file).await.expect("taken") {
            break;
        }
        assert!(sent.is_err_and(|error| error.is_retryable()));
        restarts += 1;
    }
    assert!(restarts >= 2 && file == payload, "{restarts}");
}

// attack T34
#[tokio::test]
async fn what_is_shown_for_debugging_has_no_bytes_and_no_peers() {
    let (_world, alice, bob) = World::talking().await;
    let payload = bytes(64);
    send(&alice, &bob, &payload).await.expect("sent");
    sync(&bob).await;
    let large = bob.inbox().expect("inbox").large().await.expect("large").remove(0);
    let chunk = large.next().await.expect("read").expect("a chunk");
    let text = format!("{large:?} {chunk:?} {:?}", Transfer::new(b"key").length(64));
    assert!(!sealwire_testkit::leak::shows(&text, &payload[..32]), "{text}");
    assert!(!text.contains("did:key"), "{text}");
}
