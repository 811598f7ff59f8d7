//! The combiner of X-Wing (draft-connolly-cfrg-xwing-kem): one secret out of two.
//!
//! ```text
//! ss = SHA3-256( ss_M || ss_X || ct_X || pk_X || label )      section 5.3
//!                 32      32      32      32      6
//! ```
//!
//! Every input has a fixed length, so the concatenation is unambiguous. ct_M is left out on
//! purpose: ML-KEM-768 binds it already (draft section 6).

use sealwire_core::{
    kem::SharedSecret,
    keys::{EphemeralPublic, StaticPublic},
    secret::Secret,
    wipe,
};
use sha3::{Digest, Sha3_256};

/// `\.//^\`, an X-wing from above: 5c2e2f2f5e5c.
const LABEL: [u8; 6] = *br"\.//^\";

/// The shared secret of X-Wing. It is as strong as the stronger of `ss_m` and `ss_x`.
pub(crate) fn combine(
    ss_m: &SharedSecret,
    ss_x: &SharedSecret,
    ct_x: &EphemeralPublic,
    pk_x: &StaticPublic,
) -> SharedSecret {
    // sha3 wipes the state it owns; what the permutation left on the stack is wiped here.
    SharedSecret::new(Secret::init_with(|out| {
        wipe::stack(|| {
            let mut hash = Sha3_256::new();
            hash.update(ss_m.expose());
            hash.update(ss_x.expose());
            hash.update(ct_x.as_bytes());
            hash.update(pk_x.as_bytes());
            hash.update(LABEL);
            hash.finalize_into(out.into());
        });
    }))
}

#[cfg(test)]
mod tests {
    use sealwire_core::keys::{EphemeralSecret, StaticSecret};

    use super::*;

    fn secret(byte: u8) -> SharedSecret {
        SharedSecret::new(Secret::init_with(|out| out.fill(byte)))
    }

    fn ct_x(byte: u8) -> EphemeralPublic {
        *EphemeralSecret::from_seed(&Secret::init_with(|out| out.fill(byte))).unwrap().public()
    }

    fn pk_x(byte: u8) -> StaticPublic {
        *StaticSecret::from_seed(&Secret::init_with(|out| out.fill(byte))).unwrap().public()
    }

    #[test]
    fn label_is_the_one_of_the_draft() {
        assert_eq!(LABEL, [0x5C, 0x2E, 0x2F, 0x2F, 0x5E, 0x5C]);
    }

    #[test]
    fn every_input_counts_and_their_order_too() {
        let all = [
            combine(&secret(1), &secret(2), &ct_x(3), &pk_x(4)),
            combine(&secret(9), &secret(2), &ct_x(3), &pk_x(4)),
            combine(&secret(1), &secret(9), &ct_x(3), &pk_x(4)),
            combine(&secret(1), &secret(2), &ct_x(9), &pk_x(4)),
            combine(&secret(1), &secret(2), &ct_x(3), &pk_x(9)),
            combine(&secret(2), &secret(1), &ct_x(3), &pk_x(4)),
            combine(&secret(1), &secret(2), &ct_x(4), &pk_x(3)),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
    }
}
