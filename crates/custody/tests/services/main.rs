//! The contract of providers against real servers: `cargo xtask ci --only services`.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails panics"
)]

#[path = "../kms/contract.rs"]
mod contract;
mod moto;
mod openbao;

use serde_json::Value;

/// What whoever administers a service asks of it.
async fn ask(request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("a text"));
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or_default()
}
