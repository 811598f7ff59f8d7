//! Tools from npm, in folders outside the checkout.

use std::path::{Path, PathBuf};

use crate::cache;
use crate::debian;
use crate::job::{Context, JobResult, Stop};
use crate::process;

/// The folder with the programs of exactly `packages` (`name@version` each): made once, then
/// found again.
pub(crate) fn tools(context: &Context, packages: &[&str]) -> Result<PathBuf, Stop> {
    debian::need(context, &["npm"])?;
    let folder = cache::folder()?.join(format!("npm-{:016x}", cache::key("npm", packages)));
    let programs = |place: &Path| place.join("node_modules/.bin");
    cache::make(&folder, |place| programs(place).is_dir(), |build| fill(context, build, packages))?;
    Ok(programs(&folder))
}

fn fill(context: &Context, build: &Path, packages: &[&str]) -> JobResult {
    let mut npm = process::command(context, "npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel", "error", "--prefix"]).arg(build);
    process::run(npm.args(packages))
}
