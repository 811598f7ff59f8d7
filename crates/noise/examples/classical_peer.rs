//! One side of a classical Noise handshake over stdin and stdout, for interoperability tests:
//! `classical_peer NAME initiator|responder SECRET_HEX [REMOTE_PUBLIC_HEX]`.
//!
//! Frames are behind a u16 length. Handshake payloads are `payload-<role>-<index>`. After the
//! handshake each side sends its handshake hash in clear, the initiator three transport
//! messages, which the responder sends back reversed.
#![forbid(unsafe_code)]

use std::{
    error::Error,
    io::{Read, Write, stdin, stdout},
    sync::Arc,
};

use sealwire_core::{
    KeyStore, MemoryKeyStore,
    aead::{AeadKey, Algorithm},
    keys::StaticPublic,
    keystore::KeySeeds,
    secret::Secret,
};
use sealwire_noise::{
    Role,
    hazmat::{Classical, ClassicalSetup},
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, role, secret, remote @ ..] = arguments.as_slice() else {
        return Err("usage: classical_peer NAME initiator|responder SECRET_HEX [PUBLIC_HEX]".into());
    };
    let role = match role.as_str() {
        "initiator" => Role::Initiator,
        "responder" => Role::Responder,
        _ => return Err("the role is initiator or responder".into()),
    };
    let remote = remote.first().map(|remote| unhex(remote)).transpose()?;
    let remote = remote.map(|remote| StaticPublic::from_bytes(&remote)).transpose()?;
    let keys = Arc::new(store(&unhex(secret)?)?);
    let ephemeral = Secret::try_init_with(|out: &mut [u8; 32]| fill_random(out))?;
    let mut handshake = Classical::new(ClassicalSetup {
        name,
        role,
        prologue: b"",
        kx: keys.newest(),
        keys,
        ephemeral: &ephemeral,
        remote: remote.as_ref(),
        psk: None,
    })?;
    run_handshake(&mut handshake, role, if name.contains("_XX_") { 3 } else { 2 })?;

    let hash = handshake.hash()?;
    send(&hash)?;
    if receive()? != hash {
        return Err("the handshake hashes differ".into());
    }
    let algorithm =
        if name.contains("AESGCM") { Algorithm::Aes256Gcm } else { Algorithm::ChaCha20Poly1305 };
    transport(role, algorithm, &handshake.split())
}

fn run_handshake(handshake: &mut Classical, role: Role, messages: usize) -> Outcome<()> {
    for index in 0..messages {
        let writer = if index % 2 == 0 { Role::Initiator } else { Role::Responder };
        let payload = format!("payload-{}-{index}", word(writer));
        if writer == role {
            send(&handshake.write(payload.as_bytes())?)?;
        } else if handshake.read(&receive()?)?.as_slice() != payload.as_bytes() {
            return Err(format!("message {index} carries another payload").into());
        }
    }
    Ok(())
}

fn transport(role: Role, algorithm: Algorithm, split: &Secret<64>) -> Outcome<()> {
    let (first, second) = split.expose().split_at(32);
    let to_responder = AeadKey::new(algorithm, &Secret::from_slice(first)?)?;
    let to_initiator = AeadKey::new(algorithm, &Secret::from_slice(second)?)?;
    for counter in 0..3u64 {
        let nonce = nonce(algorithm, counter);
        let message = format!("transport-{counter}").into_bytes();
        let reversed: Vec<u8> = message.iter().rev().copied().collect();
        if role == Role::Initiator {
            send(&seal(&to_responder, &nonce, &message)?)?;
            if open(&to_initiator, &nonce, &receive()?)? != reversed {
                return Err("the echo differs".into());
            }
        } else {
            if open(&to_responder, &nonce, &receive()?)? != message {
                return Err("the message differs".into());
            }
            send(&seal(&to_initiator, &nonce, &reversed)?)?;
        }
    }
    Ok(())
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Initiator => "initiator",
        Role::Responder => "responder",
    }
}

/// Noise section 12: ChaChaPoly takes the counter little-endian, AESGCM big-endian.
fn nonce(algorithm: Algorithm, counter: u64) -> [u8; 12] {
    let counter = match algorithm {
        Algorithm::Aes256Gcm => counter.to_be_bytes(),
        Algorithm::ChaCha20Poly1305 => counter.to_le_bytes(),
    };
    let mut nonce = [0; 12];
    if let Some(end) = nonce.last_chunk_mut() {
        *end = counter;
    }
    nonce
}

fn seal(key: &AeadKey, nonce: &[u8; 12], message: &[u8]) -> Outcome<Vec<u8>> {
    let mut sealed = message.to_vec();
    let tag = key.seal_detached(nonce, &[], &mut sealed)?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

fn open(key: &AeadKey, nonce: &[u8; 12], sealed: &[u8]) -> Outcome<Vec<u8>> {
    let (message, tag) = sealed.split_last_chunk().ok_or("a message without a tag")?;
    let mut message = message.to_vec();
    key.open_detached(nonce, &[], &mut message, tag)?;
    Ok(message)
}

/// A key store whose static key is `secret`; its other keys are not used here.
fn store(secret: &[u8]) -> Outcome<MemoryKeyStore> {
    let mut seeds = vec![1, 0, 1];
    seeds.extend_from_slice(&[1; 32]);
    seeds.extend_from_slice(&1u32.to_be_bytes());
    seeds.extend_from_slice(secret);
    seeds.extend_from_slice(&[2; 96]);
    Ok(MemoryKeyStore::from_seeds(&KeySeeds::from_bytes(&seeds)?)?)
}

fn fill_random(out: &mut [u8]) -> std::io::Result<()> {
    std::fs::File::open("/dev/urandom")?.read_exact(out)
}

fn unhex(text: &str) -> Outcome<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err("not hex".into());
    }
    let pairs = text.as_bytes().chunks(2).map(|pair| Ok(std::str::from_utf8(pair)?));
    pairs.map(|pair: Outcome<&str>| Ok(u8::from_str_radix(pair?, 16)?)).collect()
}

fn send(frame: &[u8]) -> Outcome<()> {
    let mut out = stdout().lock();
    out.write_all(&u16::try_from(frame.len())?.to_be_bytes())?;
    out.write_all(frame)?;
    Ok(out.flush()?)
}

fn receive() -> Outcome<Vec<u8>> {
    let mut len = [0; 2];
    let mut input = stdin().lock();
    input.read_exact(&mut len)?;
    let mut frame = vec![0; usize::from(u16::from_be_bytes(len))];
    input.read_exact(&mut frame)?;
    Ok(frame)
}
