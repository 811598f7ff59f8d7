//! How many test vectors passed. A test that runs a set of vectors appends a
//! line `name count` to the file named by `SEALWIRE_VECTOR_LOG`, if it is set.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::job::{Context, JobResult, Stop};

/// Job `vectors`: prints the sets that the tests of this run reported, each
/// counted once however often it ran, and fails where two runs disagree.
pub(crate) fn count(context: &mut Context) -> JobResult {
    let log = fs::read_to_string(&context.vector_log).unwrap_or_default();
    let (sets, wrong) = tally(&log);
    for (name, count) in &sets {
        println!("{count:>8}  {name}");
    }
    let total = sets.values().sum();
    println!("{total:>8}  vectors in {} sets", sets.len());
    context.vectors = Some(total);
    if wrong.is_empty() { Ok(()) } else { Err(Stop::fail(wrong.join("\n"))) }
}

/// Removes the log; there is none if no test wrote to it.
pub(crate) fn forget(context: &Context) {
    drop(fs::remove_file(&context.vector_log));
}

/// The sets by name, and a sentence for every line that makes no sense.
fn tally(log: &str) -> (BTreeMap<String, u64>, Vec<String>) {
    let mut counts: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in log.lines() {
        let parsed = line.rsplit_once(' ').and_then(|(name, n)| Some((name, n.parse().ok()?)));
        match parsed {
            Some((name, count)) => {
                counts.entry(name.to_owned()).or_default().insert(count);
            }
            None => wrong.push(format!("the vector log has a line `{line}`, not `name count`")),
        }
    }
    for (name, counts) in counts.iter().filter(|(_, counts)| counts.len() > 1) {
        wrong.push(format!("the vectors `{name}` were counted as {counts:?} in one run"));
    }
    let smallest = |counts: BTreeSet<u64>| counts.into_iter().next().unwrap_or_default();
    (counts.into_iter().map(|(name, counts)| (name, smallest(counts))).collect(), wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_counts_once_over_both_backends() {
        let (sets, wrong) = tally("wycheproof x25519 518\nml-kem 20\nwycheproof x25519 518\n");
        assert_eq!(sets, [("ml-kem".into(), 20), ("wycheproof x25519".into(), 518)].into());
        assert_eq!(wrong, [""; 0]);
    }

    #[test]
    fn runs_that_disagree_are_named() {
        let (sets, wrong) = tally("ml-kem 20\nml-kem 19\n");
        assert_eq!(sets, [("ml-kem".into(), 19)].into());
        assert_eq!(wrong, ["the vectors `ml-kem` were counted as {19, 20} in one run"]);
    }

    #[test]
    fn a_torn_line_is_an_error() {
        for line in ["ml-kem", "ml-kem many", " "] {
            assert_eq!(tally(line).1.len(), 1, "{line:?}");
        }
    }
}
