//! Any schedule of sending, losing, repeating, reordering and restarting, against a model.

use proptest::{collection::vec, prelude::*};
use rand_core::TryRng;

use super::*;

/// Both sides and what is under way.
struct Run {
    pair: Pair,
    /// By receiver.
    flying: [Vec<Flying>; 2],
    opened: [u64; 2],
}

struct Flying {
    message: Vec<u8>,
    opened: bool,
}

#[derive(Clone, Debug)]
enum Op {
    Send(bool),
    /// The message at this place of what flies to a side, which stays there to come again.
    Deliver(bool, usize),
    /// The message at this place is lost.
    Lose(bool, usize),
    Restart(bool),
}

const SIDES: [Side; 2] = [Alice, Bob];

impl Run {
    fn new(seed: u64) -> Self {
        Self { pair: Pair::started(seed), flying: [Vec::new(), Vec::new()], opened: [0, 1] }
    }

    fn send(&mut self, from: usize) {
        let message = self.pair.seal(SIDES[from]);
        self.flying[1 - from].push(Flying { message, opened: false });
    }

    /// The model: a message opens exactly once; again, it is a duplicate or of a chain of which
    /// nothing is kept, and changes nothing.
    fn deliver(&mut self, to: usize, index: usize) {
        let Some(index) = index.checked_rem(self.flying[to].len()) else { return };
        let Flying { message, opened } = &mut self.flying[to][index];
        let before = self.pair.side(SIDES[to]).to_bytes();
        let result = self.pair.open(SIDES[to], message);
        if *opened {
            assert!(matches!(result, Err(Error::Duplicate | Error::Open)), "{result:?}");
            assert_eq!(self.pair.side(SIDES[to]).to_bytes(), before);
        } else {
            assert_eq!(result, Ok(()), "to {:?}", SIDES[to]);
            self.opened[to] += 1;
        }
        *opened = true;
    }

    fn restart(&mut self, side: usize) {
        let session = self.pair.side(SIDES[side]);
        *session = Session::from_bytes(&session.to_bytes()).expect("own bytes");
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Send(from) => self.send(usize::from(from)),
            Op::Deliver(to, index) => self.deliver(usize::from(to), index),
            Op::Lose(to, index) => {
                let flying = &mut self.flying[usize::from(to)];
                if let Some(index) = index.checked_rem(flying.len()) {
                    flying.swap_remove(index);
                }
            }
            Op::Restart(side) => self.restart(usize::from(side)),
        }
    }

    /// In turns, both come to one epoch, and go on from there.
    fn finish(&mut self) {
        for _ in 0..4 {
            self.pair.pass(Alice);
            self.pair.pass(Bob);
        }
        let epoch = self.pair.alice.pq_epoch();
        assert_eq!(epoch, self.pair.bob.pq_epoch());
        assert!(epoch >= 2);
        assert_eq!(self.pair.alice.received(), self.opened[0] + 4);
        assert_eq!(self.pair.bob.received(), self.opened[1] + 4);
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any::<bool>().prop_map(Op::Send),
        4 => any::<(bool, usize)>().prop_map(|(to, index)| Op::Deliver(to, index)),
        1 => any::<(bool, usize)>().prop_map(|(to, index)| Op::Lose(to, index)),
        1 => any::<bool>().prop_map(Op::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    // RAT-18, RAT-19, RAT-20, RAT-21
    #[test]
    fn every_schedule_opens_each_message_exactly_once(ops in vec(op(), 0..120), seed: u64) {
        let mut run = Run::new(seed);
        for op in ops {
            run.step(op);
        }
        run.finish();
    }
}

// attack T17
#[test]
fn ten_thousand_messages_out_of_order_open_once_each() {
    const TURNS: usize = 50;
    const BURST: usize = 200;
    let mut run = Run::new(17);
    let mut rng = SeededRng::new(18);
    let mut draw = move |below: usize| {
        let Ok(number) = rng.try_next_u32();
        usize::try_from(number).expect("32 bits") % below
    };
    let (mut delivered, mut largest) = (0, 0);
    for turn in 0..TURNS {
        let from = turn % 2;
        for _ in 0..BURST {
            run.send(from);
        }
        let to = 1 - from;
        let flying = &mut run.flying[to];
        flying.retain(|_| draw(10) > 0);
        // Nine of ten now, in any order, some of them twice; the rest in a later turn.
        let mut order: Vec<usize> = (0..flying.len()).filter(|_| draw(10) > 0).collect();
        for index in (1..order.len()).rev() {
            order.swap(index, draw(index + 1));
        }
        for index in order {
            run.deliver(to, index);
            delivered += 1;
            if draw(10) == 0 {
                run.deliver(to, index);
            }
        }
        // What opened is forgotten two turns later, so that late duplicates come too.
        if turn % 4 == 3 {
            run.flying.iter_mut().for_each(|flying| flying.retain(|flying| !flying.opened));
        }
        largest = largest.max(run.pair.side(SIDES[to]).to_bytes().len());
    }
    assert!(delivered > 8000, "{delivered}");
    assert!(largest < 80 * 1024, "{largest} bytes of state");
    run.finish();
}
