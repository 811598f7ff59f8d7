//! The text form of a card.

use sealwire_core::{DecodeError, DecodeReason};
use sealwire_identity::{Error, IdentityCard};

use crate::common::{RawCard, judge, keys};

const BEGIN: &str = "-----BEGIN SEALWIRE CARD-----\n";
const END: &str = "-----END SEALWIRE CARD-----\n";

fn text() -> String {
    let keys = keys(1);
    judge(&RawCard::of(&keys).sign(&keys)).expect("sound").to_text()
}

// CARD-16
#[test]
fn the_text_has_lines_of_64_characters() {
    let text = text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], BEGIN.trim_end());
    assert_eq!(lines[lines.len() - 1], END.trim_end());
    let inner = &lines[1..lines.len() - 1];
    assert!(inner[..inner.len() - 1].iter().all(|line| line.len() == 64));
    assert!(text.ends_with(END));
}

// CARD-17
#[test]
fn white_space_around_it_and_crlf_are_tolerated() {
    let text = text();
    let card = IdentityCard::from_text(&text).expect("own text");
    for (name, text) in [
        ("white space", format!(" \t\r\n\n{text}\n \t")),
        ("no last line end", text.trim_end().to_owned()),
        ("CRLF", text.replace('\n', "\r\n")),
    ] {
        assert_eq!(IdentityCard::from_text(&text).expect(name), card, "{name}");
    }
}

// attack T32: text that is not exactly a card.
// CARD-17
#[test]
fn other_texts_are_refused() {
    let text = text();
    let inner = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).expect("armor");
    let joined = inner.replace('\n', "");
    // The last character before `=` carries unused bits: another character, the same bytes.
    let padded = joined.trim_end_matches('=');
    let padding = &joined[padded.len()..];
    for (name, text) in [
        ("empty", String::new()),
        ("only white space", " \n".into()),
        ("no begin", format!("{inner}{END}")),
        ("no end", format!("{BEGIN}{inner}")),
        ("begin alone", BEGIN.into()),
        ("lower case", text.to_lowercase()),
        ("another label", text.replace("CARD", "KEY")),
        ("words before", format!("my card:\n{text}")),
        ("words behind", format!("{text}greetings")),
        ("two cards", format!("{text}{text}")),
        ("one long line", format!("{BEGIN}{joined}\n{END}")),
        ("lines of 63", format!("{BEGIN}{}\n{END}", wrap(&joined, 63))),
        ("an empty line", format!("{BEGIN}\n{inner}{END}")),
        ("an indented line", format!("{BEGIN} {inner}{END}")),
        ("a space at the end of a line", text.replacen("\n", " \n", 1)),
        ("a lone carriage return", text.replace('\n', "\r")),
        ("no padding", format!("{BEGIN}{}\n{END}", wrap(padded, 64))),
        ("more padding", format!("{BEGIN}{}\n{END}", wrap(&format!("{padded}===="), 64))),
        ("URL alphabet", text.replace('+', "-").replace('/', "_")),
        ("a byte order mark", format!("\u{feff}{text}")),
        ("too long", format!("{BEGIN}{}{END}", inner.repeat(2))),
    ] {
        let error = IdentityCard::from_text(&text).expect_err(name);
        let Error::Decode(error) = error else { panic!("{name}: {error}") };
        assert_eq!(error.what(), "card text", "{name}");
    }
    assert!(!padding.is_empty(), "the card of this test ends in padding");
    for character in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".chars() {
        let other = format!("{}{character}{padding}", &padded[..padded.len() - 1]);
        if other == joined {
            continue;
        }
        // Unused bits that are not zero are refused as text; other bits break the signature.
        let text = format!("{BEGIN}{}\n{END}", wrap(&other, 64));
        let card = IdentityCard::from_text(&text).and_then(|card| card.verify(crate::common::NOW));
        assert!(card.is_err(), "{character}");
    }
}

#[test]
fn a_text_over_6_kib_is_refused_before_it_is_decoded() {
    let text = format!("{BEGIN}{}", "A".repeat(1 << 20));
    let too_long = DecodeError::new("card text", DecodeReason::TooLong(6 * 1024));
    assert_eq!(IdentityCard::from_text(&text), Err(Error::Decode(too_long)));
    // One byte more or less decides; white space around the text does not count.
    let no_end = DecodeReason::Invalid("the last line is -----END SEALWIRE CARD-----");
    let read = |text: &str| IdentityCard::from_text(&format!("\n{text}\n")).map(drop);
    assert_eq!(read(&text[..6 * 1024 + 1]), Err(Error::Decode(too_long)));
    let no_end = DecodeError::new("card text", no_end);
    assert_eq!(read(&text[..6 * 1024]), Err(Error::Decode(no_end)));
}

// Sound text around bytes that are no card.
#[test]
fn the_bytes_inside_are_judged_like_any_other() {
    for (inner, reason) in
        [("", DecodeReason::Truncated), ("AgAA\n", DecodeReason::UnknownVersion(2))]
    {
        let text = format!("{BEGIN}{inner}{END}");
        let expected = DecodeError::new("card", reason);
        assert_eq!(IdentityCard::from_text(&text), Err(Error::Decode(expected)));
    }
}

fn wrap(base64: &str, width: usize) -> String {
    let lines: Vec<_> =
        base64.as_bytes().chunks(width).map(|line| String::from_utf8_lossy(line)).collect();
    lines.join("\n")
}
