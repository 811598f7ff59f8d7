//! Pairs the numbered rules of docs/spec with the code that cites them. A line
//! of the specification that begins with an id in bold (two asterisks on each
//! side) defines the rule; a comment that contains the id cites it.

use std::collections::{BTreeMap, BTreeSet};

use crate::files::{self, SourceFile};
use crate::job::{Context, Stop};

/// Words shaped like a rule id that are names of something else.
const NOT_RULES: [&str; 10] =
    ["AES", "EC", "FIPS", "ISO", "KEM", "RFC", "SHA", "SHAKE", "SP", "UTF"];

/// A sentence for every citation without a rule and rule without a citation.
pub(crate) fn check(context: &Context) -> Result<Vec<String>, Stop> {
    let specification = files::read(&context.root, "docs/spec", "md")?;
    let mut code = files::read(&context.root, "crates", "rs")?;
    code.extend(files::read(&context.root, "fuzz/fuzz_targets", "rs")?);
    let (rules, wrong) = pair(&specification, &code);
    println!("tidy: {rules} rules in docs/spec");
    Ok(wrong)
}

/// How many rules there are, and what is wrong with them.
fn pair(specification: &[SourceFile], code: &[SourceFile]) -> (usize, Vec<String>) {
    let mut wrong = Vec::new();
    let mut rules: BTreeMap<String, String> = BTreeMap::new();
    for (place, line) in lines(specification) {
        let Some(id) = defined(line) else { continue };
        if let Some(first) = rules.insert(id.to_owned(), place.clone()) {
            wrong.push(format!("{place}: rule {id} is already defined at {first}"));
        }
    }
    let mut cited = BTreeSet::new();
    for (place, line) in lines(code) {
        for id in files::comment(line).map(ids).unwrap_or_default() {
            if !rules.contains_key(id) {
                wrong.push(format!("{place}: no rule {id} in docs/spec"));
            }
            cited.insert(id.to_owned());
        }
    }
    for (id, place) in rules.iter().filter(|(id, _)| !cited.contains(*id)) {
        wrong.push(format!("{place}: no code and no test cites rule {id}"));
    }
    (rules.len(), wrong)
}

fn lines(files: &[SourceFile]) -> impl Iterator<Item = (String, &str)> {
    files.iter().flat_map(|file| {
        let numbered = (1..).zip(file.text.lines());
        numbered.map(|(number, line): (u32, _)| (format!("{}:{number}", file.path), line))
    })
}

/// The rule that a line of the specification defines.
fn defined(line: &str) -> Option<&str> {
    let (id, _) = line.strip_prefix("**")?.split_once("**")?;
    (ids(id) == [id]).then_some(id)
}

/// The rule ids in a text: two to five capitals, a hyphen and digits, alone
/// between other characters. `ML-KEM-768` and `CVE-2024-1` hold none.
fn ids(text: &str) -> Vec<&str> {
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let words = text.split(|c| !part_of_word(c)).map(|word| word.trim_end_matches('-'));
    words.filter(|word| is_id(word)).collect()
}

fn is_id(word: &str) -> bool {
    let Some((prefix, number)) = word.split_once('-') else { return false };
    (2..=5).contains(&prefix.len())
        && prefix.bytes().all(|byte| byte.is_ascii_uppercase())
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && !NOT_RULES.contains(&prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.into(), text: text.into() }
    }

    #[test]
    fn ids_stand_alone() {
        let cases: [(&str, &[&str]); 6] = [
            ("CARD-12: see (HS-3), REC-4.", &["CARD-12", "HS-3", "REC-4"]),
            ("ML-KEM-768, SHA-256, SHAKE-256, UTF-8, X25519-1, CVE-2024-1", &[]),
            ("HMAC-SHA256 and A-1 and TOOLONG-1", &[]),
            ("card-1, CARD-, CARD-1a", &[]),
            ("CARD-1-", &["CARD-1"]),
            ("KEY-2/KEY-3", &["KEY-2", "KEY-3"]),
        ];
        for (text, expected) in cases {
            assert_eq!(ids(text), expected, "{text}");
        }
    }

    #[test]
    fn rules_and_citations_pair() {
        let spec = file("card.md", "# Cards\n**CARD-1** A card is small.\n**CARD-2** Sorted.\n");
        let code = file("card.rs", "// CARD-1: checked here.\nlet x = 1; // CARD-2\n");
        assert_eq!(pair(&[spec], &[code]), (2, vec![]));
    }

    #[test]
    fn what_does_not_pair_is_named() {
        let spec = file("card.md", "**CARD-1** x\n**CARD-2** y\n**CARD-1** z\nas **CARD-9**\n");
        let code = file("card.rs", "// CARD-1 and CARD-9\nlet s = \"CARD-8\";\n");
        let (rules, wrong) = pair(&[spec], &[code]);
        assert_eq!(rules, 2);
        assert_eq!(
            wrong,
            [
                "card.md:3: rule CARD-1 is already defined at card.md:1",
                "card.rs:1: no rule CARD-9 in docs/spec",
                "card.md:2: no code and no test cites rule CARD-2",
            ]
        );
    }
}
