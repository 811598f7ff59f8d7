//! AES-256-GCM over chunks of 16 KiB and nothing else: no head, no key record, no commitment.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::fs::FileExt,
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sealwire_bench::{
    Failure, KIB, Request, busy_rate,
    files::{self, PIECE},
    ranges::{CHUNK, OBJECT, RANGE, starts},
};

const TAG: usize = 16;
const SLOT: usize = CHUNK + TAG;

pub fn measure(request: &Request) -> Result<f64, Failure> {
    let key = Key(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32])?));
    match request.name.as_str() {
        "seal 64KiB mem" => seal(request, &key, 64 * KIB),
        "seal 64MiB mem" => seal(request, &key, 64 * KIB * KIB),
        "open 64MiB mem" => open(request, &key, 64 * KIB * KIB),
        "range" => ranges(request, &key, |sealed, at, slots| {
            slots.copy_from_slice(&sealed[at..at + slots.len()]);
            Ok(())
        }),
        "range, file" => {
            let path = request.folder.join("sealed");
            std::fs::write(&path, key.object(OBJECT)?)?;
            let file = File::open(&path)?;
            ranges(request, &key, |_, at, slots| Ok(file.read_exact_at(slots, at as u64)?))
        }
        "seal 4GiB file" => seal_file(request, &key),
        "open 4GiB file" => open_file(request, &key),
        _ => Err(request.unknown()),
    }
}

/// How many bytes were moved.
type Moved = Result<u64, Failure>;

struct Key(LessSafeKey);

impl Key {
    /// In place, the tag behind it.
    fn seal(&self, index: usize, slot: &mut [u8]) -> Result<(), Failure> {
        let (chunk, tag) = slot.split_at_mut(slot.len() - TAG);
        let sealed = self.0.seal_in_place_separate_tag(nonce(index), Aad::empty(), chunk)?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(())
    }

    /// From one buffer to another: what is opened in place has to be sealed again.
    fn open(&self, index: usize, slot: &[u8], out: &mut [u8]) -> Result<(), Failure> {
        let (chunk, tag) = slot.split_at(slot.len() - TAG);
        Ok(self.0.open_separate_gather(nonce(index), Aad::empty(), chunk, tag, out)?)
    }

    fn object(&self, len: usize) -> Result<Vec<u8>, Failure> {
        let mut slots = vec![0xA5; len / CHUNK * SLOT];
        let mut numbered = slots.chunks_exact_mut(SLOT).enumerate();
        numbered.try_for_each(|(index, slot)| self.seal(index, slot))?;
        Ok(slots)
    }
}

fn nonce(index: usize) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&(index as u64).to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn seal(request: &Request, key: &Key, len: usize) -> Result<f64, Failure> {
    let mut slots = key.object(len)?;
    let rate = busy_rate(request.time, || {
        let mut numbered = slots.chunks_exact_mut(SLOT).enumerate();
        numbered.try_for_each(|(index, slot)| key.seal(index, slot))
    })?;
    Ok(rate * len as f64)
}

fn open(request: &Request, key: &Key, len: usize) -> Result<f64, Failure> {
    let slots = key.object(len)?;
    let mut opened = vec![0; len];
    let rate = busy_rate(request.time, || {
        let chunks = slots.chunks_exact(SLOT).zip(opened.chunks_exact_mut(CHUNK));
        chunks.enumerate().try_for_each(|(index, (slot, out))| key.open(index, slot, out))
    })?;
    Ok(rate * len as f64)
}

/// The chunks that hold a range: read, and opened.
fn ranges(
    request: &Request,
    key: &Key,
    read: impl Fn(&[u8], usize, &mut [u8]) -> Result<(), Failure>,
) -> Result<f64, Failure> {
    let sealed = key.object(OBJECT)?;
    let mut starts = starts();
    busy_rate(request.time, || {
        let start = starts.next().ok_or("no end")?;
        let (first, last) = (start / CHUNK, (start + RANGE - 1) / CHUNK);
        let mut slots = vec![0; (last - first + 1) * SLOT];
        read(&sealed, first * SLOT, &mut slots)?;
        let mut opened = vec![0; (last - first + 1) * CHUNK];
        let chunks = slots.chunks_exact(SLOT).zip(opened.chunks_exact_mut(CHUNK));
        for (index, (slot, out)) in (first..).zip(chunks) {
            key.open(index, slot, out)?;
        }
        let skip = start - first * CHUNK;
        Ok(opened[skip..skip + RANGE].to_vec())
    })
}

/// So many chunks are written at once.
const AT_ONCE: usize = PIECE / CHUNK;

fn seal_file(request: &Request, key: &Key) -> Result<f64, Failure> {
    let plain = files::plain(&request.folder, request.bytes)?;
    let sealed = request.folder.join("sealed");
    let rate = files::throughput(request, || {
        write_sealed(key, File::open(plain)?, File::create(&sealed)?, request.bytes)
    });
    files::remove(&sealed)?;
    rate
}

fn open_file(request: &Request, key: &Key) -> Result<f64, Failure> {
    let (sealed, opened) = (request.folder.join("sealed"), request.folder.join("opened"));
    write_sealed(key, files::source(request.bytes), File::create(&sealed)?, request.bytes)?;
    let rate = files::throughput(request, || {
        write_opened(key, File::open(&sealed)?, File::create(&opened)?, request.bytes)
    });
    files::remove(&sealed)?;
    files::remove(&opened)?;
    rate
}

/// Whole pieces only: what is measured has a multiple of them.
fn write_sealed(key: &Key, mut content: impl Read, mut out: File, bytes: u64) -> Moved {
    let (pieces, mut slots) = (bytes / PIECE as u64, vec![0; AT_ONCE * SLOT]);
    for piece in 0..pieces as usize {
        for (index, slot) in (piece * AT_ONCE..).zip(slots.chunks_exact_mut(SLOT)) {
            content.read_exact(&mut slot[..CHUNK])?;
            key.seal(index, slot)?;
        }
        out.write_all(&slots)?;
    }
    Ok(pieces * PIECE as u64)
}

fn write_opened(key: &Key, mut sealed: File, mut out: File, bytes: u64) -> Moved {
    let pieces = bytes / PIECE as u64;
    let (mut slots, mut opened) = (vec![0; AT_ONCE * SLOT], vec![0; PIECE]);
    for piece in 0..pieces as usize {
        sealed.read_exact(&mut slots)?;
        let chunks = slots.chunks_exact(SLOT).zip(opened.chunks_exact_mut(CHUNK));
        for (index, (slot, out)) in (piece * AT_ONCE..).zip(chunks) {
            key.open(index, slot, out)?;
        }
        out.write_all(&opened)?;
    }
    Ok(pieces * PIECE as u64)
}
