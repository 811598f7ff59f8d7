//! Whole agents and what stands between them, under a schedule. The fuzz target `conversation`
//! includes this file and writes schedules of its own.

mod post;
mod world;

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

use self::{
    post::Order,
    world::{Failure, World},
};

/// A schedule for two or three agents: a byte of which bit 0 says how many and bit 1 the suite,
/// then operations of two bytes: what is done, and to what. What is read was sent to whoever reads
/// it, and was handed over unchanged; it is read once; what was stored is there after each
/// restart; and in the end all talk again.
pub(crate) fn conversation(bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_first() else { return false };
    let (ops, left) = rest.as_chunks::<2>();
    if ops.len() > 64 || !left.is_empty() {
        return false;
    }
    // Agents have blocking work done by threads of the runtime: they are started once.
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));
    RUNTIME.block_on(async {
        let mut world = World::new(2 + usize::from(first & 1), first & 2 != 0).await;
        for [kind, argument] in ops {
            step(&mut world, *kind, *argument).await;
        }
        world.finish().await;
    });
    true
}

/// The low four bits of `kind` say what, bits 4 and 5 who, bits 6 and 7 with whom.
async fn step(world: &mut World, kind: u8, argument: u8) {
    let agents = world.agents();
    let one = usize::from(kind >> 4 & 3) % agents;
    let other = (one + 1 + usize::from(kind >> 6) % (agents - 1)) % agents;
    let at = usize::from(argument);
    match kind & 15 {
        0 | 1 => world.send(one, other).await,
        2 | 3 => drop(world.sync(one).await),
        4 => world.ack(one).await,
        5 => world.restart(one).await,
        6 if argument < 128 => world.crash(one, Failure::OfSync(at % 6)).await,
        6 => world.crash(one, Failure::OfSend(other, at % 3)).await,
        7 => world.post(|post| post.lose(at)),
        8 => world.post(|post| post.repeat(at)),
        9 => world.post(|post| post.change(at / 4, [0, 1, 19, 60, 300, 1200, 1500, 2047][at % 8])),
        10 => world.post(|post| post.misdeliver(at & 15, at >> 4)),
        11 => world.post(|post| post.replay(at)),
        12 if argument < 128 => {
            world.post(|post| post.hand_out([Order::Oldest, Order::Newest, Order::Odd][at % 3]));
        }
        12 => world.post(|post| post.fail(at & 15, at & 16 != 0)),
        13 if argument < 128 => world.wait([1, 3600, 86_400, 8 * 86_400][at % 4]),
        13 => world.set_clock([0, -86_400, -3600, 3600, 43_200, 3650 * 86_400][at % 6]),
        14 if argument < 128 => world.publish(one).await,
        14 => world.close_sessions(one).await,
        _ => world.close_mailbox(at),
    }
}

#[cfg(test)]
mod replay {
    // attack T25, T33
    #[test]
    fn conversations() {
        sealwire_testkit::corpus::replay("conversation", super::conversation);
    }
}
