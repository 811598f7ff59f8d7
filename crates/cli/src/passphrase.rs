//! The passphrase of a key file: from the environment, or asked for on the terminal.
//!
//! Never from standard input, which carries data.

use std::{env, fmt::Display, os::unix::ffi::OsStringExt};

use sealwire::custody::Passphrase;
use zeroize::Zeroizing;

use crate::error::Failure;

const VARIABLE: &str = "SEALWIRE_PASSPHRASE";

/// The passphrase of an existing key file.
pub(crate) fn ask() -> Result<Passphrase, Failure> {
    match given()? {
        Some(passphrase) => Ok(passphrase),
        None => Ok(Passphrase::from_string(prompt("Passphrase: ")?)?),
    }
}

/// The passphrase of a key file beside the agent's own.
pub(crate) fn ask_for(file: &dyn Display) -> Result<Passphrase, Failure> {
    match given()? {
        Some(passphrase) => Ok(passphrase),
        None => {
            let typed = prompt(&format!("Passphrase of {file}: "))?;
            Ok(Passphrase::from_string(typed)?)
        }
    }
}

/// The passphrase for a new key file, typed twice.
pub(crate) fn ask_new() -> Result<Passphrase, Failure> {
    if let Some(passphrase) = given()? {
        return Ok(passphrase);
    }
    let first = Zeroizing::new(prompt("New passphrase, best several random words: ")?);
    let second = Zeroizing::new(prompt("Once more: ")?);
    if first != second {
        return Err(Failure::other("the two passphrases differ; nothing was written"));
    }
    Ok(Passphrase::from_bytes(first.as_bytes())?)
}

fn given() -> Result<Option<Passphrase>, Failure> {
    let Some(value) = env::var_os(VARIABLE) else { return Ok(None) };
    let value = Zeroizing::new(value.into_vec());
    let passphrase = Passphrase::from_bytes(&value);
    Ok(Some(passphrase.map_err(|error| Failure::from(error).at(&VARIABLE))?))
}

fn prompt(text: &str) -> Result<String, Failure> {
    rpassword::prompt_password(text).map_err(|error| {
        Failure::other(format!("there is no terminal to ask for the passphrase on: {error}"))
            .hint(format!("set {VARIABLE}"))
    })
}
