//! Two agents that are both online.

mod age;
mod cancel;
mod channel;
mod clock;
mod common;
mod compose;
mod floods;
mod frames;
mod handshake;
mod impostor;
mod leaks;
mod mallory;
mod peers_file;
mod policy;
mod refusal;
mod replay;
mod resets;
mod score;
mod suites;
mod tamper;
mod wire;
mod wrong_peer;
