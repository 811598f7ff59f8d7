//! A process that answers commands: a JSON object a line, in and out.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;

use crate::job::Stop;

use super::{TIMEOUT, end};

/// One of two implementations.
pub(super) struct Party {
    child: Option<Child>,
    commands: ChildStdin,
    answers: Receiver<String>,
}

impl Party {
    /// Starts a program. What it writes to standard error is shown.
    pub(super) fn start(mut command: Command) -> Result<Self, Stop> {
        let program = command.get_program().display().to_string();
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(Stop::io(&program))?;
        let (Some(commands), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Stop::fail(format!("{program} has no pipes")));
        };
        let (sender, answers) = channel();
        // Ends with the output of the process, or with this party.
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
        });
        Ok(Self { child: Some(child), commands, answers })
    }

    /// The answer to one command, which may be an error that the protocol knows.
    pub(super) fn ask(&mut self, command: &Value) -> Result<Value, String> {
        let (op, line) = (&command["op"], format!("{command}\n"));
        let written = self.commands.write_all(line.as_bytes()).and_then(|()| self.commands.flush());
        written.map_err(|error| format!("{op}: {error}"))?;
        let answer = self.answers.recv_timeout(TIMEOUT);
        let answer = answer.map_err(|error| format!("{op}: no answer: {error}"))?;
        serde_json::from_str(&answer).map_err(|error| format!("{op}: {error}: {answer}"))
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            end(child);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_gets_its_answer_until_the_process_ends() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "read a; echo \"$a\"; read b; echo '{\"second\": true}'; read c"]);
        let mut party = Party::start(shell).unwrap_or_else(|stop| panic!("{stop}"));
        let command = serde_json::json!({ "op": "first" });
        assert_eq!(party.ask(&command), Ok(command.clone()));
        assert_eq!(party.ask(&command), Ok(serde_json::json!({ "second": true })));
        assert!(party.ask(&command).is_err_and(|why| why.starts_with("\"first\": no answer")));
    }
}
