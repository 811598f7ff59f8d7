//! Peers in a file.

use std::{fs, path::PathBuf, sync::Arc};

use sealwire::{
    Agent, AllowAnyAuthenticated, Error, Peer, Peers,
    core::{Unverified, Verified},
    identity::{IdentityCard, PinnedBy},
};
use tempfile::TempDir;

use crate::live::common::{NOW, builder, call, channels, dial, id_of, introduce, open, pins};
use crate::live::wire::{Way, tapped};

struct Place {
    directory: TempDir,
    file: PathBuf,
}

fn place() -> Place {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("peers");
    Place { directory, file }
}

fn verified(agent: &Agent) -> Verified<IdentityCard> {
    Unverified::new(agent.card().clone()).verify(NOW).expect("a sound card")
}

fn with_peers(seed: u64, peers: &Arc<Peers>) -> Agent {
    builder(seed).peers(Arc::clone(peers)).inbound(AllowAnyAuthenticated).build().expect("agent")
}

#[tokio::test(start_paused = true)]
async fn who_was_met_is_in_the_file_before_the_channel_is_there() {
    let place = place();
    let alice = with_peers(1, &Arc::new(Peers::open(&place.file).expect("peers")));
    let bob = open(2);
    let (at_alice, _at_bob) = channels(&alice, Peer::Stranger, &bob).await;
    let again = Peers::open(&place.file).expect("peers");
    assert!(again.get(at_alice.peer().expect("peer")).expect("peers").is_some());
    // Seen again within the hour, nothing that decides anything has changed.
    let before = fs::read(&place.file).expect("the file");
    let _channels = channels(&alice, id_of(&bob), &bob).await;
    assert_eq!(fs::read(&place.file).expect("the file"), before);
}

#[test]
fn two_stores_on_one_file_see_and_keep_each_others_changes() {
    let place = place();
    let stores = [(); 2].map(|()| Peers::open(&place.file).expect("peers"));
    let agents: Vec<Agent> = (10..16).map(open).collect();
    for (number, agent) in agents.iter().enumerate() {
        let writer = &stores[number % 2];
        writer.pin(&verified(agent), PinnedBy::OutOfBand, NOW).expect("pin");
        for store in &stores {
            assert_eq!(store.list().expect("peers").len(), number + 1);
        }
    }
    assert!(stores[0].remove(agents[0].id()).expect("remove"));
    assert!(!stores[1].remove(agents[0].id()).expect("remove"));
    assert_eq!(stores[1].get(agents[0].id()).expect("peers"), None);
}

#[test]
fn writers_side_by_side_lose_nothing() {
    let place = place();
    std::thread::scope(|scope| {
        for seeds in [10..18, 20..28] {
            let file = &place.file;
            scope.spawn(move || {
                let peers = Peers::open(file).expect("peers");
                for seed in seeds {
                    peers.pin(&verified(&open(seed)), PinnedBy::OutOfBand, NOW).expect("pin");
                }
            });
        }
    });
    assert_eq!(Peers::open(&place.file).expect("peers").list().expect("peers").len(), 16);
}

#[test]
fn what_a_crash_left_beside_the_file_is_ignored() {
    let place = place();
    let peers = Peers::open(&place.file).expect("peers");
    peers.pin(&verified(&open(1)), PinnedBy::OutOfBand, NOW).expect("pin");
    fs::write(place.directory.path().join(".peers.tmp"), b"half of").expect("write");
    assert_eq!(Peers::open(&place.file).expect("peers").list().expect("peers").len(), 1);
    peers.pin(&verified(&open(2)), PinnedBy::OutOfBand, NOW).expect("pin");
    assert_eq!(Peers::open(&place.file).expect("peers").list().expect("peers").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_spoilt_file_is_an_error_that_names_it_and_is_left_as_it_is() {
    let place = place();
    let peers = Arc::new(Peers::open(&place.file).expect("peers"));
    peers.pin(&verified(&open(2)), PinnedBy::OutOfBand, NOW).expect("pin");
    let good = fs::read(&place.file).expect("the file");
    let alice = with_peers(1, &peers);
    for spoilt in [&b""[..], b"\x02", &good[..good.len() - 1], &[&good[..], b"x"].concat()] {
        fs::write(&place.file, spoilt).expect("write");
        let opened = Peers::open(&place.file);
        let text = opened.as_ref().map(|_| ()).expect_err("spoilt").to_string();
        assert!(matches!(opened, Err(Error::PeersFile { .. })));
        assert!(text.contains(&place.file.display().to_string()), "{text}");
        let pinned = peers.pin(&verified(&open(3)), PinnedBy::OutOfBand, NOW);
        assert!(matches!(pinned, Err(Error::PeersFile { .. })));
        let (at_alice, _) = dial(&alice, Peer::Stranger, &open(2)).await;
        assert!(matches!(at_alice, Err(Error::PeersFile { .. })), "{at_alice:?}");
        let (_, at_alice) = dial(&open(2), Peer::Stranger, &alice).await;
        assert!(matches!(at_alice, Err(Error::PeersFile { .. })), "{at_alice:?}");
        assert_eq!(fs::read(&place.file).expect("the file"), spoilt);
    }
    // Repaired, it is used again without a restart.
    fs::write(&place.file, &good).expect("write");
    assert_eq!(pins(&alice).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_gone_gives_no_channel_and_forgets_nobody() {
    let place = place();
    let bob = open(2);
    // Nothing was stored yet: the first pin fails.
    let empty = with_peers(1, &Arc::new(Peers::open(&place.file).expect("peers")));
    let pinned = with_peers(1, &Arc::new(Peers::open(&place.file).expect("peers")));
    fs::remove_dir_all(place.directory.path()).expect("remove");
    let (near, far, log) = tapped();
    let (at_alice, at_bob) = call((&empty, Peer::Stranger, near), (&bob, far)).await;
    assert!(matches!(at_alice, Err(Error::Store(_))), "{at_alice:?}");
    assert!(at_bob.is_err());
    assert_eq!(log.sent(Way::ToResponder).len(), 10 + 2 + 1216, "no message 3");
    // The answering side refuses in the same way.
    let (_, at_alice) = dial(&bob, Peer::Stranger, &empty).await;
    assert!(matches!(at_alice, Err(Error::Store(_))), "{at_alice:?}");
    // A peer that is pinned is not a stranger because a disk is gone.
    fs::create_dir(place.directory.path()).expect("make");
    introduce(&pinned, &bob);
    fs::remove_dir_all(place.directory.path()).expect("remove");
    let (at_alice, _) = dial(&pinned, id_of(&bob), &bob).await;
    assert!(matches!(at_alice, Err(Error::Store(_))), "{at_alice:?}");
    assert!(matches!(pinned.peers().list(), Err(Error::Store(_))));
    fs::create_dir(place.directory.path()).expect("make, so that it can be removed");
}
