//! Objects at rest: age, as a crate and as a command, raw AES-256-GCM of aws-lc, and cp.

mod age;
mod aws_lc;

use std::process::{Command, Stdio};

use sealwire_bench::{Failure, Request, files};

pub fn measure(request: &Request) -> Result<f64, Failure> {
    match request.peer.as_str() {
        "age" => age::measure(request),
        "age-cli" => age::command(request),
        "aws-lc" => aws_lc::measure(request),
        "cp" => cp(request),
        _ => Err(request.unknown()),
    }
}

/// What a file costs that nobody seals.
fn cp(request: &Request) -> Result<f64, Failure> {
    let plain = files::plain(&request.folder, request.bytes)?;
    let copy = request.folder.join("copy");
    let mut command = Command::new("cp");
    let rate = whole(request, command.arg(&plain).arg(&copy));
    files::remove(&copy)?;
    if request.name.starts_with("open") {
        // Nobody else has it in this row.
        files::remove(&plain)?;
    }
    rate
}

/// Bytes a second of a command, its start included.
fn whole(request: &Request, command: &mut Command) -> Result<f64, Failure> {
    files::throughput(request, || {
        let status = command.stdin(Stdio::null()).status()?;
        if status.success() {
            Ok(request.bytes)
        } else {
            Err(format!("it ended with {status}").into())
        }
    })
}
