//! `cargo xtask services`: the servers that tests need, and the job that runs those tests.

mod run;
mod server;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::cache;
use crate::job::{Context, JobResult, Stop};
use crate::process::{self, cargo};
use crate::test;
use run::Running;
use server::{SERVERS, Server};

/// What to do with servers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start those that do not run.
    Start,
    /// End those that run.
    Stop,
    /// Say which run.
    Check,
}

/// The names of all servers.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SERVERS.iter().map(|server| server.name)
}

/// `cargo xtask services ACTION [NAME...]`, of all servers where none is named.
pub(crate) fn act(context: &Context, action: &Action, names: &[String]) -> Result<bool, Stop> {
    let chosen =
        |server: &&'static Server| names.is_empty() || names.iter().any(|name| name == server.name);
    let servers: Vec<&'static Server> = SERVERS.iter().filter(chosen).collect();
    match action {
        Action::Start => start(context, &servers).map(|()| true),
        Action::Stop => servers.iter().try_for_each(|server| stop(server)).map(|()| true),
        Action::Check => check(&servers),
    }
}

/// The job: every server comes up, and the tests named `services` pass against them.
pub(crate) fn job(context: &mut Context) -> JobResult {
    let servers: Vec<&'static Server> = SERVERS.iter().collect();
    let selection = test::with_fast(context)?;
    // Built before the servers run: they do not wait for the compiler.
    let tests = format!("test --quiet {selection} --test services");
    process::run(&mut cargo(context, &format!("{tests} --no-run")))?;
    let running = run::start(context, &servers, false)?;
    let mut command = cargo(context, &tests);
    for Running { server, port, .. } in &running {
        command.env(server.variable, address(*port));
    }
    let tested = process::run(&mut command);
    run::end_all(running);
    tested
}

fn start(context: &Context, servers: &[&'static Server]) -> JobResult {
    let missing = |server: &&&'static Server| !recorded(server).is_ok_and(|known| known.is_up());
    let missing: Vec<&'static Server> = servers.iter().filter(missing).copied().collect();
    for Running { server, child, port, folder } in run::start(context, &missing, true)? {
        let record = json!({
            "pid": child.id(), "since": since(child.id()), "port": port, "folder": folder,
        });
        let place = place(server)?;
        fs::write(&place, record.to_string()).map_err(Stop::io(place.display()))?;
    }
    for server in servers {
        println!("export {}={}", server.variable, address(recorded(server)?.port));
    }
    Ok(())
}

fn stop(server: &'static Server) -> JobResult {
    let Ok(known) = recorded(server) else { return Ok(()) };
    if known.is_same() {
        run::end(known.pid, || !known.is_same());
    }
    cache::remove(&known.folder)?;
    let place = place(server)?;
    fs::remove_file(&place).map_err(Stop::io(place.display()))?;
    println!("{} has ended", server.name);
    Ok(())
}

fn check(servers: &[&'static Server]) -> Result<bool, Stop> {
    let mut all = true;
    for server in servers {
        let up = recorded(server).ok().filter(Recorded::is_up);
        let state = up.as_ref().map_or("not running".to_owned(), |known| address(known.port));
        println!("{:<10} {state:<24} {}", server.name, server.about);
        all &= up.is_some();
    }
    Ok(all)
}

fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A server that an earlier run started.
struct Recorded {
    server: &'static Server,
    pid: u32,
    since: String,
    port: u16,
    folder: PathBuf,
}

impl Recorded {
    /// Whether the process is the one that was started, and not another with its number.
    fn is_same(&self) -> bool {
        !self.since.is_empty() && since(self.pid) == self.since
    }

    fn is_up(&self) -> bool {
        self.is_same() && run::answers(self.server, self.port)
    }
}

fn place(server: &Server) -> Result<PathBuf, Stop> {
    let folder = cache::folder()?.join("services");
    fs::create_dir_all(&folder).map_err(Stop::io(folder.display()))?;
    Ok(folder.join(format!("{}.json", server.name)))
}

fn recorded(server: &'static Server) -> Result<Recorded, Stop> {
    let none = || Stop::fail(format!("{} was not started", server.name));
    let text = fs::read_to_string(place(server)?).map_err(|_| none())?;
    let known: Value = serde_json::from_str(&text).map_err(|_| none())?;
    let number = |name: &str| known[name].as_u64().ok_or_else(none);
    Ok(Recorded {
        server,
        pid: u32::try_from(number("pid")?).map_err(|_| none())?,
        since: known["since"].as_str().unwrap_or_default().to_owned(),
        port: u16::try_from(number("port")?).map_err(|_| none())?,
        folder: known["folder"].as_str().ok_or_else(none)?.into(),
    })
}

/// When a process began; nothing of one that is not there.
fn since(pid: u32) -> String {
    if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
        // Its name, in brackets, may hold anything; what follows is words, and this is one.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        return rest.split_whitespace().nth(19).unwrap_or_default().to_owned();
    }
    let output = Command::new("ps").args(["-o", "lstart=", "-p", &pid.to_string()]).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_when_it_began() {
        let own = std::process::id();
        assert!(!since(own).is_empty());
        assert_eq!(since(own), since(own));
        let recorded = |pid, since| {
            let folder = PathBuf::new();
            Recorded { server: &SERVERS[0], pid, since, port: 1, folder }
        };
        assert!(recorded(own, since(own)).is_same());
        assert!(!recorded(own, "Thu Jan  1 00:00:00 1970".to_owned()).is_same());
        assert!(!recorded(u32::MAX, since(u32::MAX)).is_same());
    }

    #[test]
    fn names_and_variables_are_unique() {
        for each in [SERVERS.map(|server| server.name), SERVERS.map(|server| server.variable)] {
            let mut sorted = each.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), SERVERS.len());
        }
    }
}
