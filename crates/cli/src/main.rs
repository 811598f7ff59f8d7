//! The command `sealwire`: identities, trust, encrypted pipes between agents, and sealed files.
//!
//! Every command is one file under `cmd/`. It returns a result or a [`Failure`](error::Failure)
//! and prints through [`Output`](output::Output) alone, which writes for people or, with
//! `--json`, for programs. The exit codes are those of [`Exit`](error::Exit).
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::string_slice, reason = "a panic would show the text"))]

mod addresses;
mod agent;
mod books;
mod cards;
mod cmd;
mod config;
mod control;
#[cfg(test)]
mod corpus;
mod demo;
mod doctor;
mod driver;
mod error;
mod event;
mod home;
mod input;
mod journal;
mod keyring;
mod mail;
mod news;
mod offline;
mod outgoing;
mod output;
mod passphrase;
mod patience;
mod pipe;
mod prekeys;
mod progress;
mod protection;
mod receive;
mod relay;
mod sends;
mod stdio;
mod storage;
mod text;
mod view;
mod whom;

fn main() -> std::process::ExitCode {
    cmd::main()
}
