//! A service on this machine that does what a test tells it to, also the worst.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// A request, whole.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Told {
    pub(crate) fn new(status: u16, body: impl ToString) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The request is served, and the connection closed instead of an answer.
    DropAfterApply,
    /// The request is served, and the connection closed within the answer.
    CutAnswer,
    /// No answer, and no end.
    Stall,
    /// This instead of what was asked for.
    Instead(Told),
    /// The answer, with each of the first texts changed to the second.
    Garble(Vec<(String, String)>),
}

struct Shared {
    serve: Box<dyn Fn(&Asked) -> Told + Send + Sync>,
    next: Mutex<VecDeque<Fault>>,
    always: Mutex<Option<Fault>>,
    asked: Mutex<Vec<Asked>>,
    stalled: AtomicUsize,
}

/// The service. It ends with the process.
#[derive(Clone)]
pub(crate) struct Fake {
    shared: Arc<Shared>,
    pub(crate) address: String,
}

impl Fake {
    pub(crate) fn start(serve: impl Fn(&Asked) -> Told + Send + Sync + 'static) -> Self {
        Self::start_over(serve, None)
    }

    /// The same over TLS, as whoever `config` says.
    pub(crate) fn start_tls(
        config: ServerConfig,
        serve: impl Fn(&Asked) -> Told + Send + Sync + 'static,
    ) -> Self {
        Self::start_over(serve, Some(Arc::new(config)))
    }

    fn start_over(
        serve: impl Fn(&Asked) -> Told + Send + Sync + 'static,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = format!("{scheme}://{}", listener.local_addr().expect("an address"));
        let shared = Arc::new(Shared {
            serve: Box::new(serve),
            next: Mutex::default(),
            always: Mutex::default(),
            asked: Mutex::default(),
            stalled: AtomicUsize::new(0),
        });
        let own = shared.clone();
        let accept = move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (own, tls) = (own.clone(), tls.clone());
                let serve = move || match tls.map(ServerConnection::new) {
                    None => serve_all(&mut stream, &own),
                    Some(session) => {
                        let session = session.expect("a session");
                        serve_all(&mut StreamOwned::new(session, stream), &own);
                    }
                };
                thread::Builder::new().spawn(serve).expect("a thread");
            }
        };
        thread::Builder::new().spawn(accept).expect("a thread");
        Self { shared, address }
    }

    /// Each of the next requests meets one of `faults`.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.next.lock().expect("lock").extend(faults);
    }

    /// Every request from now on meets `fault`.
    pub(crate) fn fail_always(&self, fault: Fault) {
        *self.shared.always.lock().expect("lock") = Some(fault);
    }

    /// What was asked so far, and is forgotten now.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.asked.lock().expect("lock"))
    }
}

fn serve_all(stream: &mut (impl Read + Write), shared: &Shared) {
    while serve_one(stream, shared).is_some() {}
}

/// Serves one request. `None` when the connection is over.
fn serve_one(stream: &mut (impl Read + Write), shared: &Shared) -> Option<()> {
    let asked = read(stream)?;
    let fault = shared.next.lock().expect("lock").pop_front();
    let fault = fault.or_else(|| shared.always.lock().expect("lock").clone());
    shared.asked.lock().expect("lock").push(asked.clone());
    if let Some(Fault::Stall) = fault {
        shared.stalled.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_secs(60));
        return None;
    }
    if let Some(Fault::Instead(told)) = fault {
        return write(stream, &told, usize::MAX);
    }
    let mut told = (shared.serve)(&asked);
    match fault {
        Some(Fault::DropAfterApply) => None,
        Some(Fault::CutAnswer) => {
            write(stream, &told, told.body.len() / 2)?;
            None
        }
        Some(Fault::Garble(changes)) => {
            for (from, to) in &changes {
                told.body = told.body.replace(from, to);
            }
            write(stream, &told, usize::MAX)
        }
        _ => write(stream, &told, usize::MAX),
    }
}

fn read(stream: &mut impl Read) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    while let Some((name, value)) = line()?.split_once(':') {
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked { method, path, headers, body: Vec::new() };
    let len = asked.header("content-length").parse().unwrap_or(0);
    asked.body.resize(len, 0);
    reader.read_exact(&mut asked.body).ok()?;
    Some(asked)
}

/// At most `most` bytes of the body, whose length is told in full.
fn write(stream: &mut impl Write, told: &Told, most: usize) -> Option<()> {
    let Told { status, headers, body } = told;
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let len = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {len}\r\n{headers}\r\n");
    let body = &body.as_bytes()[..len.min(most)];
    stream.write_all(&[head.as_bytes(), body].concat()).ok()
}
