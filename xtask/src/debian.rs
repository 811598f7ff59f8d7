//! Debian packages that a job needs.

use std::process::Stdio;

use crate::job::{Context, JobResult, Stop};
use crate::process;

/// Makes sure of programs that carry the name of their Debian package. In
/// continuous integration, as root, what is missing is installed; elsewhere
/// the job is skipped with the command which installs it.
pub(crate) fn need(context: &Context, programs: &[&str]) -> JobResult {
    let missing: Vec<&str> =
        programs.iter().copied().filter(|name| process::find(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    install(context, &missing)
}

/// Installs packages, or stops with the command which does.
pub(crate) fn install(context: &Context, packages: &[&str]) -> JobResult {
    let names = packages.join(" ");
    if !context.ci || !is_root(context) || process::find("apt-get").is_none() {
        let enable = format!("sudo apt-get install -y {names}");
        return Err(Stop::skip(format!("not installed: {names}"), enable));
    }
    // Jobs run beside each other, and a second apt-get fails where it would have to wait.
    let apt_get = || {
        let mut command = process::command(context, "flock");
        command.arg(std::env::temp_dir().join("sealwire-apt-get.lock")).arg("apt-get");
        command
    };
    process::run(apt_get().args(["update", "-q"]).stdin(Stdio::null()))?;
    let mut install = apt_get();
    install.args(["install", "-q", "-y", "--no-install-recommends"]).args(packages);
    process::run(install.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()))
}

fn is_root(context: &Context) -> bool {
    let mut id = process::command(context, "id");
    process::output(id.arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}
