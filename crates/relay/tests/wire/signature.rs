use httpsig::prelude::{
    AlgorithmName, HttpSignatureBase, HttpSignatureHeaders, HttpSignatureParams, PublicKey,
    SecretKey, message_component::HttpMessageComponent,
};
use proptest::{option, prelude::*};
use sealwire_core::{Error, Timestamp, keys::SigningKey, secret::Secret};
use sealwire_identity::AgentId;
use sealwire_relay::{
    Nonce, Problem, limits,
    signature::{self, RequestParts, SignatureHeaders, SignedHeaders, Signer},
};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&Secret::init_with(|seed| seed.fill(byte)))
}

fn agent(byte: u8) -> Signer {
    Signer::Identity(AgentId::from_key(key(byte).public()))
}

fn mailbox(byte: u8) -> Signer {
    Signer::Mailbox(key(byte).public().clone())
}

const REQUEST: RequestParts<'static> = RequestParts {
    method: "POST",
    authority: "relay.example:8443",
    path: "/v1/mailboxes/BwcHBwcHBwcHBwcHBwcHBw/acks",
    query: None,
    body: &[0x81, 0x81, 0x01],
};

fn sign(request: &RequestParts<'_>, by: u8, signer: &Signer) -> SignedHeaders {
    let nonce = Nonce::from_bytes([1; 16]);
    signature::sign(request, NOW, &nonce, &signer.key_id(), |base| Ok(key(by).sign(base)))
        .expect("a plain request")
}

fn verify(request: &RequestParts<'_>, signed: &SignedHeaders) -> Result<Signer, Problem> {
    let headers = SignatureHeaders::collect(signed.fields())?;
    let verified = signature::verify(request, &headers, NOW)?;
    assert_eq!(verified.key_id, verified.signer.key_id());
    assert_eq!((verified.nonce, verified.created), (Nonce::from_bytes([1; 16]), NOW));
    Ok(verified.signer)
}

/// Computed apart from this crate, with the Ed25519 of Python's `cryptography`.
// REL-9, REL-10
#[test]
fn headers_stand_as_the_specification_has_them() {
    let signed = sign(&REQUEST, 7, &mailbox(7));
    assert_eq!(
        signed.signature_input,
        "sig1=(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\")\
         ;created=1800000000;nonce=\"AQEBAQEBAQEBAQEBAQEBAQ\"\
         ;keyid=\"6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw\";tag=\"sealwire-relay-v1\""
    );
    assert_eq!(signed.content_digest, "sha-256=:resq9Q48YUFYPdeEpE++ue29DZx6XpOWacUQ4bmUs84=:");
    assert_eq!(
        signed.signature,
        "sig1=:u+fjdtiP93TygKJqnDNOH5o55DCy8LexbNVLDBCva7J3TCOBk/5it15eHnC6qmGFzY6i5lhe1w+or5NZSslbBA==:"
    );
    assert_eq!(verify(&REQUEST, &signed), Ok(mailbox(7)));
    let signed = sign(&REQUEST, 8, &agent(8));
    let keyid = format!(";keyid=\"{}\";", agent(8).key_id());
    assert!(agent(8).key_id().starts_with("did:key:z6Mk"));
    assert!(signed.signature_input.contains(&keyid));
    assert_eq!(verify(&REQUEST, &signed), Ok(agent(8)));
}

// REL-9
#[test]
fn a_request_that_differs_in_anything_that_is_signed_is_refused() {
    let signed = sign(&REQUEST, 7, &agent(7));
    assert_eq!(
        verify(&RequestParts { authority: "Relay.EXAMPLE:8443", ..REQUEST }, &signed),
        Ok(agent(7))
    );
    for (name, request) in [
        ("another method", RequestParts { method: "PUT", ..REQUEST }),
        ("small letters", RequestParts { method: "post", ..REQUEST }),
        ("another relay", RequestParts { authority: "other.example:8443", ..REQUEST }),
        ("no port", RequestParts { authority: "relay.example", ..REQUEST }),
        (
            "another path",
            RequestParts { path: "/v1/mailboxes/BwcHBwcHBwcHBwcHBwcHBw/tokens", ..REQUEST },
        ),
        (
            "an empty query",
            RequestParts { path: "/v1/mailboxes/BwcHBwcHBwcHBwcHBwcHBw/acks?", ..REQUEST },
        ),
        ("a query", RequestParts { query: Some("a=b"), ..REQUEST }),
        ("another body", RequestParts { body: &[0x81, 0x81, 0x02], ..REQUEST }),
        ("no body", RequestParts { body: &[], ..REQUEST }),
        ("a line in the path", RequestParts { path: "/\n\"@query\": ?", ..REQUEST }),
        ("a space in the path", RequestParts { path: "/v1 ", ..REQUEST }),
        ("a line in the authority", RequestParts { authority: "a\r\nb", ..REQUEST }),
        ("a path that is not ASCII", RequestParts { path: "/v1/é", ..REQUEST }),
    ] {
        assert_eq!(verify(&request, &signed), Err(Problem::Signature), "{name}");
    }
    // RFC 9421, section 2.2.7: an empty query and none are the same, and so is what they name.
    assert!(verify(&RequestParts { query: Some(""), ..REQUEST }, &signed).is_ok());
}

/// The honest headers with another `signature-input`, signed anew for it by an honest key: what
/// is refused is the profile, not the signature.
fn signed_as(parameters: &str, key: &SigningKey) -> SignedHeaders {
    let SignedHeaders { content_digest, .. } = sign(&REQUEST, 7, &agent(7));
    let base = format!(
        "\"@method\": POST\n\"@authority\": relay.example:8443\n\
         \"@path\": /v1/mailboxes/BwcHBwcHBwcHBwcHBwcHBw/acks\n\"@query\": ?\n\
         \"content-digest\": {content_digest}\n\"@signature-params\": {parameters}"
    );
    let base = sealwire_core::label::Context::http_signature_base(&base).expect("a base");
    let signature = base64(key.sign(&base).as_bytes());
    SignedHeaders {
        content_digest,
        signature_input: format!("sig1={parameters}"),
        signature: format!("sig1=:{signature}:"),
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(bytes)
}

fn parameters() -> String {
    let SignedHeaders { signature_input, .. } = sign(&REQUEST, 7, &agent(7));
    signature_input.strip_prefix("sig1=").expect("the label").to_owned()
}

// REL-9
// attack T32: signatures that are good, of another profile.
#[test]
fn a_signature_of_another_profile_is_refused() {
    let honest = parameters();
    assert_eq!(verify(&REQUEST, &signed_as(&honest, &key(7))), Ok(agent(7)), "the control");
    let replaced = |from: &str, to: &str| {
        assert!(honest.contains(from), "{from}");
        honest.replace(from, to)
    };
    let did = agent(7).key_id();
    let nonce = "AQEBAQEBAQEBAQEBAQEBAQ";
    for (name, parameters) in [
        ("another tag", replaced("relay-v1", "relay-v2")),
        ("a longer tag", replaced("relay-v1\"", "relay-v1x\"")),
        ("no tag", replaced(";tag=\"sealwire-relay-v1\"", "")),
        ("the tag twice", format!("{honest};tag=\"sealwire-relay-v1\"")),
        ("an algorithm", replaced(";tag", ";alg=\"ed25519\";tag")),
        ("an algorithm behind", format!("{honest};alg=\"ed25519\"")),
        ("an end", replaced(";nonce", ";expires=1900000000;nonce")),
        ("no time", replaced(";created=1800000000", "")),
        ("a time as a text", replaced("=1800000000", "=\"1800000000\"")),
        ("a time with zeros", replaced("=1800000000", "=01800000000")),
        ("a time with a sign", replaced("=1800000000", "=+1800000000")),
        ("a negative time", replaced("=1800000000", "=-1")),
        ("a time of 16 digits", replaced("=1800000000", "=1000000000000000")),
        ("a time beyond 64 bits", replaced("=1800000000", "=18446744073709551616")),
        ("a broken time", replaced("=1800000000", "=1800000000.0")),
        ("the nonce first", replaced(";created=1800000000;nonce", ";nonce")),
        ("no nonce", replaced(&format!(";nonce=\"{nonce}\""), "")),
        ("an empty nonce", replaced(nonce, "")),
        ("a short nonce", replaced(nonce, "AQEBAQEBAQEBAQEBAQEB")),
        ("a long nonce", replaced(nonce, "AQEBAQEBAQEBAQEBAQEBAQEB")),
        ("a padded nonce", replaced(nonce, "AQEBAQEBAQEBAQEBAQEBAQ==")),
        ("a nonce with loose bits", replaced(nonce, "AQEBAQEBAQEBAQEBAQEBAR")),
        ("no key id", replaced(&format!(";keyid=\"{did}\""), "")),
        ("an empty key id", replaced(&did, "")),
        ("a key in hex", replaced(&did, &hex::encode(key(7).public().as_bytes()))),
        ("a padded key", replaced(&did, &format!("{}=", mailbox(7).key_id()))),
        ("a DID with a fragment", replaced(&did, &format!("{did}#key"))),
        ("a DID that is not resolved", replaced(&did, "did:webvh:Qm:relay.example")),
        ("a long key id", replaced(&did, &"a".repeat(10_000))),
        ("a space between parameters", replaced(";nonce", "; nonce")),
        ("an escape in a text", replaced("z6Mk", "\\z6Mk")),
        ("two spaces between components", replaced("\"@method\" ", "\"@method\"  ")),
        ("a component less", replaced("\"@query\" ", "")),
        ("a component more", replaced("\"content-digest\"", "\"content-digest\" \"date\"")),
        ("a component twice", replaced("\"@query\"", "\"@query\" \"@query\"")),
        ("another order", replaced("\"@method\" \"@authority\"", "\"@authority\" \"@method\"")),
        ("a component of the answer", replaced("\"@path\"", "\"@status\"")),
        ("a component with a parameter", replaced("\"@path\"", "\"@path\";req")),
        (
            "no components",
            replaced("\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\"", ""),
        ),
        ("something behind", format!("{honest} ")),
        ("something before", format!(" {honest}")),
        ("a line behind", format!("{honest}\n")),
        ("a second signature", format!("{honest}, sig2={honest}")),
        ("a list of one", format!("{honest},")),
    ] {
        let answer = verify(&REQUEST, &signed_as(&parameters, &key(7)));
        assert_eq!(answer, Err(Problem::Signature), "{name}");
    }
}

// REL-9
#[test]
fn headers_that_are_missing_doubled_or_spelled_otherwise_are_refused() {
    let honest = sign(&REQUEST, 7, &agent(7));
    let fields = honest.fields();
    for missing in 0..3 {
        let without = fields.into_iter().enumerate().filter(|(at, _)| *at != missing);
        let headers = SignatureHeaders::collect(without.map(|(_, field)| field));
        assert_eq!(headers.err(), Some(Problem::Signature), "{}", fields[missing].0);
        let (name, value) = fields[missing];
        let capitals = name.to_ascii_uppercase();
        let again = (capitals.as_str(), value);
        let headers = SignatureHeaders::collect(fields.into_iter().chain([again]));
        assert_eq!(headers.err(), Some(Problem::Signature), "{name} twice");
        let bytes = (name, &[0xFF_u8][..]);
        let others = fields.into_iter().filter(|(other, _)| *other != name).chain([bytes]);
        let headers = SignatureHeaders::collect(others);
        assert_eq!(headers.err(), Some(Problem::Signature), "{name} in bytes");
    }
    let mut turned = fields;
    turned.reverse();
    let others = [("host", &b"relay.example"[..]), ("signature-key", &b"?"[..])];
    let headers = SignatureHeaders::collect(others.into_iter().chain(turned)).expect("all three");
    assert!(signature::verify(&REQUEST, &headers, NOW).is_ok(), "headers have no order");

    let text = honest.signature.strip_prefix("sig1=:").expect("the label");
    let text = text.strip_suffix("==:").expect("padding");
    let digest = honest.content_digest.as_str();
    let of = |signature: String| SignedHeaders { signature, ..honest.clone() };
    let with = |content_digest: String| SignedHeaders { content_digest, ..honest.clone() };
    let labelled = |label: &str| SignedHeaders {
        signature_input: honest.signature_input.replace("sig1", label),
        signature: honest.signature.replace("sig1", label),
        ..honest.clone()
    };
    let loose = {
        let (start, last) = text.split_at(text.len() - 1);
        let other = if last == "A" { "B" } else { "h" };
        format!("sig1=:{start}{other}==:")
    };
    for (name, signed) in [
        ("another label", labelled("sig2")),
        ("a label in capitals", labelled("SIG1")),
        ("another label of the signature alone", of(honest.signature.replace("sig1", "sig"))),
        ("no signature", of(String::new())),
        ("an empty signature", of("sig1=::".into())),
        ("no colons", of(format!("sig1={text}=="))),
        ("no padding", of(format!("sig1=:{text}:"))),
        ("half the padding", of(format!("sig1=:{text}=:"))),
        ("loose bits", of(loose)),
        ("a short signature", of(format!("sig1=:{}:", base64(&[1; 63])))),
        ("a long signature", of(format!("sig1=:{}:", base64(&[1; 65])))),
        ("a very long signature", of(format!("sig1=:{}:", "A".repeat(100_000)))),
        ("two signatures", of(format!("{0}, {0}", honest.signature))),
        ("a parameter of the signature", of(format!("{};a=b", honest.signature))),
        ("a space behind", of(format!("{} ", honest.signature))),
        ("no digest", with(String::new())),
        ("a digest of something else", with(digest.replace("sha-256=:", "sha-256=:A"))),
        ("another algorithm", with(digest.replace("sha-256", "sha-512"))),
        ("a digest in capitals", with(digest.replace("sha", "SHA"))),
        ("two digests", with(format!("{digest}, sha-512=:AA==:"))),
        ("a digest without padding", with(digest.replace("=:", ":"))),
        ("a space behind the digest", with(format!("{digest} "))),
    ] {
        assert_eq!(verify(&REQUEST, &signed), Err(Problem::Signature), "{name}");
    }
}

// REL-11
#[test]
fn a_signature_is_good_for_a_minute_either_way() {
    let headers = sign(&REQUEST, 7, &agent(7));
    let headers = SignatureHeaders::collect(headers.fields()).expect("all three");
    let window = limits::SIGNATURE_WINDOW;
    let early = Timestamp::from_secs(NOW.as_secs() - window);
    for (now, good) in [
        (NOW, true),
        (NOW.plus(window), true),
        (early, true),
        (NOW.plus(window + 1), false),
        (Timestamp::from_secs(early.as_secs() - 1), false),
        (Timestamp::from_secs(0), false),
        (Timestamp::from_secs(u64::MAX), false),
    ] {
        let answer = signature::verify(&REQUEST, &headers, now).map(drop);
        assert_eq!(answer, if good { Ok(()) } else { Err(Problem::Stale) }, "{now:?}");
    }
    for created in [0_u64, 999_999_999_999_999] {
        let parameters = parameters().replace("1800000000", &created.to_string());
        assert_eq!(verify(&REQUEST, &signed_as(&parameters, &key(7))), Err(Problem::Stale));
    }
}

// attack T13: a signature with S + L, and keys of small order, which verify much.
#[test]
fn malleated_signatures_and_weak_keys_are_refused() {
    const L: [u8; 32] = [
        0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let honest = sign(&REQUEST, 7, &mailbox(7));
    let text = honest.signature.strip_prefix("sig1=:").and_then(|text| text.strip_suffix(':'));
    let mut bytes = {
        use base64ct::{Base64, Encoding};
        Base64::decode_vec(text.expect("a signature")).expect("base64")
    };
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0, "S + L fits");
    let malleated =
        SignedHeaders { signature: format!("sig1=:{}:", base64(&bytes)), ..honest.clone() };
    assert_eq!(verify(&REQUEST, &malleated), Err(Problem::Signature));
    assert!(verify(&REQUEST, &honest).is_ok(), "the control");

    // The neutral element, the point of order 2, one of order 4, and p + 1, which is 1 again.
    for weak in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        use base64ct::{Base64UrlUnpadded, Encoding};
        let key_id = Base64UrlUnpadded::encode_string(&hex::decode(weak).expect("hex"));
        let nonce = Nonce::from_bytes([1; 16]);
        let signed = signature::sign(&REQUEST, NOW, &nonce, &key_id, |base| Ok(key(7).sign(base)));
        assert!(matches!(signed, Err(Error::Misuse(_))), "{weak}");
        let parameters = parameters().replace(&agent(7).key_id(), &key_id);
        // R is the neutral element and S is 0: good under a weak key where nobody looks.
        let mut all = [0; 64];
        all[0] = 1;
        let forged = SignedHeaders {
            signature_input: format!("sig1={parameters}"),
            signature: format!("sig1=:{}:", base64(&all)),
            ..honest.clone()
        };
        assert_eq!(verify(&REQUEST, &forged), Err(Problem::Signature), "{weak}");
    }
}

#[test]
fn a_signature_by_another_key_than_it_names_is_refused() {
    for (by, signer) in [(7, agent(8)), (7, mailbox(8)), (8, agent(7))] {
        assert_eq!(verify(&REQUEST, &sign(&REQUEST, by, &signer)), Err(Problem::Signature));
    }
    // The key of an agent, named as one of a mailbox, is one: what it may do, its id decides.
    assert_eq!(verify(&REQUEST, &sign(&REQUEST, 7, &mailbox(7))), Ok(mailbox(7)));
}

#[test]
fn what_cannot_be_signed_is_misuse() {
    let nonce = Nonce::from_bytes([1; 16]);
    let misused = |request: &RequestParts<'_>, created, key_id: &str| {
        let signed =
            signature::sign(request, created, &nonce, key_id, |base| Ok(key(7).sign(base)));
        assert!(matches!(signed, Err(Error::Misuse(_))), "{key_id}");
    };
    let did = agent(7).key_id();
    misused(&RequestParts { path: "/a\nb", ..REQUEST }, NOW, &did);
    misused(&RequestParts { query: Some("é"), ..REQUEST }, NOW, &did);
    misused(&REQUEST, Timestamp::from_secs(1_000_000_000_000_000), &did);
    misused(&REQUEST, NOW, "");
    misused(&REQUEST, NOW, "did:key:z6Mk\";tag=\"other");
    let nonce = Nonce::from_bytes([1; 16]);
    let failed = signature::sign(&REQUEST, NOW, &nonce, &did, |_| Err(Error::Randomness));
    assert_eq!(failed.err(), Some(Error::Randomness), "of the key store");
}

/// The lines of the signature base, which the other implementation builds for itself.
fn lines(request: &RequestParts<'_>, digest: &str) -> Vec<HttpMessageComponent> {
    let query = format!("?{}", request.query.unwrap_or_default());
    [
        format!("\"@method\": {}", request.method),
        format!("\"@authority\": {}", request.authority),
        format!("\"@path\": {}", request.path),
        format!("\"@query\": {query}"),
        format!("\"content-digest\": {digest}"),
    ]
    .iter()
    .map(|line| HttpMessageComponent::try_from(line.as_str()).expect("a component"))
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // Crate `httpsig` reads what we sign, and we read what it signs.
    #[test]
    fn another_implementation_of_rfc_9421_agrees(
        seed: [u8; 32],
        (of_agent, nonce) in any::<(bool, [u8; 16])>(),
        path in "(/[A-Za-z0-9:._~-]{1,30}){1,4}",
        query in option::of("[a-z]{1,5}=[0-9]{1,5}(&[a-z]{1,5}=[0-9]{1,5}){0,2}"),
        body: Vec<u8>,
    ) {
        let key = SigningKey::from_seed(&Secret::init_with(|out| *out = seed));
        let signer = if of_agent {
            Signer::Identity(AgentId::from_key(key.public()))
        } else {
            Signer::Mailbox(key.public().clone())
        };
        let request = RequestParts {
            method: "PUT",
            authority: "relay.example",
            path: &path,
            query: query.as_deref(),
            body: &body,
        };
        let nonce = Nonce::from_bytes(nonce);
        let signed = signature::sign(&request, NOW, &nonce, &signer.key_id(), |base| {
            Ok(key.sign(base))
        })
        .expect("a plain request");

        let theirs =
            HttpSignatureHeaders::try_parse(&signed.signature, &signed.signature_input)
                .expect("structured fields");
        prop_assert_eq!(theirs.len(), 1);
        let theirs = &theirs["sig1"];
        let components = lines(&request, &signed.content_digest);
        let base = HttpSignatureBase::try_new(&components, theirs.signature_params())
            .expect("the same components");
        let public = PublicKey::from_bytes(&AlgorithmName::Ed25519, key.public().as_bytes())
            .expect("a key");
        prop_assert!(base.verify_signature_headers(&public, theirs).is_ok());

        let parameters = signed.signature_input.strip_prefix("sig1=").expect("the label");
        let parameters = HttpSignatureParams::try_from(parameters).expect("parameters");
        let secret = [&seed[..], key.public().as_bytes()].concat();
        let secret = SecretKey::from_bytes(&AlgorithmName::Ed25519, &secret[..32]).expect("a key");
        let theirs = HttpSignatureBase::try_new(&components, &parameters)
            .expect("the same components")
            .build_signature_headers(&secret, Some("sig1"))
            .expect("a signature");
        let theirs = SignedHeaders {
            content_digest: signed.content_digest.clone(),
            signature_input: theirs.signature_input_header_value(),
            signature: theirs.signature_header_value(),
        };
        prop_assert_eq!(&theirs.signature_input, &signed.signature_input);
        prop_assert_ne!(&theirs.signature, &signed.signature, "theirs is made with noise");
        let headers = SignatureHeaders::collect(theirs.fields()).expect("all three");
        let verified = signature::verify(&request, &headers, NOW).expect("their signature");
        prop_assert_eq!((verified.signer, verified.nonce), (signer, nonce));
    }
}
