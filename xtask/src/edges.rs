//! `cargo xtask edges`: which crate may import which, and what cryptography
//! they share.

use std::collections::{BTreeMap, BTreeSet};

use crate::job::{Context, JobResult, Stop};
use crate::metadata::{self, CORES, Member};
use crate::process;

/// What each library, and the command, may import. Libraries with no row in
/// common meet in the facade only.
const MAY_IMPORT: [(&str, &[&str]); 11] = [
    ("sealwire-core", &[]),
    ("sealwire-hybrid", &["sealwire-core"]),
    ("sealwire-identity", &["sealwire-core"]),
    ("sealwire-noise", &["sealwire-core"]),
    ("sealwire-ratchet", &["sealwire-core"]),
    ("sealwire-telemetry", &["sealwire-core"]),
    ("sealwire-envelope", &["sealwire-core", "sealwire-hybrid"]),
    ("sealwire-relay", &["sealwire-core", "sealwire-identity"]),
    (
        "sealwire-custody",
        &["sealwire-core", "sealwire-hybrid", "sealwire-identity", "sealwire-envelope"],
    ),
    (
        "sealwire",
        &[
            "sealwire-core",
            "sealwire-hybrid",
            "sealwire-identity",
            "sealwire-noise",
            "sealwire-ratchet",
            "sealwire-telemetry",
            "sealwire-envelope",
            "sealwire-relay",
            "sealwire-custody",
        ],
    ),
    (
        "sealwire-cli",
        // The last three for their features: drivers of stores, key services and servers.
        &["sealwire-core", "sealwire", "sealwire-envelope", "sealwire-custody", "sealwire-relay"],
    ),
];

/// Tools: they import anything and nothing imports them, but for the helpers
/// in tests of any crate.
const TOOLS: [&str; 4] = ["sealwire-bench", "sealwire-fuzz", "xtask", TESTKIT];
const TESTKIT: &str = "sealwire-testkit";

/// One generation of each in a core crate: two would compile apart and, worse,
/// make two traits of one name.
const CRYPTOGRAPHY: [&str; 38] = [
    "aead",
    "aes",
    "aes-gcm",
    "argon2",
    "blake2",
    "block-buffer",
    "chacha20",
    "chacha20poly1305",
    "cipher",
    "crypto-common",
    "ctr",
    "curve25519-dalek",
    "digest",
    "ed25519",
    "ed25519-dalek",
    "fips203",
    "getrandom",
    "ghash",
    "hkdf",
    "hmac",
    "hybrid-array",
    "inout",
    "keccak",
    "kem",
    "ml-kem",
    "pbkdf2",
    "poly1305",
    "polyval",
    "rand_chacha",
    "rand_core",
    "sha2",
    "sha3",
    "shake",
    "signature",
    "subtle",
    "universal-hash",
    "x25519-dalek",
    "zeroize",
];

/// Fails with a sentence for every edge, duplicate or runtime that must not be.
pub(crate) fn check(context: &mut Context) -> JobResult {
    let members = metadata::members(context)?;
    let mut wrong = wrong_edges(&members);
    for name in CORES {
        let full = tree(context, name, all_features(name))?;
        wrong.extend(duplicates(name, &full));
        let bare = tree(context, name, "--no-default-features")?;
        if packages(&bare).contains_key("tokio") {
            wrong.push(format!("{name} reaches tokio without default features"));
        }
    }
    if wrong.is_empty() {
        println!("edges: {} crates, every edge allowed, no cryptography twice", members.len());
        return Ok(());
    }
    Err(Stop::fail(wrong.join("\n")))
}

/// Of the envelope its formats: what speaks to object stores brings cryptography of its own.
fn all_features(core: &str) -> &'static str {
    if core == "sealwire-envelope" { "--features fast" } else { "--all-features" }
}

fn wrong_edges(members: &[Member]) -> Vec<String> {
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut wrong = Vec::new();
    for member in members {
        let own = member.dependencies.iter().filter(|other| names.contains(other.name.as_str()));
        wrong.extend(own.filter_map(|other| wrong_edge(&member.name, &other.name, other.dev)));
        if !TOOLS.contains(&member.name.as_str()) && may_import(&member.name).is_none() {
            wrong.push(format!("{} has no row in the table of xtask/src/edges.rs", member.name));
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

/// A sentence, if `from` must not import `to`. Tests may import any library:
/// a dev-dependency reaches nobody's build.
fn wrong_edge(from: &str, to: &str, dev: bool) -> Option<String> {
    let allowed = if TOOLS.contains(&to) {
        to == TESTKIT && (dev || TOOLS.contains(&from))
    } else {
        dev || TOOLS.contains(&from) || may_import(from)?.contains(&to)
    };
    let kind = if dev { " in its tests" } else { "" };
    (!allowed).then(|| match may_import(from) {
        _ if TOOLS.contains(&to) => format!("{from} imports {to}{kind}, which is only a tool"),
        Some([]) => format!("{from} imports {to}{kind}, but may import no crate of the workspace"),
        Some(these) => {
            format!("{from} imports {to}{kind}, but may import {} only", these.join(", "))
        }
        None => format!("{from} imports {to}{kind}"),
    })
}

fn may_import(name: &str) -> Option<&'static [&'static str]> {
    MAY_IMPORT.iter().find(|(from, _)| *from == name).map(|(_, to)| *to)
}

/// What `name` really builds with: one `package vVERSION` a line.
fn tree(context: &Context, name: &str, features: &str) -> Result<String, Stop> {
    let arguments = format!("tree --edges normal --prefix none {features} --package {name}");
    process::output(&mut process::cargo(context, &arguments))
}

/// Versions by package, from the output of `cargo tree --prefix none`.
fn packages(tree: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut packages: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            packages.entry(name).or_default().insert(version);
        }
    }
    packages
}

fn duplicates(name: &str, tree: &str) -> Vec<String> {
    let twice = packages(tree)
        .into_iter()
        .filter(|(package, versions)| versions.len() > 1 && CRYPTOGRAPHY.contains(package));
    twice
        .map(|(package, versions)| {
            let versions: Vec<_> = versions.into_iter().collect();
            format!("{name} builds with {package} {} at once", versions.join(" and "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    #[test]
    fn the_table_decides_edges() {
        let cases = [
            ("sealwire-noise", "sealwire-core", false, true),
            ("sealwire-noise", "sealwire-identity", false, false),
            ("sealwire-core", "sealwire-hybrid", false, false),
            ("sealwire-envelope", "sealwire-hybrid", false, true),
            ("sealwire-relay", "sealwire-hybrid", false, false),
            ("sealwire-custody", "sealwire-identity", false, true),
            ("sealwire-custody", "sealwire-noise", false, false),
            ("sealwire", "sealwire-relay", false, true),
            ("sealwire", "sealwire-cli", false, false),
            ("sealwire-cli", "sealwire", false, true),
            ("sealwire-cli", "sealwire-noise", false, false),
            ("sealwire-noise", "sealwire-testkit", true, true),
            ("sealwire-noise", "sealwire-testkit", false, false),
            ("sealwire-noise", "xtask", true, false),
            ("sealwire-noise", "sealwire-identity", true, true),
            ("sealwire-bench", "sealwire-ratchet", false, true),
            ("sealwire-testkit", "sealwire", false, true),
        ];
        for (from, to, dev, allowed) in cases {
            let verdict = wrong_edge(from, to, dev);
            assert_eq!(verdict.is_none(), allowed, "{from} -> {to}: {verdict:?}");
        }
    }

    #[test]
    fn the_table_has_no_cycle() {
        let rank = |name: &str| MAY_IMPORT.iter().position(|(from, _)| *from == name);
        for (from, to) in MAY_IMPORT {
            assert!(to.iter().all(|to| rank(to) < rank(from)), "{from} comes after its imports");
        }
    }

    #[test]
    fn a_crate_outside_the_table_is_named() {
        let depends = Dependency { name: "sealwire-new".into(), dev: false };
        let core =
            Member { name: "sealwire-core".into(), features: vec![], dependencies: vec![depends] };
        let new = Member { name: "sealwire-new".into(), features: vec![], dependencies: vec![] };
        let wrong = wrong_edges(&[core, new]);
        assert_eq!(
            wrong,
            [
                "sealwire-core imports sealwire-new, but may import no crate of the workspace",
                "sealwire-new has no row in the table of xtask/src/edges.rs",
            ]
        );
    }

    #[test]
    fn two_generations_of_a_digest_are_found() {
        let tree = "sealwire-core v0.1.0 (/a b)\ndigest v0.11.0\nsyn v1.0.1\nsyn v2.0.1\n\
                    digest v0.10.7\ndigest v0.11.0 (*)\n";
        assert_eq!(
            duplicates("sealwire-core", tree),
            ["sealwire-core builds with digest v0.10.7 and v0.11.0 at once"]
        );
    }
}
