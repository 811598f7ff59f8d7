//! The crates of this workspace as cargo describes them.

use serde_json::Value;

use crate::job::{Context, Stop};
use crate::process;

/// Crates usable alone, without the facade. Each is linted with no features
/// and with all.
pub(crate) const LEAVES: [&str; 8] = [
    "sealwire-core",
    "sealwire-hybrid",
    "sealwire-identity",
    "sealwire-noise",
    "sealwire-ratchet",
    "sealwire-envelope",
    "sealwire-custody",
    "sealwire-relay",
];

/// Leaf crates without clock, files and OS randomness: they build without
/// default features and never reach tokio then.
pub(crate) const CORES: [&str; 6] = [
    "sealwire-core",
    "sealwire-hybrid",
    "sealwire-identity",
    "sealwire-noise",
    "sealwire-ratchet",
    "sealwire-envelope",
];

/// A crate of this workspace.
#[derive(Debug)]
pub(crate) struct Member {
    /// The package's name.
    pub(crate) name: String,
    /// Names of its features.
    pub(crate) features: Vec<String>,
    /// What its manifest names, optional dependencies included.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One entry of a manifest's dependency tables.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// The package's name, not what it is renamed to.
    pub(crate) name: String,
    /// Whether it stands under `[dev-dependencies]`.
    pub(crate) dev: bool,
}

/// The members, in order of name.
pub(crate) fn members(context: &Context) -> Result<Vec<Member>, Stop> {
    let text =
        process::output(&mut process::cargo(context, "metadata --format-version 1 --no-deps"))?;
    let mut members = parse(&text).ok_or_else(|| Stop::fail("`cargo metadata` is not as known"))?;
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

fn parse(text: &str) -> Option<Vec<Member>> {
    let metadata: Value = serde_json::from_str(text).ok()?;
    metadata["packages"].as_array()?.iter().map(member).collect()
}

fn member(package: &Value) -> Option<Member> {
    Some(Member {
        name: package["name"].as_str()?.to_owned(),
        features: package["features"].as_object()?.keys().cloned().collect(),
        dependencies: package["dependencies"]
            .as_array()?
            .iter()
            .map(dependency)
            .collect::<Option<_>>()?,
    })
}

fn dependency(entry: &Value) -> Option<Dependency> {
    Some(Dependency {
        name: entry["name"].as_str()?.to_owned(),
        dev: entry["kind"].as_str() == Some("dev"),
    })
}
