//! Which figures there are, beside whom, and what is wanted.

use std::collections::BTreeSet;

/// A set of figures.
#[derive(Debug)]
pub(super) struct Suite {
    pub(super) name: &'static str,
    /// The example that measures ours.
    pub(super) example: &'static str,
    pub(super) figures: &'static [Figure],
}

/// Something that is measured.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) unit: Unit,
    /// How many bytes are moved; 0 where the time decides.
    pub(super) bytes: u64,
    /// Whether programs are given a folder for files.
    pub(super) files: bool,
    /// How often each side is asked, without `--quick`.
    pub(super) rounds: u32,
    /// Whether `--quick` leaves it out.
    pub(super) slow: bool,
    /// What is wanted of ours by itself, as no peer has the like: at least, or where less is
    /// better at most.
    pub(super) wanted: Option<f64>,
    pub(super) peers: &'static [Peer],
}

/// Whom a figure is set beside.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) program: Program,
    /// The ratio that is wanted at least; none for a row that only informs.
    pub(super) wanted: Option<f64>,
}

/// Who measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Ours,
    /// A limit, which the same program measures.
    Limit,
    XWing,
    Peers,
    /// The peers' program, which starts one of this Debian package.
    Debian(&'static str),
    Python,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// More is better.
    PerSecond,
    /// More is better.
    BytesPerSecond,
    /// Less is better.
    Bytes,
    /// Less is better.
    Milliseconds,
}

impl Unit {
    /// The name in a row, and what the figure is divided by for it.
    pub(super) const fn shown(self) -> (&'static str, f64) {
        match self {
            Self::PerSecond => ("1/s", 1.0),
            Self::BytesPerSecond => ("MB/s", 1e6),
            Self::Bytes => ("bytes", 1.0),
            Self::Milliseconds => ("ms", 1.0),
        }
    }

    pub(super) const fn less_is_better(self) -> bool {
        match self {
            Self::PerSecond | Self::BytesPerSecond => false,
            Self::Bytes | Self::Milliseconds => true,
        }
    }
}

impl Suite {
    /// Whether a figure needs `program`.
    pub(super) fn asks(&self, program: Program) -> bool {
        self.programs().any(|asked| asked == program)
    }

    /// The Debian packages that figures need, each once.
    pub(super) fn packages(&self) -> BTreeSet<&'static str> {
        let package = |program| match program {
            Program::Debian(package) => Some(package),
            _ => None,
        };
        self.programs().filter_map(package).collect()
    }

    fn programs(&self) -> impl Iterator<Item = Program> {
        self.figures.iter().flat_map(|figure| figure.peers).map(|peer| peer.program)
    }
}

const fn theirs(name: &'static str, wanted: Option<f64>) -> Peer {
    Peer { name, program: Program::Peers, wanted }
}

const fn timed(name: &'static str, unit: Unit, peers: &'static [Peer]) -> Figure {
    Figure { name, unit, bytes: 0, files: false, rounds: 7, slow: false, wanted: None, peers }
}

const fn limit(name: &'static str) -> Peer {
    Peer { name, program: Program::Limit, wanted: None }
}

const fn loaded(
    name: &'static str,
    unit: Unit,
    wanted: Option<f64>,
    peers: &'static [Peer],
) -> Figure {
    Figure { name, unit, bytes: 0, files: false, rounds: 3, slow: false, wanted, peers }
}

const fn filled(name: &'static str, peers: &'static [Peer]) -> Figure {
    Figure { rounds: 1, ..loaded(name, Unit::PerSecond, None, peers) }
}

/// It takes minutes to fill a store with a million agents.
const fn full(name: &'static str, peers: &'static [Peer]) -> Figure {
    Figure { slow: true, ..filled(name, peers) }
}

const fn grows(name: &'static str, unit: Unit, peers: &'static [Peer]) -> Figure {
    Figure { name, unit, bytes: 0, files: false, rounds: 3, slow: false, wanted: None, peers }
}

/// With identities: a proof and a card on each side, which no peer has.
const WITH_IDENTITIES: [Peer; 2] = [theirs("snow", Some(0.9)), theirs("clatter", Some(1.6))];
const BARE: [Peer; 2] = [theirs("snow", Some(1.0)), theirs("clatter", Some(2.5))];
/// What is left when both sides have verified the other's card before.
const CARDS_KNOWN: [Peer; 2] = [theirs("snow", None), theirs("clatter", None)];
const RAW: [Peer; 2] = [theirs("aws-lc", None), theirs("snow", None)];
const RAW_16: [Peer; 2] = [theirs("aws-lc", Some(0.9)), theirs("snow", None)];
const STREAMS: [Peer; 3] =
    [theirs("plain", None), theirs("rustls", Some(1.0)), theirs("snowstorm", Some(3.0))];
const X_WING_2: [Peer; 1] = [Peer { name: "x-wing", program: Program::XWing, wanted: Some(2.0) }];
const X_WING_3: [Peer; 1] = [Peer { name: "x-wing", program: Program::XWing, wanted: Some(3.0) }];
const ONE_PINNED: [Peer; 1] =
    [Peer { name: "accepts, 1 pinned", program: Program::Ours, wanted: None }];

const OLM: [Peer; 1] = [theirs("vodozemac", None)];
const PYTHON: Peer = Peer { name: "doubleratchet", program: Program::Python, wanted: None };
const BURSTS: [Peer; 2] = [theirs("vodozemac", Some(1.5)), PYTHON];
const PINGS: [Peer; 2] = [theirs("vodozemac", Some(1.2)), PYTHON];

/// A handler that does nothing, a relay without a disk, and the bare loop of a store.
const LIMITS: [Peer; 6] = [
    limit("axum"),
    limit("memory"),
    limit("sqlite"),
    limit("sqlite, batch 64"),
    limit("sqlite, batch 8"),
    limit("sqlite, batch 1"),
];
const SERVERS: [Peer; 2] = [limit("axum"), limit("memory")];
const ACCEPT_1000: [Peer; 1] =
    [Peer { name: "accept, 1000 agents", program: Program::Ours, wanted: None }];
const CLAIM_1000: [Peer; 1] =
    [Peer { name: "claim, 1000 agents", program: Program::Ours, wanted: None }];
const ACCEPT_TIME: [Peer; 1] =
    [Peer { name: "accept, processor time", program: Program::Ours, wanted: None }];
const CLAIM_TIME: [Peer; 1] =
    [Peer { name: "claim, processor time", program: Program::Ours, wanted: None }];

/// AES-256-GCM alone is the most that there is; a stream of 64 KiB is also a head and a key record.
const SMALL_SEALS: [Peer; 3] = [AGE, CRYPTOGRAPHY, theirs("aws-lc", None)];
const MEMORY_SEALS: [Peer; 3] = [AGE, CRYPTOGRAPHY, theirs("aws-lc", Some(0.8))];
const FILES: [Peer; 5] =
    [AGE, AGE_COMMAND, CRYPTOGRAPHY, theirs("aws-lc", None), theirs("cp", None)];
const AGE: Peer = theirs("age", Some(2.0));
const AGE_COMMAND: Peer = Peer { name: "age-cli", program: Program::Debian("age"), wanted: None };
const CRYPTOGRAPHY: Peer =
    Peer { name: "cryptography", program: Program::Python, wanted: Some(1.3) };
const THREADS: [Peer; 2] = [limit("1 thread"), theirs("cp", None)];

/// Whatever the size of the object.
const MOST_MEMORY: f64 = 64.0 * 1024.0 * 1024.0;

const fn file(name: &'static str, peers: &'static [Peer]) -> Figure {
    let unit = Unit::BytesPerSecond;
    Figure { bytes: 4 << 30, files: true, rounds: 3, ..timed(name, unit, peers) }
}

const fn weighed(name: &'static str) -> Figure {
    let unit = Unit::Bytes;
    Figure { unit, rounds: 1, wanted: Some(MOST_MEMORY), ..file(name, &[]) }
}

const SUITES: [Suite; 7] = [
    Suite {
        name: "handshake",
        example: "ours",
        figures: &[
            timed("XX", Unit::PerSecond, &WITH_IDENTITIES),
            timed("IK+psk0", Unit::PerSecond, &WITH_IDENTITIES),
            timed("XX bare", Unit::PerSecond, &BARE),
            timed("IK+psk0 bare", Unit::PerSecond, &BARE),
            timed("XX, cards known", Unit::PerSecond, &CARDS_KNOWN),
            timed("IK+psk0, cards known", Unit::PerSecond, &CARDS_KNOWN),
        ],
    },
    Suite {
        name: "record",
        example: "ours",
        figures: &[
            timed("seal+open 1KiB", Unit::BytesPerSecond, &RAW),
            timed("seal+open 16KiB", Unit::BytesPerSecond, &RAW_16),
            timed("seal+open 64KiB", Unit::BytesPerSecond, &RAW),
            Figure {
                name: "tcp 4GiB",
                unit: Unit::BytesPerSecond,
                bytes: 4 << 30,
                files: false,
                rounds: 3,
                slow: false,
                wanted: None,
                peers: &STREAMS,
            },
        ],
    },
    Suite {
        name: "xwing",
        example: "ours",
        figures: &[
            timed("encapsulate", Unit::PerSecond, &X_WING_2),
            timed("decapsulate", Unit::PerSecond, &X_WING_3),
        ],
    },
    Suite {
        name: "ratchet",
        example: "ours",
        figures: &[
            timed("first", Unit::PerSecond, &OLM),
            timed("burst", Unit::PerSecond, &BURSTS),
            timed("ping", Unit::PerSecond, &PINGS),
            Figure { rounds: 1, ..timed("state", Unit::Bytes, &OLM) },
            timed("state written and read", Unit::PerSecond, &OLM),
            Figure { wanted: Some(2000.0), ..timed("durable", Unit::PerSecond, &[]) },
            timed("durable, processor time", Unit::PerSecond, &[]),
        ],
    },
    Suite {
        name: "envelope",
        example: "ours",
        figures: &[
            timed("seal 64KiB mem", Unit::BytesPerSecond, &SMALL_SEALS),
            timed("seal 64MiB mem", Unit::BytesPerSecond, &MEMORY_SEALS),
            timed("open 64MiB mem", Unit::BytesPerSecond, &MEMORY_SEALS),
            file("seal 4GiB file", &FILES),
            file("open 4GiB file", &FILES),
            file("seal 4GiB file, 2 threads", &THREADS),
            file("open 4GiB file, 2 threads", &THREADS),
            weighed("seal 4GiB memory"),
            weighed("open 4GiB memory"),
            weighed("seal 4GiB memory, 2 threads"),
            weighed("open 4GiB memory, 2 threads"),
            timed("range", Unit::PerSecond, &[theirs("aws-lc", None)]),
            Figure {
                files: true,
                ..timed("range, file", Unit::PerSecond, &[theirs("aws-lc", None)])
            },
            timed("many", Unit::PerSecond, &[AGE]),
            Figure { rounds: 3, wanted: Some(10_000.0), ..timed("rewrap", Unit::PerSecond, &[]) },
        ],
    },
    Suite {
        name: "growth",
        example: "ours",
        figures: &[
            grows("memory per idle channel", Unit::Bytes, &[]),
            grows("memory per pending handshake", Unit::Bytes, &[]),
            grows("accepts, 1 pinned", Unit::PerSecond, &[]),
            grows("accepts, 100 pinned", Unit::PerSecond, &ONE_PINNED),
            grows("accepts, 10000 pinned", Unit::PerSecond, &ONE_PINNED),
        ],
    },
    Suite {
        name: "relay",
        example: "load",
        figures: &[
            loaded("accept", Unit::PerSecond, Some(20_000.0), &LIMITS),
            loaded("accept, p99 at 20000/s", Unit::Milliseconds, Some(50.0), &SERVERS),
            loaded("accept, p99 at 10000/s", Unit::Milliseconds, None, &SERVERS),
            loaded("accept, processor time", Unit::PerSecond, None, &[]),
            loaded("claim", Unit::PerSecond, Some(10_000.0), &[]),
            loaded("claim, processor time", Unit::PerSecond, None, &[]),
            loaded("latency", Unit::Milliseconds, None, &[]),
            loaded("latency, p99", Unit::Milliseconds, None, &[]),
            // 10,000 streams in 300 MB.
            loaded("idle", Unit::Bytes, Some(30_000.0), &[]),
            filled("accept, 1000 agents", &[]),
            filled("accept, 100000 agents", &ACCEPT_1000),
            full("accept, 1000000 agents", &ACCEPT_1000),
            full("accept, 1000000 agents, processor time", &ACCEPT_TIME),
            filled("claim, 1000 agents", &[]),
            filled("claim, 100000 agents", &CLAIM_1000),
            full("claim, 1000000 agents", &CLAIM_1000),
            full("claim, 1000000 agents, processor time", &CLAIM_TIME),
        ],
    },
];

/// The names of all suites.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SUITES.iter().map(|suite| suite.name)
}

/// The suite of this name.
pub(super) fn find(name: &str) -> Option<&'static Suite> {
    static ALL: [Suite; 7] = SUITES;
    ALL.iter().find(|suite| suite.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_in_their_suite() {
        for suite in &SUITES {
            let mut names: Vec<_> = suite.figures.iter().map(|figure| figure.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), suite.figures.len(), "{}", suite.name);
            assert!(find(suite.name).is_some());
        }
    }

    #[test]
    fn a_suite_names_the_packages_that_it_needs_once() {
        let packages = |name| find(name).unwrap().packages().into_iter().collect::<Vec<_>>();
        assert_eq!(packages("envelope"), ["age"]);
        assert_eq!(packages("record"), [""; 0]);
    }

    #[test]
    fn what_moves_gigabytes_says_so() {
        for figure in SUITES.iter().flat_map(|suite| suite.figures) {
            assert_eq!(figure.bytes == 4 << 30, figure.name.contains("4GiB"), "{}", figure.name);
        }
    }

    #[test]
    fn a_figure_of_ours_is_set_beside_one_of_its_suite() {
        for suite in &SUITES {
            for peer in suite.figures.iter().flat_map(|figure| figure.peers) {
                let known = suite.figures.iter().any(|figure| figure.name == peer.name);
                assert_eq!(known, peer.program == Program::Ours, "{}", peer.name);
            }
        }
    }
}
