//! Sends and receives that are dropped half-way.

use std::time::Duration;

use proptest::prelude::*;
use sealwire::{Channel, Peer};
use tokio::{
    io::{DuplexStream, duplex},
    time::timeout,
};

use crate::live::common::{call, open};

/// What a test does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Sends a message of this length, dropped as soon as it has to wait.
    Send(usize),
    /// Receives, dropped as soon as it has to wait.
    Receive,
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![0..40_usize, 1000..40_000_usize];
    prop_oneof![length.prop_map(Step::Send), Just(Step::Receive), Just(Step::Receive)]
}

fn message(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + number).to_le_bytes()[0]).collect()
}

async fn over(buffer: usize) -> [Channel<DuplexStream>; 2] {
    let (near, far) = duplex(buffer);
    let (at_alice, at_bob) = call((&open(1), Peer::Stranger, near), (&open(2), far)).await;
    [at_alice.expect("dial"), at_bob.expect("answer")]
}

async fn run(buffer: usize, steps: Vec<Step>) {
    let [mut at_alice, mut at_bob] = over(buffer).await;
    let (mut taken, mut received) = (Vec::new(), Vec::new());
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Send(length) => {
                let message = message(number, length);
                let before = at_alice.message_count().sent;
                if let Ok(sent) = timeout(Duration::ZERO, at_alice.send(&message)).await {
                    sent.expect("send");
                }
                // Whether it was taken is not a guess.
                if at_alice.message_count().sent > before {
                    taken.push(message);
                }
            }
            Step::Receive => {
                if let Ok(message) = timeout(Duration::ZERO, at_bob.recv()).await {
                    received.push(message.expect("recv").expect("not the end"));
                }
            }
        }
    }
    let (closed, ()) = tokio::join!(at_alice.close(), async {
        while let Some(message) = at_bob.recv().await.expect("recv") {
            received.push(message);
        }
    });
    closed.expect("close");
    assert!(received == taken, "what was taken arrives, once, in order, whole");
    let count = u64::try_from(taken.len()).expect("few");
    assert_eq!(at_alice.message_count().sent, count);
    assert_eq!(at_bob.message_count().received, count);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn dropped_sends_and_receives_keep_boundaries_order_and_counts(
        buffer in prop_oneof![Just(1_usize), 2..100_usize, 1000..70_000_usize],
        steps in prop::collection::vec(step(), 0..40),
    ) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(run(buffer, steps));
    }
}
