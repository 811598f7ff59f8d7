//! Sealing and opening: raw AES-256-GCM of aws-lc, and snow's transport.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sealwire_bench::{Failure, KIB, Request, rate};
use snow::{Builder, TransportState};

/// The most that one record of ours carries; snow gets its messages cut the same way.
const RECORD: usize = 16 * KIB;

pub fn measure(request: &Request) -> Result<f64, Failure> {
    let size = match request.name.as_str() {
        "seal+open 1KiB" => KIB,
        "seal+open 16KiB" => 16 * KIB,
        "seal+open 64KiB" => 64 * KIB,
        _ => return Err(request.unknown()),
    };
    let rate = match request.peer.as_str() {
        "aws-lc" => aws_lc(request, size),
        "snow" => snow(request, size),
        _ => Err(request.unknown()),
    }?;
    Ok(rate * size as f64)
}

/// In place: nothing is copied, so this is the most that the cipher can give.
fn aws_lc(request: &Request, size: usize) -> Result<f64, Failure> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32])?);
    let mut message = vec![0xA5; size];
    let mut counter = 0_u64;
    rate(request.time, || {
        counter += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        let length = (size as u16).to_be_bytes();
        let seal = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(seal, Aad::from(length), &mut message)?;
        let open = Nonce::assume_unique_for_key(nonce);
        key.open_in_place_separate_tag(open, Aad::from(length), tag.as_ref(), &mut message)?;
        Ok(message.len())
    })
}

fn snow(request: &Request, size: usize) -> Result<f64, Failure> {
    let (mut sender, mut receiver) = transports()?;
    let plaintext = vec![0xA5; size];
    let (mut sealed, mut opened) = (vec![0; RECORD + 16], vec![0; RECORD + 16]);
    rate(request.time, || {
        for piece in plaintext.chunks(RECORD) {
            let len = sender.write_message(piece, &mut sealed)?;
            receiver.read_message(&sealed[..len], &mut opened)?;
        }
        Ok(opened.len())
    })
}

fn transports() -> Result<(TransportState, TransportState), Failure> {
    let name = "Noise_NN_25519_AESGCM_SHA256";
    let mut initiator = Builder::new(name.parse()?).build_initiator()?;
    let mut responder = Builder::new(name.parse()?).build_responder()?;
    let (mut message, mut payload) = ([0; 256], [0; 256]);
    let len = initiator.write_message(&[], &mut message)?;
    responder.read_message(&message[..len], &mut payload)?;
    let len = responder.write_message(&[], &mut message)?;
    initiator.read_message(&message[..len], &mut payload)?;
    Ok((initiator.into_transport_mode()?, responder.into_transport_mode()?))
}
