//! One-time keys, claimed by many at a time.

use std::collections::HashSet;

use sealwire::delivery::{Claimed, Delivery, Device};
use tokio::task::JoinSet;

use crate::common::{Rig, keys};

// attack T22
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_one_time_key_goes_out_twice_to_those_who_claim_at_a_time() {
    let rig = Rig::new().await;
    let bob = rig.agent(2);
    bob.publish_prekeys().await.expect("publish");
    let of = Device::from(bob.id());
    let first = rig.delivery(&keys(3));
    // 100 and 20 are there; 50 are left.
    for nonce in 0..50 {
        first.claim(&of, [nonce; 16]).await.expect("claim");
    }
    let mut claiming = JoinSet::new();
    for claimer in 0..64_u8 {
        let (delivery, of) = (rig.delivery(&keys(100 + u64::from(claimer))), of.clone());
        claiming.spawn(async move {
            // The same nonce from another agent is another claim, and from this one the same.
            let claimed = delivery.claim(&of, [1; 16]).await.expect("claim");
            assert_eq!(delivery.claim(&of, [1; 16]).await.expect("again"), claimed);
            claimed
        });
    }
    let claimed: Vec<Claimed> = claiming.join_all().await;
    let keys: Vec<_> = claimed.iter().filter_map(|claimed| claimed.x25519.as_ref()).collect();
    let distinct: HashSet<&[u8]> = keys.iter().map(|key| key.key.as_slice()).collect();
    assert_eq!((keys.len(), distinct.len()), (50, 50), "and 14 got none");
    assert!(claimed.iter().all(|claimed| claimed.kem.is_none()), "20 went before");
}
