//! What is printed: results on standard output, events and failures on standard error.
//!
//! With `--json` a result is one JSON object, and each event and failure is one JSON object on
//! a line of its own. Only this file prints.

use std::{
    fmt::Display,
    fs::File,
    io::{self, IsTerminal, Write},
    path::Path,
};

use serde::Serialize;

use crate::{
    error::{Exit, Failure},
    text,
};

/// Where and how to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads what is printed.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person watches standard error.
    pub(crate) fn is_watched(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// Prints the result of a command: its `Display` for people, its fields for programs.
    pub(crate) fn result<R: Serialize + Display>(self, result: &R) -> Result<(), Failure> {
        let text = if self.json { to_json(result)? } else { text::lines(&result.to_string()) };
        let mut stdout = io::stdout().lock();
        let written = writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush());
        written.map_err(|error| Failure::stdout(&error))
    }

    /// Prints content as it is; on a terminal, as text that cannot move it.
    pub(crate) fn content(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let written = if stdout.is_terminal() {
            let text = text::lines(&String::from_utf8_lossy(bytes));
            writeln!(stdout, "{}", text.trim_end_matches('\n'))
        } else {
            stdout.write_all(bytes)
        };
        written.and_then(|()| stdout.flush()).map_err(|error| Failure::stdout(&error))
    }

    /// Copies a file to standard output, as it is.
    pub(crate) fn file(self, path: &Path) -> Result<(), Failure> {
        let mut file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
        let mut stdout = io::stdout().lock();
        let copied = io::copy(&mut file, &mut stdout).and_then(|_| stdout.flush());
        copied.map_err(|error| Failure::stdout(&error))
    }

    /// Tells an event on standard error. Nothing depends on whether anyone reads it.
    pub(crate) fn event<E: Serialize + Display>(self, event: &E) {
        let text = if self.json {
            to_json(event).unwrap_or_default()
        } else {
            text::lines(&event.to_string())
        };
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Tells why the command failed, and gives the exit code for it.
    pub(crate) fn failure(self, failure: &Failure) -> Exit {
        if self.json {
            let text = to_json(&failure.report()).unwrap_or_default();
            let _ = writeln!(io::stderr().lock(), "{text}");
        } else if !failure.is_quiet() {
            let mut stderr = io::stderr().lock();
            let _ = writeln!(stderr, "sealwire: {}", text::lines(failure.message()));
            if let Some(hint) = failure.hint_text() {
                let _ = writeln!(stderr, "hint: {}", text::lines(hint));
            }
        }
        failure.exit()
    }
}

fn to_json<T: Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_json::to_string(value);
    let text = text.map_err(|error| Failure::other(format!("internal error: {error}")))?;
    Ok(text::json(&text))
}
