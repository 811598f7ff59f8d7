//! Handshakes of snow (classical) and clatter (hybrid): keys only, no identities, no payload.

use clatter::{
    HybridHandshake, HybridHandshakeParams, KeyPair,
    crypto::{cipher::AesGcm, dh::X25519, hash::Sha256, kem::rust_crypto_ml_kem::MlKem768},
    handshakepattern::{HandshakePattern, noise_hybrid_ik, noise_hybrid_xx},
    traits::{Dh, Handshaker, Kem},
};
use sealwire_bench::{Failure, Request, rate};
use snow::{Builder, Keypair};

pub fn measure(request: &Request) -> Result<f64, Failure> {
    let known = request.name.starts_with("IK");
    match request.peer.as_str() {
        "snow" => snow(request, known),
        "clatter" => clatter(request, known),
        _ => Err(request.unknown()),
    }
}

fn snow(request: &Request, known: bool) -> Result<f64, Failure> {
    let name =
        if known { "Noise_IKpsk0_25519_AESGCM_SHA256" } else { "Noise_XX_25519_AESGCM_SHA256" };
    let alice = Builder::new(name.parse()?).generate_keypair()?;
    let bob = Builder::new(name.parse()?).generate_keypair()?;
    let side = |own: &Keypair, peer: Option<&Keypair>, initiator: bool| {
        let mut builder = Builder::new(name.parse()?).local_private_key(&own.private)?;
        if known {
            builder = builder.psk(0, &[7; 32])?;
        }
        if let Some(peer) = peer {
            builder = builder.remote_public_key(&peer.public)?;
        }
        if initiator { builder.build_initiator() } else { builder.build_responder() }
    };
    rate(request.time, || {
        let mut initiator = side(&alice, known.then_some(&bob), true)?;
        let mut responder = side(&bob, None, false)?;
        let (mut message, mut payload) = ([0; 512], [0; 512]);
        while !initiator.is_handshake_finished() {
            let (writer, reader) = if initiator.is_my_turn() {
                (&mut initiator, &mut responder)
            } else {
                (&mut responder, &mut initiator)
            };
            let len = writer.write_message(&[], &mut message)?;
            reader.read_message(&message[..len], &mut payload)?;
        }
        Ok((initiator.into_transport_mode()?, responder.into_transport_mode()?))
    })
}

type Hybrid = HybridHandshake<X25519, MlKem768, MlKem768, AesGcm, Sha256>;
type Params<'a> = HybridHandshakeParams<'a, X25519, MlKem768, MlKem768>;
type DhPair = KeyPair<<X25519 as Dh>::PubKey, <X25519 as Dh>::PrivateKey>;
type KemPair = KeyPair<<MlKem768 as Kem>::PubKey, <MlKem768 as Kem>::SecretKey>;

fn clatter(request: &Request, known: bool) -> Result<f64, Failure> {
    let pattern: fn() -> HandshakePattern = if known { noise_hybrid_ik } else { noise_hybrid_xx };
    let mut rng = clatter::crypto::rng::DefaultRng;
    let mut pair = || -> Result<(DhPair, KemPair), Failure> {
        let dh = X25519::genkey_rng(&mut rng).map_err(failed)?;
        Ok((dh, MlKem768::genkey_rng(&mut rng).map_err(failed)?))
    };
    let (alice, bob) = (pair()?, pair()?);
    let own = |pair: &(DhPair, KemPair), initiator| {
        let params = Params::new(pattern(), initiator);
        params.with_s(pair.0.clone()).with_s_kem(pair.1.clone())
    };
    rate(request.time, || {
        let mut params = own(&alice, true);
        if known {
            params = params.with_rs(bob.0.public.clone()).with_rs_kem(bob.1.public.clone());
        }
        let mut initiator = Hybrid::new(params).map_err(failed)?;
        let mut responder = Hybrid::new(own(&bob, false)).map_err(failed)?;
        let (mut message, mut payload) = ([0; 8192], [0; 8192]);
        let mut forth = true;
        while !(initiator.is_finished() && responder.is_finished()) {
            let (writer, reader) = if forth {
                (&mut initiator, &mut responder)
            } else {
                (&mut responder, &mut initiator)
            };
            let len = writer.write_message(&[], &mut message).map_err(failed)?;
            reader.read_message(&message[..len], &mut payload).map_err(failed)?;
            forth = !forth;
        }
        Ok((initiator.finalize().map_err(failed)?, responder.finalize().map_err(failed)?))
    })
}

fn failed(error: impl std::fmt::Debug) -> Failure {
    format!("{error:?}").into()
}
