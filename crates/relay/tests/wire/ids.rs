use proptest::prelude::*;
use sealwire_core::{kdf, keys::SigningKey, secret::Secret};
use sealwire_relay::{Caller, MessageId, Nonce, ReceiveId, SendId, Token};
use sealwire_testkit::leak::shows;

proptest! {
    #[test]
    fn ids_are_read_from_the_text_that_they_have(bytes: [u8; 16]) {
        let text = MessageId::from_bytes(bytes).to_string();
        prop_assert_eq!(text.len(), 22);
        prop_assert_eq!(MessageId::parse(&text), Ok(MessageId::from_bytes(bytes)));
        prop_assert_eq!(ReceiveId::parse(&text).map(|id| *id.as_bytes()), Ok(bytes));
        prop_assert_eq!(SendId::parse(&text).map(|id| id.to_string()), Ok(text.clone()));
        prop_assert_eq!(Token::parse(&text).map(|id| *id.as_bytes()), Ok(bytes));
        prop_assert_eq!(Nonce::parse(&text).map(|id| *id.as_bytes()), Ok(bytes));
    }

    // attack T32
    #[test]
    fn another_text_is_no_id(text in "[A-Za-z0-9_=+/-]{20,24}") {
        if let Ok(id) = Token::parse(&text) {
            prop_assert_eq!(id.to_string(), text);
        }
    }
}

#[test]
fn an_id_that_is_none_is_refused_by_name() {
    for text in
        ["", "AA", "BwcHBwcHBwcHBwcHBwcHBx", "BwcHBwcHBwcHBwcHBwcHBw==", &"A".repeat(100_000)]
    {
        let error = MessageId::parse(text).expect_err("no id");
        assert_eq!(error.what(), "message id");
        assert_eq!(SendId::parse(text).expect_err("no id").what(), "mailbox id");
    }
}

// REL-12
#[test]
fn a_mailbox_is_named_by_its_key() {
    let key = SigningKey::from_seed(&Secret::init_with(|seed| seed.fill(7)));
    let hash = kdf::sha256(&[key.public().as_bytes()]);
    assert_eq!(ReceiveId::of(key.public()).as_bytes()[..], hash[..16]);
    // Computed apart from this crate, with the Ed25519 of Python's `cryptography`.
    assert_eq!(ReceiveId::of(key.public()).to_string(), "_oEsEvOrTOasXbaaw1L5Bg");
    let caller = Caller::of("did:key:z6Mk");
    assert_eq!(caller.as_bytes(), &kdf::sha256(&[b"did:key:z6Mk"]));
    assert_ne!(caller, Caller::of("did:key:z6Ml"));
}

// attack T34
#[test]
fn no_id_shows_itself_in_a_log() {
    let bytes = [0xA7; 16];
    let shown = [
        format!("{:?}", ReceiveId::from_bytes(bytes)),
        format!("{:?}", SendId::from_bytes(bytes)),
        format!("{:?}", MessageId::from_bytes(bytes)),
        format!("{:?}", Token::from_bytes(bytes)),
        format!("{:?}", Nonce::from_bytes(bytes)),
    ];
    for shown in shown {
        assert!(!shows(&shown, &bytes), "{shown}");
    }
    let caller = Caller::of("did:key:z6Mk");
    assert!(!shows(&format!("{caller:?}"), caller.as_bytes()));
    // The control: text and bytes do.
    assert!(shows(&format!("{:?}", caller.as_bytes()), caller.as_bytes()));
}
