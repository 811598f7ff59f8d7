//! The figures of other implementations, asked for by `cargo xtask bench`.

mod envelope;
mod handshake;
mod ratchet;
mod record;
mod tcp;

use sealwire_bench::{Failure, Request};

fn main() -> Result<(), Failure> {
    let request = Request::from_args()?;
    let figure = match request.suite.as_str() {
        "envelope" => envelope::measure(&request),
        "handshake" => handshake::measure(&request),
        "record" if request.name.starts_with("tcp") => tcp::measure(&request),
        "record" => record::measure(&request),
        "ratchet" => ratchet::measure(&request),
        _ => Err(request.unknown()),
    }?;
    request.answer(figure);
    Ok(())
}
