//! HTTP/1.1 by hand, so that tests can send what no client library would.

use std::{io, net::SocketAddr, time::Duration};

use sealwire_relay::{Problem, wire::Operation};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A connection.
pub(crate) struct Http<S = TcpStream> {
    pub(crate) stream: S,
    host: String,
    read: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(operation: &Operation, body: &[u8]) -> Self {
        let mut headers = Vec::new();
        if let Some((media_type, _)) = operation.body() {
            headers.push(("content-type".to_owned(), media_type.to_owned()));
        }
        Self {
            method: operation.method().to_owned(),
            target: operation.target(),
            headers,
            body: body.to_vec(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// As it is sent, to this host unless a header says another.
    pub(crate) fn to_bytes(&self, host: &str) -> Vec<u8> {
        let has = |name: &str| self.headers.iter().any(|(other, _)| other == name);
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !has("host") {
            head += &format!("host: {host}\r\n");
        }
        if !has("content-length") && !has("transfer-encoding") {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert_eq!(values.next(), None, "{name} twice");
        value
    }

    /// The problem, after a look at all that stands in it.
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let json: serde_json::Value = serde_json::from_slice(&self.body).expect("JSON");
        let object = json.as_object().expect("an object");
        assert_eq!(object.len(), 3, "nothing beside type, title and status: {json}");
        let slug = json["type"].as_str().expect("a type");
        let slug = slug.strip_prefix(Problem::TYPE_PREFIX).expect("one of ours");
        let problem = Problem::from_slug(slug).expect("a problem");
        assert_eq!(json["title"], problem.title());
        assert_eq!(json["status"], problem.status());
        assert_eq!(self.status, problem.status());
        problem
    }

    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

impl Http {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self::over(stream, &address.to_string())
    }
}

impl Http {
    /// Connects from this address of the loopback interface, which has many.
    pub(crate) async fn connect_from(source: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((source, 0).into()).expect("an address of this machine");
        Self::over(socket.connect(address).await.expect("a connection"), &address.to_string())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http<S> {
    pub(crate) fn over(stream: S, host: &str) -> Self {
        Self { stream, host: host.to_owned(), read: Vec::new() }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("written");
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Answer {
        self.write(&ask.to_bytes(&self.host)).await;
        self.answer().await.expect("an answer")
    }

    /// Reads an answer; an error when the connection ends first.
    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            self.more().await?;
        };
        let head: Vec<u8> = self.read.drain(..end + 4).collect();
        let head = String::from_utf8(head).expect("text");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").expect("a header"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer =
            Answer { status: status.parse().expect("a number"), headers, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |it| it.parse().expect("a length"));
        while self.read.len() < length {
            self.more().await?;
        }
        answer.body = self.read.drain(..length).collect();
        Ok(answer)
    }

    /// Waits until the other side has closed the connection.
    pub(crate) async fn closed(&mut self) {
        let ended = async { while self.more().await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("closed within 20 s");
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
