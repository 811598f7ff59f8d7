//! Text that comes from files and peers, made safe to show on a terminal.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    path::Path,
};

use sealwire::core::Timestamp;

/// Shows text with every character escaped that could move a terminal's cursor, start a new
/// line or turn the direction of writing.
#[derive(Clone, Debug)]
pub(crate) struct Plain<'a>(Cow<'a, str>);

impl<'a> Plain<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }

    pub(crate) fn path(path: &'a Path) -> Self {
        Self(path.to_string_lossy())
    }
}

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| {
            if is_unsafe(character) {
                write!(f, "{}", character.escape_unicode())
            } else {
                f.write_char(character)
            }
        })
    }
}

/// The text of `lines`, safe for a terminal. Its own line ends stay.
pub(crate) fn lines(lines: &str) -> String {
    lines.split('\n').map(|line| Plain::new(line).to_string()).collect::<Vec<_>>().join("\n")
}

/// JSON with the characters escaped that JSON leaves alone and terminals do not. They stand
/// only inside strings.
pub(crate) fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        // All of them lie in the basic plane, so one escape is enough.
        if is_unsafe(character) {
            safe.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            safe.push(character);
        }
    }
    safe
}

/// A time as people read it, in UTC.
pub(crate) fn utc(time: Timestamp) -> String {
    format!("{} {} UTC", day(time), clock(time))
}

/// A time as programs read it (RFC 3339).
pub(crate) fn rfc3339(time: Timestamp) -> String {
    format!("{}T{}Z", day(time), clock(time))
}

/// The day of a time, in UTC. Later days come later in the order of texts too.
pub(crate) fn day(time: Timestamp) -> String {
    let (year, month, day) = date(time.as_secs() / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A span of time in its two largest units.
pub(crate) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn clock(time: Timestamp) -> String {
    let second = time.as_secs() % 86_400;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{hour:02}:{minute:02}:{second:02}")
}

/// The Gregorian date `days` after 1970-01-01. Years are counted from March, so that the day
/// that leap years add is their last, in eras of 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

/// Control characters, line separators, and those that change the direction of writing.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_terminal_gets_through() {
        let nasty = "a\u{1b}[2Jb\rc\u{9b}31m\u{202e}d\u{7f}\ne";
        let shown = Plain::new(nasty).to_string();
        assert_eq!(shown, r"a\u{1b}[2Jb\u{d}c\u{9b}31m\u{202e}d\u{7f}\u{a}e");
        assert_eq!(lines("one\ntwo\r\n"), "one\ntwo\\u{d}\n");
    }

    #[test]
    fn json_stays_the_same_value() {
        let nasty = "\u{9b}31m\u{202e}\u{7f}\u{1b}\n plain é 漢 \u{1f600}";
        let text = json(&serde_json::to_string(nasty).expect("a string"));
        assert!(!text.contains(is_unsafe));
        assert_eq!(serde_json::from_str::<String>(&text).expect("JSON"), nasty);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_800_000_000, "2027-01-15 08:00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (4_133_980_799, "2100-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(utc(Timestamp::from_secs(seconds)), text);
        }
        let time = Timestamp::from_secs(951_782_400);
        assert_eq!(
            (rfc3339(time), day(time)),
            ("2000-02-29T00:00:00Z".into(), "2000-02-29".into())
        );
    }

    #[test]
    fn spans_are_short() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h 0 min"),
            (90_061, "1 d 1 h"),
            (2_592_000, "30 d 0 h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
