//! The figures of crate `x-wing`, asked for by `cargo xtask bench`. It stands here and not
//! among the peers, whose ml-kem is one generation older than the one it needs.
#![forbid(unsafe_code)]

use sealwire_bench::{Failure, Request, rate};
use x_wing::{Decapsulate, Encapsulate, EncapsulationKey, Kem, KeyExport, TryKeyInit, XWingKem};

#[expect(clippy::disallowed_types, reason = "the same source of randomness as ours")]
use getrandom::SysRng;

fn main() -> Result<(), Failure> {
    let request = Request::from_args()?;
    let mut rng = getrandom::rand_core::UnwrapErr(SysRng);
    let (secret, public) = XWingKem::generate_keypair_from_rng(&mut rng);
    let public = EncapsulationKey::new(&public.to_bytes()).map_err(|_| "its own key")?;
    let (ciphertext, _) = public.encapsulate_with_rng(&mut rng);
    let figure = match request.key() {
        ("xwing", "encapsulate", "x-wing") => {
            rate(request.time, || Ok(public.encapsulate_with_rng(&mut rng)))
        }
        ("xwing", "decapsulate", "x-wing") => {
            rate(request.time, || Ok(secret.decapsulate(&ciphertext)))
        }
        _ => Err(request.unknown()),
    }?;
    request.answer(figure);
    Ok(())
}
