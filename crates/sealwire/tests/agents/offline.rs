//! Agents that are not online at the same time.

mod attacks;
mod common;
mod faults;
mod frozen;
mod large;
mod leaks;
mod listen;
mod mischief;
mod played;
mod policy;
mod prekeys;
mod relay;
mod schedule;
mod start;
mod story;
mod time;
