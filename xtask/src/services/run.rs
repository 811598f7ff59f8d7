//! Starting a server, waiting until it answers, and ending it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::server::Server;
use crate::cache;
use crate::job::{Context, JobResult, Stop};

/// How long servers may take to come up, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a server may take to end by itself.
const FAREWELL: Duration = Duration::from_secs(5);
/// A port that was free may be taken before the server has it.
const TRIES: usize = 3;

/// A server that runs, with a folder of its own.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) server: &'static Server,
    pub(super) child: Child,
    pub(super) port: u16,
    pub(super) folder: PathBuf,
}

/// Starts servers side by side, and waits until all of them answer. None is left running when one
/// does not. Those that are `detached` outlive this process.
pub(super) fn start(
    context: &Context,
    servers: &[&'static Server],
    detached: bool,
) -> Result<Vec<Running>, Stop> {
    let mut running: Vec<Running> = Vec::new();
    let started = spawn_all(context, servers, detached, &mut running)
        .and_then(|()| running.iter_mut().try_for_each(|one| wait(context, one, detached)));
    if let Err(stop) = started {
        end_all(running);
        return Err(stop);
    }
    Ok(running)
}

/// Ends servers and removes their folders.
pub(super) fn end_all(running: Vec<Running>) {
    for mut one in running {
        end(one.child.id(), || matches!(one.child.try_wait(), Ok(Some(_)) | Err(_)));
        // What stays of a temporary folder harms nobody.
        let _ = cache::remove(&one.folder);
    }
}

/// Asks a process to end, and makes it.
pub(super) fn end(pid: u32, mut has_ended: impl FnMut() -> bool) {
    for signal in ["-TERM", "-KILL"] {
        // The shell's own, which is everywhere. One that has just ended cannot be told to.
        let mut kill = Command::new("sh");
        kill.args(["-c", &format!("kill {signal} {pid}")]).stderr(Stdio::null());
        let _ = kill.status();
        let since = Instant::now();
        while since.elapsed() < FAREWELL {
            if has_ended() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Whether a server at `port` can be used.
pub(super) fn answers(server: &Server, port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let (path, host) = (server.ready, format!("127.0.0.1:{port}"));
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        // Azurite wants a signature, and is up.
        Ok(head.starts_with(b"HTTP/1.1 2") || head.ends_with(b" 403"))
    };
    ask().unwrap_or(false)
}

fn spawn_all(
    context: &Context,
    servers: &[&'static Server],
    detached: bool,
    running: &mut Vec<Running>,
) -> JobResult {
    // First all programs, so that no server waits for the download of another.
    let commands = servers.iter().map(|server| server.command(context));
    let commands = commands.collect::<Result<Vec<_>, _>>()?;
    for (server, command) in servers.iter().zip(commands) {
        running.push(spawn(server, command, detached)?);
    }
    Ok(())
}

fn spawn(server: &'static Server, mut command: Command, detached: bool) -> Result<Running, Stop> {
    let ports = free_ports(server.ports).map_err(Stop::io("look for a free port"))?;
    let port = *ports.first().ok_or_else(|| Stop::fail("a server without a port"))?;
    let name = format!("sealwire-{}-{}-{port}", server.name, std::process::id());
    let folder = std::env::temp_dir().join(name);
    let data = folder.join("data");
    fs::create_dir_all(&data).map_err(Stop::io(data.display()))?;
    let log = File::create(log(&folder)).map_err(Stop::io(folder.display()))?;
    let errors = log.try_clone().map_err(Stop::io(folder.display()))?;
    command.args(server.arguments(&data, &ports)).current_dir(&folder);
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    if detached {
        command.process_group(0); // Else it would end with the terminal.
    }
    eprintln!("$ {} at 127.0.0.1:{port}", server.name);
    let child = command.spawn().map_err(Stop::io(server.name))?;
    Ok(Running { server, child, port, folder })
}

/// Waits until a server answers; starts it anew where it has ended instead.
fn wait(context: &Context, running: &mut Running, detached: bool) -> JobResult {
    let since = Instant::now();
    let mut tries = 1;
    while !answers(running.server, running.port) {
        let server = running.server;
        let ended = running.child.try_wait().map_err(Stop::io(server.name))?.is_some();
        if since.elapsed() > PATIENCE || (ended && tries == TRIES) {
            let said = fs::read_to_string(log(&running.folder)).unwrap_or_default();
            return Err(Stop::fail(format!("{} did not come up; it said:\n{said}", server.name)));
        }
        if ended {
            let anew = spawn(server, server.command(context)?, detached)?;
            let _ = cache::remove(&running.folder);
            *running = anew;
            tries += 1;
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// Ports that were all free at one time.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    let listeners: std::io::Result<Vec<_>> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    listeners?.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_differ() {
        let mut ports = free_ports(8).expect("ports");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }

    #[test]
    fn what_does_not_answer_is_not_ready() {
        let port = free_ports(1).expect("a port")[0];
        assert!(!answers(&super::super::SERVERS[0], port));
    }

    #[test]
    fn a_process_that_does_not_want_to_is_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("starts");
        end(child.id(), || matches!(child.try_wait(), Ok(Some(_))));
        assert!(child.try_wait().expect("asked").is_some());
    }
}
