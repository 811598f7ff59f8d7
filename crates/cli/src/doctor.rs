//! What `doctor` looks at: each check says how things are, and what to do where they are not as
//! they should be.

mod keyring;
mod local;
mod remote;

use std::sync::Arc;

use serde::Serialize;

use crate::{
    agent,
    config::Config,
    error::{Exit, Failure},
    home::Home,
    text::Plain,
};

/// What was found of one thing.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) state: State,
    pub(crate) said: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) todo: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
}

impl Check {
    fn ok(name: &'static str, said: impl Into<String>) -> Self {
        Self { name, state: State::Ok, said: said.into(), todo: None }
    }

    fn warn(name: &'static str, said: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { name, state: State::Warn, said: said.into(), todo: Some(todo.into()) }
    }

    fn fail(name: &'static str, said: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { name, state: State::Fail, said: said.into(), todo: Some(todo.into()) }
    }

    /// What failed, as a command would have said it.
    pub(crate) fn failed(name: &'static str, failure: &Failure) -> Self {
        let (said, todo) = (failure.message().to_owned(), failure.hint_text().map(str::to_owned));
        Self { name, state: State::Fail, said, todo }
    }
}

/// Looks at everything, as far as one thing can be looked at without the other.
pub(crate) async fn examine(home: &Home, config: &Config, change_anchor: bool) -> Vec<Check> {
    let mut checks = vec![configuration(config), local::home(home)];
    let card = local::card(home);
    checks.extend(card);
    checks.extend(keyring::keys(home, &config.storage));
    let relay = remote::relay(&config.agent).await;
    let reached = relay.iter().all(|check| check.state != State::Fail);
    checks.extend(relay);
    let keys = match agent::unlock(home) {
        Ok(keys) => Arc::new(keys),
        Err(failure) => {
            checks.push(Check::failed("keys", &failure));
            return checks;
        }
    };
    checks.push(Check::ok("keys", "the key file opens with this passphrase"));
    // What keeps the relay away was said, and what to do.
    if reached {
        checks.push(remote::prekeys(config, &keys).await);
    }
    checks.extend(local::state(home, config, &keys, change_anchor).await);
    checks
}

fn configuration(config: &Config) -> Check {
    let said = match config.file() {
        Some(file) => format!("read from {}", Plain::path(file)),
        None => "no file; defaults and environment".to_owned(),
    };
    Check::ok("configuration", said)
}

/// A failure that is one of the moment, or of the place.
fn judged(name: &'static str, failure: &Failure) -> Check {
    let check = Check::failed(name, failure);
    match failure.exit() {
        Exit::Later => Check { state: State::Warn, ..check },
        _ => check,
    }
}
