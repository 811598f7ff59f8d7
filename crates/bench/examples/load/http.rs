//! HTTP/1.1, as little of it as a load needs: a request in one piece, and the next one when it is
//! answered. What the load spends, the server on the same machine has not.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection.
#[derive(Debug)]
pub(crate) struct Http {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// What stands before a body.
#[derive(Clone, Copy, Debug)]
struct Head {
    status: u16,
    len: usize,
    body_len: usize,
}

impl Http {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(4 * 1024) })
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.read.clear();
        self.stream.write_all(request).await?;
        let head = loop {
            self.more().await?;
            if let Some(head) = Head::parse(&self.read)? {
                break head;
            }
        };
        let end = head.len.saturating_add(head.body_len);
        while self.read.len() < end {
            self.more().await?;
        }
        let body = self.read.get(head.len..end).unwrap_or_default();
        Ok(Answer { status: head.status, body })
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Head {
    /// Reads it, when it is all there.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let head = bytes.get(..end).and_then(|head| str::from_utf8(head).ok());
        let mut lines = head.ok_or_else(invalid)?.split("\r\n");
        let status = lines.next().and_then(|line| line.get(9..12)).and_then(|it| it.parse().ok());
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())
        });
        Ok(Some(Self {
            status: status.ok_or_else(invalid)?,
            len: end.saturating_add(4),
            body_len: length.unwrap_or(Some(0)).ok_or_else(invalid)?,
        }))
    }
}
