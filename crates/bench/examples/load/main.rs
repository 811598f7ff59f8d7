//! Loads a relay, and says what became of each message.
//!
//! ```text
//!   load run, load relay          starts and asks the others
//!     ├── sealwire relay run      the server itself; or `load serve`, a limit to set it beside
//!     ├── load work               sends and reads, on a thread of its own
//!     └── load work
//! ```
//!
//! `cargo xtask load` and `cargo xtask bench relay` build and start it.

mod bare;
mod claims;
mod crew;
mod drive;
mod figures;
mod fill;
mod http;
mod idle;
mod messages;
mod people;
mod plan;
mod reader;
mod run;
mod serve;
mod server;
mod work;

use sealwire_bench::{Failure, Request};

fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("run") => run::run(&words.next().ok_or("usage: run OPTIONS")?),
        Some("work") => work::run(),
        Some("serve") => serve::run(&words.next().ok_or("usage: serve axum|memory")?),
        _ => {
            let request = Request::from_args()?;
            request.answer(figures::measure(&request)?);
            Ok(())
        }
    }
}
