//! The built command as child processes: each with a home of its own and an end.
#![expect(dead_code, reason = "each test file uses a part of this")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use sealwire_testkit::leak;
use serde_json::Value;
use tempfile::TempDir;

/// What the tests seal their keys under. It must never be seen in any output.
pub(crate) const PASSPHRASE: &str = "umbrella-quartz-lantern-42";

/// The longest that any child may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const TICK: Duration = Duration::from_millis(10);

/// A directory with an agent in it.
pub(crate) struct Agent {
    directory: TempDir,
    pub(crate) id: String,
}

impl Agent {
    /// A new agent.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let created = sealwire(directory.path(), &["id", "new", "--json"]).run(b"");
        assert_eq!(created.code, 0, "{}", created.stderr);
        let id = created.json()["id"].as_str().expect("an id").to_owned();
        Self { directory, id }
    }

    pub(crate) fn home(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    /// Runs a command that ends by itself.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, b"")
    }

    pub(crate) fn run_with(&self, args: &[&str], stdin: &[u8]) -> Done {
        sealwire(self.home(), args).run(stdin)
    }

    /// The card as text.
    pub(crate) fn card(&self) -> String {
        let card = self.run(&["id", "card"]);
        assert_eq!(card.code, 0, "{}", card.stderr);
        card.text()
    }

    pub(crate) fn pin(&self, other: &Self) {
        let pinned = self.run_with(&["trust", "pin", "-"], other.card().as_bytes());
        assert_eq!(pinned.code, 0, "{}", pinned.stderr);
    }

    /// Starts to listen on a free port, with `stdin` to send. Gives the address too.
    pub(crate) fn listen(&self, args: &[&str], stdin: &[u8]) -> (Running, SocketAddr) {
        let args = [&["listen", "127.0.0.1:0", "--json"], args].concat();
        let mut running = sealwire(self.home(), &args).start(Some(stdin));
        let listening = running.event("listening");
        let address = listening["address"].as_str().expect("an address");
        (running, address.parse().expect("an address"))
    }

    pub(crate) fn connect(&self, address: SocketAddr, args: &[&str], stdin: &[u8]) -> Done {
        self.start_connect(address, args, Some(stdin)).wait()
    }

    /// Starts to connect. Without `stdin` it stays open.
    pub(crate) fn start_connect(
        &self,
        address: SocketAddr,
        args: &[&str],
        stdin: Option<&[u8]>,
    ) -> Running {
        let address = address.to_string();
        let args = [&["connect", address.as_str(), "--json"], args].concat();
        sealwire(self.home(), &args).start(stdin)
    }
}

/// A relay in a process of its own, with its data in a directory of its own.
pub(crate) struct Relay {
    directory: TempDir,
    running: Option<Running>,
    /// Where agents connect, the same after each start.
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Relay {
    /// A relay on free ports, without limits by the minute.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let limits = ["claims_per_caller", "claims_per_target", "claims_per_address"]
            .into_iter()
            .chain(["mailboxes_per_address", "publications_per_address", "contacts_per_address"]);
        let limits: String = limits.map(|limit| format!("{limit} = 0\n")).collect();
        file(directory.path(), "sealwire.toml", format!("[relay]\n{limits}").as_bytes());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut relay = Self { directory, running: None, address: any, admin: any };
        relay.restart();
        relay
    }

    pub(crate) fn home(&self) -> &Path {
        self.directory.path()
    }

    /// Where agents find it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.kill();
        running.wait();
    }

    /// Starts it again, where it was.
    pub(crate) fn restart(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let (listen, admin) = (self.address.to_string(), self.admin.to_string());
        let args = ["relay", "run", "--listen", &listen, "--admin", &admin, "--json"];
        let mut running = sealwire(self.home(), &args).start(Some(b""));
        let listening = running.event("listening");
        let address = |name: &str| listening[name].as_str().expect("an address").parse();
        self.address = address("address").expect("an address");
        self.admin = address("admin").expect("an address");
        self.running = Some(running);
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(&mut self) -> Done {
        let running = self.running.take().expect("it runs");
        running.terminate();
        running.wait()
    }

    /// What it says of itself.
    pub(crate) fn status(&self) -> Value {
        let admin = self.admin.to_string();
        let asked = sealwire(self.home(), &["relay", "status", "--admin", &admin, "--json"]);
        let done = asked.run(b"");
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.json()
    }

    /// Every byte that it has on disk.
    pub(crate) fn on_disk(&self) -> Vec<u8> {
        fn collect(directory: &Path, found: &mut Vec<u8>) {
            for entry in fs::read_dir(directory).expect("there") {
                let path = entry.expect("there").path();
                match path.is_dir() {
                    true => collect(&path, found),
                    false => found.extend(fs::read(path).expect("readable")),
                }
            }
        }
        let mut found = Vec::new();
        collect(&self.home().join("relay"), &mut found);
        found
    }
}

/// Two agents that have pinned each other.
pub(crate) fn friends() -> (Agent, Agent) {
    let (alice, bob) = (Agent::new(), Agent::new());
    alice.pin(&bob);
    bob.pin(&alice);
    (alice, bob)
}

/// The command with a home.
pub(crate) fn sealwire(home: &Path, args: &[&str]) -> Sealwire {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealwire"));
    command.args(args).env("SEALWIRE_HOME", home).env("SEALWIRE_PASSPHRASE", PASSPHRASE);
    Sealwire(command)
}

pub(crate) struct Sealwire(Command);

impl Sealwire {
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.0.env(name, value);
        self
    }

    /// Without a passphrase, and in a session without a terminal to ask on.
    pub(crate) fn without_passphrase(self) -> Self {
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(self.0.get_program()).args(self.0.get_args());
        for (name, value) in self.0.get_envs().filter(|(name, _)| *name == "SEALWIRE_HOME") {
            command.env(name, value.expect("a home"));
        }
        command.env_remove("SEALWIRE_PASSPHRASE");
        Self(command)
    }

    pub(crate) fn run(self, stdin: &[u8]) -> Done {
        self.start(Some(stdin)).wait()
    }

    pub(crate) fn start(mut self, stdin: Option<&[u8]>) -> Running {
        self.0.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.0.spawn().expect("the command starts");
        let mut pipe = child.stdin.take();
        if let Some(bytes) = stdin.map(<[u8]>::to_vec) {
            let mut pipe = pipe.take().expect("a pipe");
            // The child may end before it has read everything.
            background(move || drop(pipe.write_all(&bytes)));
        }
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (sender, bytes) = mpsc::channel();
        background(move || {
            let mut all = Vec::new();
            let _ = stdout.expect("a pipe").read_to_end(&mut all);
            let _ = sender.send(all);
        });
        let (sender, lines) = mpsc::channel();
        background(move || {
            let lines = BufReader::new(stderr.expect("a pipe")).lines();
            lines.map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        Running { child, stdin: pipe, bytes, lines, seen: String::new() }
    }
}

/// A child that runs. It is killed, by its process id, when it is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdin: Option<std::process::ChildStdin>,
    bytes: Receiver<Vec<u8>>,
    lines: Receiver<String>,
    seen: String,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for an event on standard error.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no {name} in:\n{}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
            let event: Value = serde_json::from_str(&line).expect("one JSON object a line");
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Types a line on standard input.
    pub(crate) fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it was left open");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("it runs");
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Done {
        drop(self.stdin.take());
        let ticks = PATIENCE.as_millis() / TICK.as_millis();
        let status = (0..ticks).find_map(|_| {
            thread::sleep(TICK);
            self.child.try_wait().expect("a child")
        });
        let status = status.unwrap_or_else(|| panic!("it does not end; it said:\n{}", self.seen));
        let stdout = self.bytes.recv_timeout(PATIENCE).expect("standard output ends");
        let rest = std::iter::from_fn(|| self.lines.recv_timeout(PATIENCE).ok());
        let stderr = rest.fold(std::mem::take(&mut self.seen), |seen, line| seen + &line + "\n");
        let done = Done { code: status.code().unwrap_or(-1), stdout, stderr };
        // attack T34. Of data that went through, the start is enough.
        let start = done.stdout.get(..64 * 1024).unwrap_or(&done.stdout);
        let text = String::from_utf8_lossy(start) + done.stderr.as_str();
        assert!(!text.contains(PASSPHRASE) && !leak::shows(&text, PASSPHRASE.as_bytes()));
        done
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a child ended, and what it said.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("text")
    }

    /// Standard output as one JSON object.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).expect("one JSON object")
    }

    /// The event of this name on standard error.
    pub(crate) fn event(&self, name: &str) -> Value {
        let events = self
            .stderr
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("one JSON object a line"));
        let mut events = events.filter(|event| event["event"] == name);
        events.next().unwrap_or_else(|| panic!("no {name} in:\n{}", self.stderr))
    }

    /// That it failed with this code and said so in a sentence.
    pub(crate) fn assert_failed(&self, code: i32, sentence: &str) {
        assert_eq!(self.code, code, "{}", self.stderr);
        assert!(self.stderr.contains(sentence), "{}", self.stderr);
    }
}

/// Bytes that repeat nowhere.
pub(crate) fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        // Knuth's linear congruential generator, of which the high bits are good.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// What a man in the middle does to the bytes from the dialling side.
#[derive(Clone, Copy)]
pub(crate) enum Tamper {
    /// Cuts both connections after so many.
    CutAfter(usize),
    /// Changes the byte at this offset.
    FlipAt(usize),
}

/// A man in the middle, for one connection. Gives its address.
pub(crate) fn middle(target: SocketAddr, tamper: Tamper) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    background(move || {
        let (near, _) = listener.accept().expect("a connection");
        let far = TcpStream::connect(target).expect("the target listens");
        let (back_from, back_to) =
            (far.try_clone().expect("a socket"), near.try_clone().expect("a socket"));
        background(move || pump(&back_from, &back_to, None));
        pump(&near, &far, Some(tamper));
    });
    address
}

fn pump(mut from: &TcpStream, mut to: &TcpStream, tamper: Option<Tamper>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut passed = 0;
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        let mut piece = &mut buffer[..len];
        let mut cut = false;
        match tamper {
            Some(Tamper::FlipAt(offset)) if (passed..passed + len).contains(&offset) => {
                piece[offset - passed] ^= 1;
            }
            Some(Tamper::CutAfter(offset)) if passed + len >= offset => {
                piece = &mut piece[..offset - passed];
                cut = true;
            }
            _ => {}
        }
        passed += len;
        if to.write_all(piece).is_err() || cut {
            let _ = from.shutdown(Shutdown::Both);
            break;
        }
    }
    let _ = to.shutdown(if tamper.is_some() { Shutdown::Both } else { Shutdown::Write });
}

/// A file in a directory, with this content.
pub(crate) fn file(directory: &Path, name: &str, content: &[u8]) -> String {
    let path = directory.join(name);
    fs::write(&path, content).expect("written");
    path.to_str().expect("text").to_owned()
}

pub(crate) fn background(work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().spawn(work).expect("a thread");
}
