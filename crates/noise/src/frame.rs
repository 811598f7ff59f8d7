//! Handshake frames over a byte stream (feature `tokio`): preamble, messages, refusal.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{Error, Preamble, machine::MAX_MESSAGE, record::MAX_CIPHERTEXT};

/// The refusal, for every cause: a frame of length 0.
pub const REFUSAL: [u8; 2] = [0, 0];

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The transport failed or ended.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are wrong, or a refusal.
    #[error(transparent)]
    Noise(#[from] Error),
}

/// Reads a preamble. Its length follows from the four bytes that are read first.
///
/// # Errors
/// [`FrameError::Noise`] for a version, suite or pattern that is not known, before more than
/// the head is read.
pub async fn read_preamble<T: AsyncRead + Unpin>(io: &mut T) -> Result<Preamble, FrameError> {
    let mut head = [0; Preamble::HEAD_LEN];
    io.read_exact(&mut head).await?;
    let rest = Preamble::rest_len(&head).map_err(Error::from)?;
    let mut bytes = vec![0; Preamble::HEAD_LEN.saturating_add(rest)];
    let (start, end) = bytes.split_at_mut(Preamble::HEAD_LEN);
    start.copy_from_slice(&head);
    io.read_exact(end).await?;
    Ok(Preamble::from_bytes(&bytes).map_err(Error::from)?)
}

/// Reads a handshake message of at most `max` bytes behind its u16 length.
///
/// # Errors
/// [`Error::Refused`] for length 0, [`Error::Handshake`] for a longer message: nothing of it
/// is read.
pub async fn read_message<T: AsyncRead + Unpin>(
    io: &mut T,
    max: usize,
) -> Result<Vec<u8>, FrameError> {
    let len = usize::from(io.read_u16().await?);
    if len == 0 {
        return Err(Error::Refused.into());
    }
    if len > max.min(MAX_MESSAGE) {
        return Err(Error::Handshake.into());
    }
    let mut message = vec![0; len];
    io.read_exact(&mut message).await?;
    Ok(message)
}

/// Reads the IK confirmation: the first record, without its length.
///
/// # Errors
/// As [`read_message`].
pub async fn read_record<T: AsyncRead + Unpin>(io: &mut T) -> Result<Vec<u8>, FrameError> {
    read_message(io, MAX_CIPHERTEXT).await
}

/// Writes a preamble and message 1 in one go.
///
/// # Errors
/// The transport's, or [`Error::Misuse`] for a message that is no handshake message.
pub async fn write_first<T: AsyncWrite + Unpin>(
    io: &mut T,
    preamble: &Preamble,
    message: &[u8],
) -> Result<(), FrameError> {
    let mut bytes = preamble.to_bytes();
    append(&mut bytes, message)?;
    write_all(io, &bytes).await
}

/// Writes a handshake message behind its length.
///
/// # Errors
/// As [`write_first`].
pub async fn write_message<T: AsyncWrite + Unpin>(
    io: &mut T,
    message: &[u8],
) -> Result<(), FrameError> {
    let mut bytes = Vec::with_capacity(message.len().saturating_add(2));
    append(&mut bytes, message)?;
    write_all(io, &bytes).await
}

/// Writes bytes that are framed already: a record or [`REFUSAL`].
///
/// # Errors
/// The transport's.
pub async fn write_all<T: AsyncWrite + Unpin>(io: &mut T, bytes: &[u8]) -> Result<(), FrameError> {
    io.write_all(bytes).await?;
    io.flush().await?;
    Ok(())
}

fn append(bytes: &mut Vec<u8>, message: &[u8]) -> Result<(), Error> {
    let len = u16::try_from(message.len()).ok().filter(|len| *len > 0);
    let len = len.ok_or(Error::Misuse("a handshake message has 1 to 65,535 bytes"))?;
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(message);
    Ok(())
}
