//! The man in the middle: forwards one connection, records all of it, and meddles.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use sealwire::noise::Preamble;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};

/// What the middle does to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meddling {
    /// Nothing but listening.
    Nothing,
    /// Flips one bit of the first record with content.
    Flip,
    /// Forwards half of the first record with content, nothing in the other direction, and cuts
    /// both sides.
    Cut,
    /// Strikes every suite but the chosen one from the offer.
    OfferLess,
}

/// One connection through the middle.
pub(super) struct Middle {
    address: SocketAddr,
    recording: Arc<Mutex<Vec<u8>>>,
    /// Ends with the middle.
    forwarding: JoinSet<io::Result<()>>,
}

impl Middle {
    /// Listens on a free port and will forward one connection to `target`.
    pub(super) async fn start(target: SocketAddr, meddling: Meddling) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let recording = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&recording);
        let mut forwarding = JoinSet::new();
        forwarding.spawn(async move {
            let (dialler, _) = listener.accept().await?;
            let answerer = TcpStream::connect(target).await?;
            forward(dialler, answerer, meddling, kept).await
        });
        Ok(Self { address, recording, forwarding })
    }

    /// Where to dial.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the forwarding and gives everything that passed.
    pub(super) fn finish(self) -> Vec<u8> {
        drop(self.forwarding);
        std::mem::take(&mut *self.recording.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn forward(
    dialler: TcpStream,
    answerer: TcpStream,
    meddling: Meddling,
    recording: Arc<Mutex<Vec<u8>>>,
) -> io::Result<()> {
    let (from_dialler, to_dialler) = dialler.into_split();
    let (from_answerer, to_answerer) = answerer.into_split();
    let mut there = Wire { from: from_dialler, to: to_answerer, recording: Arc::clone(&recording) };
    let mut back = Wire { from: from_answerer, to: to_dialler, recording };
    let there = async {
        match meddling {
            Meddling::Nothing => {}
            Meddling::OfferLess => there.preamble(strike_offer).await?,
            Meddling::Flip | Meddling::Cut => {
                there.preamble(|preamble| preamble).await?;
                // Message 1 and the confirmation pass; the next frame has content.
                there.frame(|frame| frame).await?;
                there.frame(|frame| frame).await?;
                if meddling == Meddling::Cut {
                    there.frame(cut_in_half).await?;
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                there.frame(flip_a_bit).await?;
            }
        }
        there.rest().await
    };
    let back = async {
        if meddling == Meddling::Cut {
            // Message 2 passes; what follows it waits for the cut.
            back.frame(|frame| frame).await?;
            std::future::pending::<()>().await;
        }
        back.rest().await
    };
    // An error, such as the cut, drops all four halves at once.
    tokio::try_join!(there, back).map(drop)
}

/// One direction.
struct Wire {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    recording: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    /// Forwards a preamble, changed.
    async fn preamble(&mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> io::Result<()> {
        let mut bytes = vec![0; Preamble::HEAD_LEN];
        self.from.read_exact(&mut bytes).await?;
        let head = bytes.first_chunk().ok_or(io::ErrorKind::InvalidData)?;
        let rest = Preamble::rest_len(head).map_err(io::Error::other)?;
        self.take(&mut bytes, rest).await?;
        self.pass(&change(bytes)).await
    }

    /// Forwards a frame and its length, changed.
    async fn frame(&mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> io::Result<()> {
        let len = self.from.read_u16().await?;
        let mut bytes = len.to_be_bytes().to_vec();
        self.take(&mut bytes, usize::from(len)).await?;
        self.pass(&change(bytes)).await
    }

    /// Forwards until the end, and passes the end on.
    async fn rest(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let read = self.from.read(&mut bytes).await?;
            if read == 0 {
                return self.to.shutdown().await;
            }
            self.pass(bytes.get(..read).unwrap_or_default()).await?;
        }
    }

    async fn take(&mut self, bytes: &mut Vec<u8>, count: usize) -> io::Result<()> {
        let have = bytes.len();
        bytes.resize(have.saturating_add(count), 0);
        self.from.read_exact(bytes.get_mut(have..).unwrap_or_default()).await.map(drop)
    }

    async fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        self.to.write_all(bytes).await
    }
}

fn flip_a_bit(mut frame: Vec<u8>) -> Vec<u8> {
    let middle = frame.len() / 2;
    if let Some(byte) = frame.get_mut(middle) {
        *byte ^= 1;
    }
    frame
}

fn cut_in_half(mut frame: Vec<u8>) -> Vec<u8> {
    frame.truncate(frame.len() / 2);
    frame
}

/// `version | suite | pattern | count | offered …`: the offer shrinks to the chosen suite.
fn strike_offer(preamble: Vec<u8>) -> Vec<u8> {
    match preamble.as_slice() {
        [version, suite, pattern, count, rest @ ..] => {
            let after = rest.get(usize::from(*count)..).unwrap_or_default();
            [&[*version, *suite, *pattern, 1, *suite], after].concat()
        }
        _ => preamble,
    }
}
