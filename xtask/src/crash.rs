//! `cargo xtask crash`: processes that are killed at each of their system calls, and file
//! systems that lose power.

use crate::job::{Context, JobResult, Stop};
use crate::process::{self, cargo, command, find, run, succeeds};
use crate::{debian, strace};

/// The test of the power cut, and how cargo runs it.
const POWER: (&str, &str) =
    ("crates/sealwire/tests/crash/power.rs", "--package sealwire --test crash power::");

/// The programs of the power cut, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 6] = [
    ("xfs_io", "xfsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("losetup", "mount"),
];

/// All of it. That there was no power cut is said last, where it is seen; in continuous
/// integration it is a failure.
pub(crate) fn run_all(context: &Context) -> JobResult {
    strace::all(context)?;
    match power(context) {
        Err(Stop::Skip { why, enable }) if !context.ci => {
            println!("SKIPPED power cut: {why}\n        enable it with: {enable}");
            Ok(())
        }
        result => result,
    }
}

fn power(context: &Context) -> JobResult {
    let (file, test) = POWER;
    if !context.root.join(file).is_file() {
        return Err(Stop::fail(format!("{file} does not exist")));
    }
    let root = process::output(command(context, "id").arg("-u"))?.trim() == "0";
    if !root {
        let why = "a power cut mounts file systems, which needs root";
        return Err(Stop::skip(why, "sudo --preserve-env=PATH,HOME cargo xtask crash"));
    }
    for (program, package) in PROGRAMS {
        if find(program).is_none() {
            debian::install(context, &[package])?;
        }
    }
    if !succeeds(command(context, "losetup").arg("--find")) {
        let why = "a power cut needs a loop device, and there is none";
        return Err(Stop::skip(why, "modprobe loop, on a machine or in a container that has them"));
    }
    run(cargo(context, &format!("test {test}")).env("SEALWIRE_POWER_CUT", "1"))
}
