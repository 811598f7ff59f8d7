use sealwire_testkit::vectors::{json, passed};

use super::*;

fn text(value: &serde_json::Value) -> &str {
    value.as_str().expect("a text")
}

// The examples of RFC 9421: sections 2.5, and B.2.6 with the key of B.1.4.
#[test]
fn rfc_9421_signature_bases_and_ed25519() {
    let cases = json(include_str!("../../tests/vectors/rfc9421.json"));
    let mut verified = 0;
    for case in cases.as_array().expect("a list") {
        let components: Vec<(&str, &str)> = case["components"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|pair| (text(&pair[0]), text(&pair[1])))
            .collect();
        let base = signature_base(&components, text(&case["parameters"]));
        assert_eq!(base, text(&case["base"]), "{}", case["name"]);
        if case["signature"].is_null() {
            continue;
        }
        let Some(Signer::Mailbox(key)) = Signer::parse(text(&case["public_key"])) else {
            panic!("a key in base64url");
        };
        let signature = read_signature(&format!("sig1=:{}:", text(&case["signature"])));
        let signature = signature.expect("64 bytes");
        key.verify_bytes(base.as_bytes(), &signature).expect("the signature of the example");
        let other = base.replace("POST", "PUT");
        assert!(key.verify_bytes(other.as_bytes(), &signature).is_err());
        verified += 1;
    }
    assert_eq!(verified, 1);
    passed("rfc9421 signature bases", 2);
}

// RFC 9530, appendix B, and RFC 9421, appendix B.2, where the same body has no line feed.
#[test]
fn rfc_9530_content_digests() {
    for (body, value) in [
        ("{\"hello\": \"world\"}\n", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"),
        ("{\"hello\": \"world\"}", "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
        ("", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
    ] {
        assert_eq!(digest(body.as_bytes()), value, "{body}");
    }
}

#[test]
fn the_header_begins_with_the_components_that_are_signed() {
    let listed = COMPONENTS.map(|name| format!("\"{name}\"")).join(" ");
    assert_eq!(INPUT_START, format!("sig1=({listed});created="));
    let longest = input(
        Timestamp::from_secs(MAX_INTEGER),
        &Nonce::from_bytes([255; 16]),
        &"x".repeat(AgentId::MAX_LEN),
    );
    assert!(longest.len() <= MAX_INPUT_LEN);
}
