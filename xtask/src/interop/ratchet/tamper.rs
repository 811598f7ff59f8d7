//! Changed frames: every region once, and lengths that are none.

use super::talk::Protocol;

/// Where a field of a frame begins and ends.
type Region = (&'static str, usize, usize);

/// In front of the first frames (AGR-1): each id, each key, each length.
const PREFIX: [Region; 9] = [
    ("version", 0, 1),
    ("type", 1, 2),
    ("suite", 2, 3),
    ("kx_id", 3, 7),
    ("spk_id", 7, 11),
    ("opk_id", 11, 15),
    ("kem_id", 15, 19),
    ("EK_A", 19, 51),
    ("CT", 51, PREFIX_CLEAR),
];
const PREFIX_CLEAR: usize = 1139;

/// Of a message with its header in clear.
const CLASSICAL: [Region; 7] = [
    ("version", 0, 1),
    ("type", 1, 2),
    ("dh", 2, 34),
    ("pn", 34, 38),
    ("n", 38, 42),
    ("epoch", 42, 46),
    ("kind", 46, 47),
];

/// Of a message of ours (RAT-1).
const FULL: [Region; 6] = [
    ("version", 0, 1),
    ("type", 1, 2),
    ("header nonce", 2, 26),
    ("header", 26, 71),
    ("header tag", 71, 87),
    ("field", 87, 1271),
];

const TAG: usize = 16;

/// Nothing, a part, each header alone, a frame's length but one, a frame's length.
const SHORTER: [usize; 7] = [0, 1, 2, 47, 87, 2047, 2048];

/// A changed frame, and what was changed.
pub(super) struct Tampered {
    pub(super) what: String,
    pub(super) frame: String,
}

/// The frame with each region changed in its first and last byte, and with other lengths.
pub(super) fn tampered(protocol: Protocol, frame: &str) -> Vec<Tampered> {
    let mut all: Vec<Tampered> = regions(protocol, frame)
        .into_iter()
        .flat_map(|(what, from, to)| {
            let ends = [(from, 0x01), (to.saturating_sub(1), 0x01), (to.saturating_sub(1), 0x80)];
            ends.map(|(at, mask)| Tampered {
                what: format!("{what}, byte {at} ^ {mask:#04x}"),
                frame: flipped(frame, at, mask),
            })
        })
        .collect();
    let len = frame.len() / 2;
    let shorter = SHORTER.into_iter().chain([len.saturating_sub(1)]).filter(|kept| *kept < len);
    all.extend(shorter.filter_map(|kept| {
        let frame = frame.get(..kept * 2)?.to_owned();
        Some(Tampered { what: format!("{kept} bytes of it"), frame })
    }));
    all.push(Tampered { what: "one byte more".to_owned(), frame: format!("{frame}00") });
    all.push(Tampered { what: "twice".to_owned(), frame: frame.repeat(2) });
    all
}

/// Every region of a frame, to its end.
fn regions(protocol: Protocol, frame: &str) -> Vec<Region> {
    let len = frame.len() / 2;
    let prefix = prefix_len(protocol, frame);
    let mut regions = Vec::new();
    if let Some(prefix) = prefix {
        let sealed = PREFIX_CLEAR + 2;
        let tag = prefix.saturating_sub(TAG);
        regions.extend(PREFIX);
        regions.extend([("length", PREFIX_CLEAR, sealed), ("sealed", sealed, tag)]);
        regions.push(("sealed tag", tag, prefix));
    }
    let message = prefix.unwrap_or(0);
    let parts = match protocol {
        Protocol::Classical => &CLASSICAL[..],
        Protocol::Full => &FULL,
    };
    let moved = parts.iter().map(|(what, from, to)| (*what, from + message, to + message));
    regions.extend(moved);
    let (body, tag) = (regions.last().map_or(0, |last| last.2), len.saturating_sub(TAG));
    regions.extend([("text and padding", body, tag), ("tag", tag, len)]);
    regions
}

/// How long the prefix is, if there is one: `clear | length u16 | sealed`.
fn prefix_len(protocol: Protocol, frame: &str) -> Option<usize> {
    let is_first = protocol == Protocol::Full && frame.starts_with("0101");
    let len = frame.get(PREFIX_CLEAR * 2..PREFIX_CLEAR * 2 + 4).filter(|_| is_first)?;
    Some(PREFIX_CLEAR + 2 + usize::from_str_radix(len, 16).ok()?)
}

/// The frame with one byte changed.
pub(super) fn flipped(frame: &str, at: usize, mask: u8) -> String {
    let mut frame = frame.to_owned();
    let place = at * 2..at * 2 + 2;
    let byte = frame.get(place.clone()).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    if let Some(byte) = byte {
        frame.replace_range(place, &format!("{:02x}", byte ^ mask));
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_cover_a_frame_without_gaps() {
        let first = format!("0101{}0040{}", "00".repeat(PREFIX_CLEAR - 2), "11".repeat(2953));
        for (protocol, frame, len) in [
            (Protocol::Classical, &*"0102".repeat(1024), 2048),
            (Protocol::Full, &*"0102".repeat(1024), 2048),
            (Protocol::Full, &*first, 4094),
        ] {
            let mut end = 0;
            for (what, from, to) in regions(protocol, frame) {
                assert_eq!(from, end, "{protocol:?} {what}");
                assert!(to > from, "{protocol:?} {what}");
                end = to;
            }
            assert_eq!(end, len);
        }
    }

    #[test]
    fn every_changed_frame_is_another() {
        let frame = "0102".repeat(1024);
        for Tampered { what, frame: changed } in tampered(Protocol::Full, &frame) {
            assert_ne!(changed, frame, "{what}");
        }
        assert_eq!(flipped("01ff", 1, 0x80), "017f");
    }
}
