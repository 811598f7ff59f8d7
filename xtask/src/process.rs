//! Running other programs: each is printed before it starts.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::job::{Context, JobResult, Stop};

/// Variables by which `cargo run` describes xtask itself. Passed on, they make
/// build scripts that watch them run again after every change of caller.
const OWN_VARIABLES: [&str; 5] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// `program`, in the root of the workspace.
pub(crate) fn command(context: &Context, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(&context.root);
    for (name, _) in std::env::vars_os() {
        let own = |prefix: &&str| name.to_str().is_some_and(|name| name.starts_with(*prefix));
        if OWN_VARIABLES.iter().any(own) {
            command.env_remove(&name);
        }
    }
    command
}

/// The cargo that runs xtask, in the root of the workspace, with the words of
/// `arguments`. In continuous integration nobody steps through a test, and a panic names its line
/// without debug information: that is not made there.
pub(crate) fn cargo(context: &Context, arguments: &str) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = command(context, program);
    command.args(arguments.split_whitespace());
    if context.ci {
        command.env("CARGO_PROFILE_DEV_DEBUG", "none");
    }
    command
}

/// Runs a program to its end, with our own output.
pub(crate) fn run(command: &mut Command) -> JobResult {
    eprintln!("$ {}", shown(command));
    let status = command.status().map_err(Stop::io(shown(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(Stop::fail(format!("`{}` ended with {status}", shown(command))))
    }
}

/// As [`run`], of a program that tells on standard error what went wrong: the lines that are
/// `telling` stand in the failure, so that they are seen where it is.
pub(crate) fn run_telling(command: &mut Command, telling: fn(&str) -> bool) -> JobResult {
    eprintln!("$ {}", shown(command));
    let mut child = command.stderr(Stdio::piped()).spawn().map_err(Stop::io(shown(command)))?;
    let mut told = Vec::new();
    for line in
        child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n'))
    {
        let line = line.map_err(Stop::io(shown(command)))?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        let line = line.trim();
        if telling(line) && told.iter().all(|known| known != line) {
            told.push(line.to_owned());
        }
    }
    let status = child.wait().map_err(Stop::io(shown(command)))?;
    if status.success() {
        return Ok(());
    }
    let told: String = told.iter().map(|line| format!("\n        {line}")).collect();
    Err(Stop::fail(format!("`{}` ended with {status}{told}", shown(command))))
}

/// Runs programs side by side, each to its end, with our own output.
pub(crate) fn run_together(mut commands: Vec<Command>) -> JobResult {
    let mut children = Vec::with_capacity(commands.len());
    for command in &mut commands {
        eprintln!("$ {}", shown(command));
        children.push((shown(command), command.spawn().map_err(Stop::io(shown(command)))));
    }
    let mut ended = Ok(());
    for (shown, child) in children {
        let status = child.and_then(|mut child| child.wait().map_err(Stop::io(shown.clone())));
        let result = match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Stop::fail(format!("`{shown}` ended with {status}"))),
            Err(stop) => Err(stop),
        };
        ended = ended.and(result);
    }
    ended
}

/// Runs a program to its end and gives what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Stop> {
    let output = command.stderr(Stdio::inherit()).output().map_err(Stop::io(shown(command)))?;
    if !output.status.success() {
        return Err(Stop::fail(format!("`{}` ended with {}", shown(command), output.status)));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Stop::fail(format!("`{}` wrote something else than UTF-8", shown(command))))
}

/// Whether a program runs and succeeds, silently.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Where `program` stands on the search path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The search path with `folder` in front.
pub(crate) fn path_with(folder: &Path) -> Result<OsString, Stop> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_path_buf()).chain(std::env::split_paths(&path));
    std::env::join_paths(folders)
        .map_err(|_| Stop::fail(format!("`{}` cannot stand in PATH", folder.display())))
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value.filter(|_| name != "PATH" && name != "SEALWIRE_VECTOR_LOG") {
            words.push(format!("{}={}", name.to_string_lossy(), quoted(value)));
        }
    }
    let program = Path::new(command.get_program());
    words.push(quoted(program.file_name().unwrap_or(command.get_program())));
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

/// A word, in quotes where a shell would need them.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.is_empty() || word.contains([' ', '"', '$', '\\', '(', '*', '&', ';']) {
        format!("'{word}'")
    } else {
        word.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = Command::new("/some folder/bin/cargo");
        command.args(["doc", "--features", "a b"]).env("RUSTDOCFLAGS", "-D warnings");
        command.env_remove("CARGO_PKG_NAME").env("PATH", "/bin");
        assert_eq!(shown(&command), "RUSTDOCFLAGS='-D warnings' cargo doc --features 'a b'");
    }

    #[test]
    fn a_failure_says_what_was_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "for line in '  FAIL one' fine '  FAIL one' 'FAIL two'; do echo \"$line\" >&2; done; exit 3"]);
        let told = run_telling(&mut command, |line| line.starts_with("FAIL"));
        let told = told.expect_err("it failed").to_string();
        assert!(told.ends_with("exit status: 3\n        FAIL one\n        FAIL two"), "{told}");
        assert_eq!(run_telling(&mut Command::new("true"), |_| true), Ok(()));
    }

    #[test]
    fn programs_are_found_on_the_path_only() {
        assert!(find("cargo").is_some());
        assert_eq!(find("no-such-program-anywhere"), None);
    }
}
