//! Throughput of a stream over TCP loopback: one side writes, the other reads, on a thread each.

use std::{net::Ipv4Addr, thread};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};

use crate::{Failure, KIB, now};

/// Bytes that the application writes, or reads, in one call.
const CHUNK: usize = 64 * KIB;

/// Bytes a second, counted from the first byte that is written to the reader's answer that it
/// has read the last. A sixteenth is moved before, uncounted.
///
/// # Errors
/// Of the connection or of either side.
pub fn throughput<C, S>(
    bytes: u64,
    connect: impl AsyncFnOnce(TcpStream) -> Result<C, Failure>,
    accept: impl AsyncFnOnce(TcpStream) -> Result<S, Failure> + Send + 'static,
) -> Result<f64, Failure>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let warm_up = bytes / 16;
    let reader = thread::Builder::new().spawn(move || -> Result<(), Failure> {
        runtime()?.block_on(async move {
            let (stream, _) = TcpListener::from_std(listener)?.accept().await?;
            stream.set_nodelay(true)?;
            let mut stream = accept(stream).await?;
            for part in [warm_up, bytes] {
                read(&mut stream, part).await?;
                stream.write_all(&[1]).await?;
                stream.flush().await?;
            }
            Ok(())
        })
    })?;
    let seconds = runtime()?.block_on(async move {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut stream = connect(stream).await?;
        write(&mut stream, warm_up).await?;
        let start = now();
        write(&mut stream, bytes).await?;
        Ok::<f64, Failure>(start.elapsed().as_secs_f64())
    })?;
    reader.join().map_err(|_| "the reader panicked")??;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let bytes = bytes as f64;
    Ok(bytes / seconds)
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

async fn read(stream: &mut (impl AsyncRead + Unpin), bytes: u64) -> Result<(), Failure> {
    let mut buffer = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err("the stream ended early".into());
        }
        left = left.saturating_sub(count as u64);
    }
    Ok(())
}

/// Writes `bytes` and waits until the reader says that it has them.
async fn write(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    bytes: u64,
) -> Result<(), Failure> {
    let chunk = vec![0xA5; CHUNK];
    for _ in 0..bytes / CHUNK as u64 {
        stream.write_all(&chunk).await?;
    }
    let rest = usize::try_from(bytes % CHUNK as u64)?;
    stream.write_all(chunk.get(..rest).unwrap_or_default()).await?;
    stream.flush().await?;
    stream.read_u8().await?;
    Ok(())
}
