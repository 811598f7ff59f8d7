//! Where values come from: the environment over a file over defaults.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    Effective, Origin,
    setting::{Given, Setting},
};
use crate::{
    error::{Exit, Failure},
    text::Plain,
};

/// The sections, and so the beginnings of the variables that are ours to judge.
const SECTIONS: [&str; 4] = ["agent", "relay", "log", "storage"];

/// What was given, to be taken key by key; what nobody takes is not known.
pub(super) struct Layers {
    file: Option<PathBuf>,
    /// From the name of the key to the line and the value.
    in_file: BTreeMap<String, (usize, Given)>,
    /// From the name of the variable to its value.
    in_environment: BTreeMap<String, Given>,
    known: Vec<&'static str>,
    effective: Vec<Effective>,
}

impl Layers {
    pub(super) fn new(
        file: Option<(PathBuf, &str)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Failure> {
        let (file, in_file) = match file {
            Some((path, text)) => {
                let values = parse(text).map_err(|fault| fault.in_file(&path))?;
                (Some(path), values)
            }
            None => (None, BTreeMap::new()),
        };
        let mut in_environment = BTreeMap::new();
        for (name, value) in environment {
            let Some(name) = name.into_string().ok().filter(|name| is_ours(name)) else { continue };
            let Ok(value) = value.into_string() else {
                return Err(refuse(format!("{name} is not text")));
            };
            in_environment.insert(name, Given::Word(value));
        }
        Ok(Self { file, in_file, in_environment, known: Vec::new(), effective: Vec::new() })
    }

    /// Takes the value of a key, which is `section.name`.
    pub(super) fn take<T: Setting>(&mut self, key: &'static str, default: T) -> Result<T, Failure> {
        self.known.push(key);
        let in_file = self.in_file.remove(key);
        let (value, origin) = match (self.in_environment.remove(&variable(key)), in_file) {
            (Some(given), _) => {
                let value = T::read(&given, Path::new(""));
                (value.ok_or_else(|| wrong::<T>(&variable(key)))?, Origin::Environment)
            }
            (None, Some((line, given))) => {
                let file = self.file.as_deref().unwrap_or(Path::new(""));
                let value = T::read(&given, file.parent().unwrap_or(Path::new("")));
                let fault = |failure: Failure| failure.at(&at(file, line));
                (value.ok_or_else(|| fault(wrong::<T>(key)))?, Origin::File { line })
            }
            (None, None) => (default, Origin::Default),
        };
        self.effective.push(Effective { key, value: value.show(), origin });
        Ok(value)
    }

    /// The values that are in force. Fails when something was given that nobody knows.
    pub(super) fn finish(self) -> Result<Vec<Effective>, Failure> {
        let Self { file, in_file, in_environment, known, effective } = self;
        if let Some((key, (line, _))) = in_file.into_iter().min_by_key(|(_, (line, _))| *line) {
            let place = at(file.as_deref().unwrap_or(Path::new("")), line);
            let names = known.iter().map(|key| (*key).to_owned());
            return Err(unknown("key", &key, names.collect()).at(&place));
        }
        if let Some(name) = in_environment.into_keys().next() {
            return Err(unknown(
                "variable",
                &name,
                known.iter().map(|key| variable(key)).collect(),
            ));
        }
        Ok(effective)
    }
}

/// The environment variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("SEALWIRE_{}", key.replace('.', "_").to_ascii_uppercase())
}

fn is_ours(name: &str) -> bool {
    let section = |section: &&str| name.starts_with(&variable(&format!("{section}.")));
    SECTIONS.iter().any(section)
}

/// What is wrong with a text as such, and where.
struct Fault {
    line: usize,
    failure: Failure,
}

impl Fault {
    fn in_file(self, path: &Path) -> Failure {
        let Self { line, failure } = self;
        failure.at(&at(path, line))
    }
}

/// The keys of a text with their lines and values.
fn parse(text: &str) -> Result<BTreeMap<String, (usize, Given)>, Fault> {
    let line_of =
        |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| Fault {
        line: line_of(error.span().map_or(0, |span| span.start)),
        failure: refuse(format!("this is not TOML: {}", error.message().trim())),
    })?;
    let mut values = BTreeMap::new();
    for (section, content) in table.into_inner() {
        let line = line_of(section.span().start);
        let section = section.into_inner();
        let fault = |failure| Fault { line, failure };
        if !SECTIONS.contains(&section.as_ref()) {
            let sections = SECTIONS.map(|section| format!("[{section}]")).to_vec();
            return Err(fault(unknown("section", &format!("[{section}]"), sections)));
        }
        let DeValue::Table(content) = content.into_inner() else {
            return Err(fault(refuse(format!("{section} is a section: write [{section}]"))));
        };
        for (name, value) in content {
            let line = line_of(name.span().start);
            values
                .insert(format!("{section}.{}", name.into_inner()), (line, given(value.get_ref())));
        }
    }
    Ok(values)
}

fn given(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.as_ref().to_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Given::Other, Given::Number)
        }
        DeValue::Boolean(truth) => Given::Truth(*truth),
        DeValue::Array(items) => {
            let item = |item: &DeValue<'_>| match item {
                DeValue::String(text) => Some(text.as_ref().to_owned()),
                _ => None,
            };
            let items: Option<Vec<String>> =
                items.iter().map(|found| item(found.get_ref())).collect();
            items.map_or(Given::Other, Given::List)
        }
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => Given::Other,
    }
}

/// The value is not shown: what was meant for another place may be a secret.
fn wrong<T: Setting>(name: &str) -> Failure {
    refuse(format!("{name} must be {}", T::allowed()))
}

fn unknown(what: &str, name: &str, known: Vec<String>) -> Failure {
    let said = format!("unknown {what} {}", Plain::new(name));
    let nearest = known.iter().min_by_key(|known| distance(known, name));
    let close = nearest.filter(|known| distance(known, name) <= known.chars().count() / 3);
    match close {
        Some(near) => refuse(format!("{said}; did you mean {near}?")),
        None => refuse(said).hint("docs/configuration.md lists every key"),
    }
}

fn at(path: &Path, line: usize) -> String {
    format!("line {line} of {}", Plain::path(path))
}

fn refuse(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}

/// How many characters have to be put in, taken out or changed to get from one to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, character) in one.chars().enumerate() {
        let mut diagonal = number;
        let mut left = number.saturating_add(1);
        let mut next = vec![left];
        for (above, target) in row.iter().skip(1).zip(&other) {
            let changed = diagonal.saturating_add(usize::from(character != *target));
            left = changed.min(above.saturating_add(1)).min(left.saturating_add(1));
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (one, other, steps) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("relay.listen", "relay.lisen", 1),
            ("ab", "ba", 2),
        ] {
            assert_eq!(
                (distance(one, other), distance(other, one)),
                (steps, steps),
                "{one} {other}"
            );
        }
    }
}
