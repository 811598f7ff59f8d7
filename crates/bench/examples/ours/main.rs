//! The figures of Sealwire, asked for by `cargo xtask bench`.
#![forbid(unsafe_code)]

mod durable;
mod envelope;
mod growth;
mod handshake;
mod memory;
mod ratchet;
mod record;
mod side;
mod tcp;
mod xwing;

use sealwire_bench::{Failure, Request};

fn main() -> Result<(), Failure> {
    let request = Request::from_args()?;
    let figure = match request.suite.as_str() {
        "handshake" => handshake::measure(&request),
        "record" if request.name.starts_with("tcp") => tcp::measure(&request),
        "record" => record::measure(&request),
        "xwing" => xwing::measure(&request),
        "growth" => growth::measure(&request),
        "envelope" => envelope::measure(&request),
        "ratchet" => ratchet::measure(&request),
        _ => Err(request.unknown()),
    }?;
    request.answer(figure);
    Ok(())
}
