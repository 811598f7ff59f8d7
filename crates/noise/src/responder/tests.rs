use sealwire_core::secret::Secret;

use super::*;
use crate::record::{CloseReason, Sealer};

fn key(fill: u8) -> Secret<32> {
    Secret::init_with(|key| key.fill(fill))
}

/// An initiator's sending half, and the responder that waits for its confirmation.
fn waiting() -> (Sealer, IkReplied) {
    let suite = Suite::AesGcm;
    let sealer = Sealer::new(suite, key(1)).expect("a key");
    let session =
        Session::new(suite, Role::Responder, [key(1), key(2)], [0; 32]).expect("two keys");
    (sealer, IkReplied { session })
}

// HS-11
#[test]
fn only_an_empty_data_record_confirms() {
    // attack T9
    type Seal = fn(&mut Sealer, &mut Vec<u8>) -> Result<(), Error>;
    let cases: [(&str, bool, Seal); 4] = [
        ("empty data", true, |sealer, out| sealer.seal_data(b"", out)),
        ("early data", false, |sealer, out| sealer.seal_data(b"early", out)),
        ("padding", false, |sealer, out| sealer.seal_pad(0, out)),
        ("a close", false, |sealer, out| sealer.seal_close(CloseReason::Done, out)),
    ];
    for (name, confirms, seal) in cases {
        let (mut sealer, replied) = waiting();
        let mut record = Vec::new();
        seal(&mut sealer, &mut record).expect("open");
        let confirmed = replied.confirm(&mut record[2..]).map(|_| ());
        assert_eq!(confirmed, if confirms { Ok(()) } else { Err(Error::Record) }, "{name}");
    }
}

// HS-11
#[test]
fn the_second_record_does_not_confirm() {
    // attack T9
    let (mut sealer, replied) = waiting();
    let mut record = Vec::new();
    sealer.seal_data(b"", &mut record).expect("open");
    record.clear();
    sealer.seal_data(b"", &mut record).expect("open");
    assert_eq!(replied.confirm(&mut record[2..]).map(|_| ()), Err(Error::Record));
}
