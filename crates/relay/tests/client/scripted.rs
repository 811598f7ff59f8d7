//! A relay of which every answer is written down.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use sealwire_core::KeyStore;
use sealwire_core::{MemoryKeyStore, Timestamp, keys::SigningKey, secret::Secret};
use sealwire_identity::AgentId;
use sealwire_relay::{
    Capability, Device, MessageId, Nonce, Problem, SendId, Token,
    client::{Client, ClientError, Identity, RelayUrl, Settings},
    wire::{FRAME, Operation, PROBLEM},
};
use sealwire_testkit::rng::SeededRng;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// [`NOW`], as a header.
pub(crate) const DATE: &str = "Fri, 15 Jan 2027 08:00:00 GMT";

/// A request, and over which connection it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(found, _)| found == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there once");
        value
    }

    pub(crate) fn operation(&self) -> Operation {
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        Operation::parse(&self.method, path, query).expect("an operation")
    }
}

/// What comes of a request.
pub(crate) enum Reply {
    /// An answer, and the connection stays.
    Answer(Vec<u8>),
    /// These bytes, and the connection ends.
    Last(Vec<u8>),
    /// The connection ends.
    Cut,
    /// Nothing, for ever.
    Silence,
    /// The connection is taken over.
    Take(Takeover),
}

pub(crate) type Takeover =
    Box<dyn FnOnce(TcpStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

pub(crate) fn answer(status: u16, media_type: &str, body: &[u8]) -> Reply {
    answer_with(status, &format!("content-type: {media_type}\r\n"), body)
}

/// An answer with more lines in its head.
pub(crate) fn answer_with(status: u16, lines: &str, body: &[u8]) -> Reply {
    let head = format!(
        "HTTP/1.1 {status} Whatever\r\ndate: {DATE}\r\n{lines}content-length: {}\r\n\r\n",
        body.len()
    );
    Reply::Answer([head.as_bytes(), body].concat())
}

pub(crate) fn problem(problem: Problem) -> Reply {
    answer(problem.status(), PROBLEM, problem.to_json().as_bytes())
}

pub(crate) fn problem_with(problem: Problem, lines: &str) -> Reply {
    let lines = format!("content-type: {PROBLEM}\r\n{lines}");
    answer_with(problem.status(), &lines, problem.to_json().as_bytes())
}

/// 202, as a deposit has it.
pub(crate) fn accepted() -> Reply {
    answer_with(202, "", b"")
}

type Script = Box<dyn FnMut(&Seen) -> Reply + Send>;

/// It listens until it is dropped.
pub(crate) struct Scripted {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    pub(crate) async fn new(script: impl FnMut(&Seen) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let (log, mut tasks) = (Arc::clone(&seen), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for connection in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                connections.spawn(async move { serve(connection, stream, &log, &script).await });
            }
        });
        Self { port, seen, _tasks: tasks }
    }

    /// All requests so far, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("lock").clone()
    }

    pub(crate) fn client(&self) -> Client {
        client(&format!("http://127.0.0.1:{}", self.port), settings())
    }
}

async fn serve(
    connection: usize,
    stream: TcpStream,
    log: &Mutex<Vec<Seen>>,
    script: &Mutex<Script>,
) {
    let mut stream = BufReader::new(stream);
    while let Some(seen) = read(connection, &mut stream).await {
        log.lock().expect("lock").push(seen.clone());
        let reply = script.lock().expect("lock")(&seen);
        match reply {
            Reply::Answer(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Reply::Last(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reply::Cut => return,
            Reply::Silence => std::future::pending().await,
            Reply::Take(take) => return take(stream.into_inner()).await,
        }
    }
}

async fn read(connection: usize, stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let len = headers.iter().find(|(name, _)| name == "content-length");
    let len = len.map_or(0, |(_, len)| len.parse().expect("a length"));
    let mut body = vec![0; len];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen { connection, method, target, headers, body })
}

/// Settings by which a test takes no longer than it has to.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.clock = Arc::new(|| NOW);
    settings.answer = Duration::from_millis(500);
    settings.connect = Duration::from_secs(5);
    settings.deadline = Duration::from_secs(5);
    settings.pause = Duration::from_millis(5);
    settings.ping = Duration::from_millis(400);
    settings
}

pub(crate) fn client(url: &str, settings: Settings) -> Client {
    let url = RelayUrl::parse(url).expect("a URL");
    Client::new(url, Some(Identity::new(keys())), settings).expect("a client")
}

pub(crate) fn keys() -> Arc<MemoryKeyStore> {
    Arc::new(MemoryKeyStore::generate(&mut SeededRng::new(1)).expect("keys"))
}

pub(crate) fn agent() -> AgentId {
    AgentId::from_key(keys().identity())
}

pub(crate) fn device() -> Device {
    Device { agent: agent(), number: 0 }
}

pub(crate) fn mailbox_key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::from_slice(&[seed; 32]).expect("32 bytes"))
}

pub(crate) fn capability(to: SendId) -> Capability {
    let secret = Secret::from_slice(&[3; 32]).expect("32 bytes");
    Capability::mint(&secret, &to, &Token::from_bytes([4; 16]), NOW).expect("it fits")
}

pub(crate) fn nonce(byte: u8) -> Nonce {
    Nonce::from_bytes([byte; 16])
}

/// Leaves a frame in the mailbox with this id.
pub(crate) async fn deposit(client: &Client, to: u8, message: u8) -> Result<(), ClientError> {
    let (to, message) = (SendId::from_bytes([to; 16]), MessageId::from_bytes([message; 16]));
    client.deposit(to, &capability(to), message, &[0x5a; 2048]).await
}

/// The media type that a body of this operation has.
pub(crate) fn is_frame(seen: &Seen) -> bool {
    seen.header("content-type") == Some(FRAME)
}
