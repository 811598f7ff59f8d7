//! The end of a relay: nothing that was acknowledged is lost, and nobody is left waiting.

use std::{sync::Arc, time::Duration};

use sealwire_relay::{
    server::Event,
    store::{MemoryStore, Store},
    wire::{Body, MailboxKind, Messages},
};
use tokio::time::{Instant, sleep};

use crate::{
    connections::until,
    http::Http,
    people::deposit,
    rig::{Rig, frame, settings},
};

// REL-18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_the_end_is_there_after_it() {
    let store: Arc<MemoryStore> = Arc::default();
    let rig = Rig::over(Arc::clone(&store) as Arc<dyn Store>, settings()).await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let (address, host, now) = (rig.address, rig.host.clone(), rig.now());
    let capability = owner.capability(1, now);
    let sender = |_| {
        let (capability, host, send) = (capability.clone(), host.clone(), owner.send);
        tokio::task::spawn(async move {
            let (mut taken, mut connection) = (0, Http::connect(address).await);
            for byte in 0..100 {
                connection.write(&deposit(send, &capability, &frame(byte)).to_bytes(&host)).await;
                match connection.answer().await {
                    Ok(answer) => taken += usize::from(answer.status == 202),
                    Err(_) => break,
                }
            }
            taken
        })
    };
    let senders: Vec<_> = (0..8).map(sender).collect();
    sleep(Duration::from_millis(30)).await;
    rig.relay.shutdown().await;
    let mut taken = 0;
    for sender in senders {
        taken += sender.await.unwrap_or(0);
    }
    let usage = store.usage().await.expect("the store");
    assert!(usage.messages >= taken as u64, "{} of {taken}", usage.messages);
    let refused = tokio::net::TcpStream::connect(address).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn whoever_waits_is_answered_and_idle_connections_end() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let mut waiting = rig.connect().await;
    waiting.write(&rig.signed(&owner, &owner.fetch(0, 1, 60), &[]).to_bytes(&rig.host)).await;
    let mut idle = rig.connect().await;
    idle.ask(&rig.signed(&owner, &owner.fetch(0, 1, 0), &[])).await.is(200);
    let mut silent = rig.connect().await;
    until(&rig, "readers", 1).await;
    let start = Instant::now();
    let Rig { relay, log, .. } = rig;
    relay.shutdown().await;
    assert!(start.elapsed() < Duration::from_secs(5), "nothing had to be cut off");
    let answer = waiting.answer().await.expect("an answer");
    assert_eq!(Messages::from_bytes(&answer.is(200).body).expect("a body").messages.len(), 0);
    idle.closed().await;
    silent.closed().await;
    let events = log.0.lock().expect("a lock").clone();
    let expected = [Event::Started { tls: false }, Event::Draining, Event::Stopped { cut_off: 0 }];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn what_does_not_end_is_cut_off() {
    let rig = Rig::with(|settings| settings.times.drain = Duration::from_millis(300)).await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let bytes = deposit(owner.send, &owner.capability(1, rig.now()), &frame(1)).to_bytes(&rig.host);
    let mut slow = rig.connect().await;
    slow.write(&bytes[..bytes.len() - 1]).await;
    until(&rig, "body_bytes", 2048).await;
    let start = Instant::now();
    let Rig { relay, log, .. } = rig;
    relay.shutdown().await;
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    slow.closed().await;
    let last = log.0.lock().expect("a lock").last().cloned();
    assert_eq!(last, Some(Event::Stopped { cut_off: 1 }));
}
