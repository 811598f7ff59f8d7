//! A connection with someone in the middle, who changes, drops, cuts and records.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    runtime::Handle,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToResponder,
    ToInitiator,
}

/// What becomes of a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass(u8),
    Drop,
    /// The connection ends here, both ways.
    Cut,
}

/// What went into the connection at either end, as sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<[Vec<u8>; 2]>>);

impl Log {
    pub(crate) fn sent(&self, way: Way) -> Vec<u8> {
        self.0.lock().expect("the log")[way as usize].clone()
    }
}

/// The initiator's end, the responder's end, and what went through.
pub(crate) fn wire(
    judge: impl Fn(Way, usize, u8) -> Fate + Send + Sync + 'static,
) -> (DuplexStream, DuplexStream, Log) {
    let (near, left) = duplex(1 << 16);
    let (right, far) = duplex(1 << 16);
    let log = Log::default();
    let judge: Arc<Judge> = Arc::new(judge);
    Handle::current().spawn(middle(left, right, judge, log.clone()));
    (near, far, log)
}

/// A connection that only records.
pub(crate) fn tapped() -> (DuplexStream, DuplexStream, Log) {
    wire(|_, _, byte| Fate::Pass(byte))
}

/// A connection that flips one bit.
pub(crate) fn flipping(way: Way, offset: usize) -> (DuplexStream, DuplexStream, Log) {
    wire(move |going, at, byte| {
        let here = (going, at) == (way, offset);
        Fate::Pass(if here { byte ^ 1 << (offset % 8) } else { byte })
    })
}

/// A connection that ends before this byte.
pub(crate) fn cutting(way: Way, offset: usize) -> (DuplexStream, DuplexStream, Log) {
    wire(
        move |going, at, byte| {
            if (going, at) == (way, offset) { Fate::Cut } else { Fate::Pass(byte) }
        },
    )
}

type Judge = dyn Fn(Way, usize, u8) -> Fate + Send + Sync;

async fn middle(left: DuplexStream, right: DuplexStream, judge: Arc<Judge>, log: Log) {
    let (from_left, to_left) = split(left);
    let (from_right, to_right) = split(right);
    tokio::select! {
        _ = pump(from_left, to_right, Way::ToResponder, &judge, &log) => {}
        _ = pump(from_right, to_left, Way::ToInitiator, &judge, &log) => {}
    }
}

/// Passes bytes on; returns where the connection is cut.
async fn pump(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    way: Way,
    judge: &Arc<Judge>,
    log: &Log,
) -> Option<Infallible> {
    let mut buffer = [0; 4096];
    let mut offset = 0;
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            let _ = to.shutdown().await;
            return std::future::pending().await;
        }
        log.0.lock().expect("the log")[way as usize].extend_from_slice(&buffer[..read]);
        for byte in &buffer[..read] {
            match judge(way, offset, *byte) {
                Fate::Pass(byte) if to.write_all(&[byte]).await.is_err() => return None,
                Fate::Pass(_) | Fate::Drop => {}
                Fate::Cut => return None,
            }
            offset += 1;
        }
    }
}
