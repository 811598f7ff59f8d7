//! X-Wing with a key that is expanded once.

use sealwire::{
    custody::system_rng,
    hybrid::{Recipient, XWingCiphertext, XWingPublic, XWingSecret},
};
use sealwire_bench::{Failure, Request, rate};

pub(crate) fn measure(request: &Request) -> Result<f64, Failure> {
    let mut rng = system_rng();
    let secret = XWingSecret::generate(&mut rng)?;
    let public = XWingPublic::from_bytes(&secret.public().to_bytes())?;
    match request.name.as_str() {
        "encapsulate" => rate(request.time, || {
            let (ciphertext, shared) = public.encapsulate(&mut rng)?;
            Ok((ciphertext.to_bytes(), shared))
        }),
        "decapsulate" => {
            let (ciphertext, _) = public.encapsulate(&mut rng)?;
            let bytes = ciphertext.to_bytes();
            rate(request.time, || Ok(secret.decapsulate(&XWingCiphertext::from_bytes(&bytes)?)?))
        }
        _ => Err(request.unknown()),
    }
}
