//! Whether a text gives away secret bytes.

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};

/// So many bytes in a row, in any spelling, are a leak and not chance.
const RUN: usize = 6;

/// Whether `text` shows six bytes of `secret` in a row: in hex, in base64 of either
/// alphabet, as escaped bytes, or as the list of numbers that a derived `Debug` prints.
///
/// A hex-only check passes while a `Vec<u8>` leaks, hence all of them.
///
/// ```
/// use sealwire_testkit::leak::shows;
/// let secret: Vec<u8> = (100..132).collect();
/// assert!(shows(&format!("{secret:?}"), &secret));
/// assert!(!shows("Secret<32>(..)", &secret));
/// ```
///
/// # Panics
/// When `secret` is shorter than a run: then the check would find nothing.
pub fn shows(text: &str, secret: &[u8]) -> bool {
    assert!(secret.len() >= RUN, "too short to tell from chance");
    let bare = bare(text);
    let lower = bare.to_lowercase();
    secret.windows(RUN).any(|run| {
        let numbers = [format!("{run:?}"), format!("{run:x?}"), format!("{run:#x?}")];
        numbers.iter().any(|list| lower.contains(&self::bare(list)))
            || lower.contains(&hex::encode(run))
            || bare.contains(&Base64Unpadded::encode_string(run))
            || bare.contains(&Base64UrlUnpadded::encode_string(run))
            || text.contains(&run.escape_ascii().to_string())
    })
}

/// Without white space and brackets, so that pretty-printing hides nothing, and without the
/// comma that pretty-printing adds after the last number.
fn bare(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !c.is_whitespace() && !"[]".contains(*c)).collect();
    kept.trim_end_matches(',').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Vec<u8> {
        (0..32_u8).map(|index| index.wrapping_mul(167).wrapping_add(73)).collect()
    }

    #[test]
    fn every_spelling_is_found() {
        let secret = secret();
        let base64 = Base64Unpadded::encode_string;
        for (name, text) in [
            ("list", format!("{secret:?}")),
            ("pretty list", format!("{secret:#?}")),
            ("hex list", format!("{secret:x?}")),
            ("pretty hex list", format!("{secret:#X?}")),
            ("hex", format!("key={}", hex::encode(&secret))),
            ("upper hex", hex::encode_upper(&secret)),
            ("a part of it", hex::encode(&secret[9..15])),
            ("base64", base64(&secret)),
            ("base64, shifted by one", base64(&[&[0], &secret[..]].concat())),
            ("base64, shifted by two", base64(&[&[0, 0], &secret[..]].concat())),
            ("base64url", Base64UrlUnpadded::encode_string(&secret)),
            ("escaped", secret.escape_ascii().to_string()),
        ] {
            assert!(shows(&text, &secret), "{name}: {text}");
        }
    }

    #[test]
    fn what_shows_nothing_is_not_found() {
        let secret = secret();
        let other: Vec<u8> = secret.iter().map(|byte| byte ^ 0x55).collect();
        for text in ["", "Secret<32>(..)", &hex::encode(&other), &format!("{other:?}")] {
            assert!(!shows(text, &secret), "{text}");
        }
    }
}
