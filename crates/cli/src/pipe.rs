//! Standard input to the peer and the peer to standard output, until both have closed.

use std::{
    io::{self, IsTerminal},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use sealwire::{Channel, Error, noise::record::CloseReason};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf},
    sync::Notify,
};

use crate::{
    error::Failure,
    progress::Progress,
    stdio::{Chunk, Input, Output},
};

/// How long the peer's last words are waited for once writing to it has failed.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Carries data both ways until both sides have closed, authenticated.
///
/// At the end of standard input this direction is closed, and reading goes on. When the peer
/// has closed and standard input is a terminal, this direction is closed too: nobody should
/// have to type an end of file after a transfer.
pub(crate) async fn run<T>(channel: Channel<T>, progress: &Progress) -> Result<(), Failure>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let input = Input::start().map_err(|error| stdin_failure(&error))?;
    let output = Output::start().map_err(|error| Failure::stdout(&error))?;
    let (mut reader, mut writer) = tokio::io::split(channel);
    let peer_closed = Notify::new();
    carry(
        upload(&mut writer, input, &peer_closed, progress),
        download(&mut reader, output, &peer_closed, progress),
    )
    .await?;
    match reader.unsplit(writer).peer_closed() {
        Some(CloseReason::Done) => Ok(()),
        Some(CloseReason::Age) => Err(Error::Expired.into()),
        _ => Err(Failure::other("the peer ended the channel early")),
    }
}

/// Why sending ended early.
enum Stop {
    /// The transport failed.
    Transport(Error),
    /// Anything that makes it pointless to go on.
    Local(Failure),
}

/// Runs both directions to their ends, or to the failure that counts.
async fn carry(
    upload: impl Future<Output = Result<(), Stop>>,
    download: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::pin!(upload, download);
    let mut sent = false;
    let mut received = false;
    while !sent || !received {
        tokio::select! {
            result = &mut upload, if !sent => match result {
                Ok(()) => sent = true,
                Err(Stop::Local(failure)) => return Err(failure),
                Err(Stop::Transport(error)) if received => return Err(error.into()),
                // What the peer sent before, a refusal included, can still be read.
                Err(Stop::Transport(error)) => {
                    let last = tokio::time::timeout(LAST_WORDS, &mut download).await;
                    return Err(last.ok().and_then(Result::err).unwrap_or_else(|| error.into()));
                }
            },
            result = &mut download, if !received => {
                result?;
                received = true;
            }
        }
    }
    Ok(())
}

async fn upload<T>(
    writer: &mut WriteHalf<Channel<T>>,
    mut input: Input,
    peer_closed: &Notify,
    progress: &Progress,
) -> Result<(), Stop>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let typed = io::stdin().is_terminal();
    loop {
        let chunk = tokio::select! {
            chunk = input.next() => chunk,
            () = peer_closed.notified(), if typed => Ok(None),
        };
        let chunk = chunk.map_err(|error| Stop::Local(stdin_failure(&error)))?;
        let Some(chunk) = chunk else { break };
        let written = writer.write_all(chunk.filled()).await;
        let written = match written {
            Ok(()) if input.is_idle() => writer.flush().await,
            other => other,
        };
        if let Err(error) = written {
            return Err(failed(writer, error.into()).await);
        }
        progress.sent(chunk.len);
        input.recycle(chunk);
    }
    writer.shutdown().await.map_err(|error| Stop::Transport(error.into()))
}

/// What a failure to write means. A channel that is too old has sealed its close: it is sent.
async fn failed<T>(writer: &mut WriteHalf<Channel<T>>, error: Error) -> Stop
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    match error {
        Error::Expired => {
            let _ = tokio::time::timeout(LAST_WORDS, writer.shutdown()).await;
            Stop::Local(Error::Expired.into())
        }
        error => Stop::Transport(error),
    }
}

async fn download<T>(
    reader: &mut ReadHalf<Channel<T>>,
    mut output: Output,
    peer_closed: &Notify,
    progress: &Progress,
) -> Result<(), Failure>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut end = Ok(());
    while let Some(mut buffer) = output.buffer().await {
        let (len, outcome) = fill(reader, &mut buffer).await;
        progress.received(len);
        output.put(Chunk { buffer, len }).await;
        match outcome {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                end = Err(Error::from(error).into());
                break;
            }
        }
    }
    // What arrived whole is delivered, however the connection ended.
    output.finish().await.map_err(|error| Failure::stdout(&error))?;
    peer_closed.notify_one();
    end
}

/// Waits for data and takes as much as is there. Says whether more can follow.
async fn fill<R: AsyncRead + Unpin>(
    reader: &mut R,
    buffer: &mut [u8],
) -> (usize, io::Result<bool>) {
    let mut room = ReadBuf::new(buffer);
    std::future::poll_fn(|cx| {
        loop {
            let before = room.filled().len();
            let outcome = match Pin::new(&mut *reader).poll_read(cx, &mut room) {
                Poll::Pending if before == 0 => return Poll::Pending,
                Poll::Pending => Ok(true),
                Poll::Ready(Err(error)) => Err(error),
                Poll::Ready(Ok(())) if room.filled().len() == before => Ok(false),
                Poll::Ready(Ok(())) if room.remaining() > 0 => continue,
                Poll::Ready(Ok(())) => Ok(true),
            };
            return Poll::Ready((room.filled().len(), outcome));
        }
    })
    .await
}

fn stdin_failure(error: &io::Error) -> Failure {
    Failure::other(format!("cannot read standard input: {error}"))
        .hint("the peer was not told that the data is complete")
}
