//! `cargo xtask attacks`: which attacks on the list in docs/attacks.md have a
//! test. A test says so in a comment, `// attack T5` or `// attack T5, T24`.

use std::collections::BTreeSet;

use crate::files;
use crate::job::{Context, JobResult, Stop};

/// The list is T1 to T40.
const COUNT: usize = 40;

/// Prints the attacks with and without a test.
pub(crate) fn check(context: &mut Context) -> JobResult {
    let mut tested = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut files = files::read(&context.root, "crates", "rs")?;
    // Tests of the crates that are a program of their own.
    files.extend(files::read(&context.root, "xtask/constant-work", "rs")?);
    for file in files {
        for (number, line) in (1..).zip(file.text.lines()) {
            match numbers(line) {
                Ok(found) => tested.extend(found),
                Err(word) => wrong.push(format!("{}:{number}: no attack `{word}`", file.path)),
            }
        }
    }
    let open: Vec<usize> = (1..=COUNT).filter(|number| !tested.contains(number)).collect();
    println!("tested: {}", names(tested.iter()));
    println!("open:   {}", names(open.iter()));
    println!("attacks: {} of {COUNT} tested", tested.len());
    context.attacks = Some((tested.len(), COUNT));
    if wrong.is_empty() { Ok(()) } else { Err(Stop::fail(wrong.join("\n"))) }
}

/// The attacks that a line claims, or the word that is none.
fn numbers(line: &str) -> Result<Vec<usize>, String> {
    // Anywhere on the line: a doctest carries it as `/// # // attack T37`.
    let Some((_, claim)) = line.split_once("// attack T") else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (index, word) in claim.split(", ").enumerate() {
        // `// attack T5, T24: a sentence` and `// attack T5, as a sentence`.
        let word = match word.strip_prefix('T') {
            Some(word) => word,
            None if index == 0 => word,
            None => break,
        };
        let digits = word.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        match digits.parse() {
            Ok(number) if (1..=COUNT).contains(&number) => found.push(number),
            _ => return Err(format!("T{word}")),
        }
        if digits.len() < word.len() {
            break;
        }
    }
    Ok(found)
}

fn names<'a>(numbers: impl Iterator<Item = &'a usize>) -> String {
    let names: Vec<String> = numbers.map(|number| format!("T{number}")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_claim_attacks() {
        let cases: [(&str, &[usize]); 9] = [
            ("    // attack T5", &[5]),
            ("    // attack T1, T24", &[1, 24]),
            ("#[test] // attack T40", &[40]),
            ("//! # // attack T37", &[37]),
            ("/// attack T37", &[37]),
            ("// attack T1: zero keys, T2 is elsewhere", &[1]),
            ("// attack T9, as in the list", &[9]),
            ("// an attack T5 would be", &[]),
            ("let attack = \"T5\";", &[]),
        ];
        for (line, expected) in cases {
            assert_eq!(numbers(line), Ok(expected.to_vec()), "{line}");
        }
    }

    #[test]
    fn numbers_outside_the_list_are_refused() {
        for line in ["// attack T0", "// attack T41", "// attack T5, Tx", "// attack T"] {
            assert!(numbers(line).is_err(), "{line}");
        }
    }
}
