//! Every provider under one contract, and those that speak HTTP against a service that fails,
//! stalls, lies and throttles.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails panics"
)]
#![expect(clippy::disallowed_methods, reason = "real time passes while a service does not answer")]

mod aws;
mod cell;
mod contract;
mod fake;
mod faults;
mod local;
mod logs;
mod tls;
mod vault;
