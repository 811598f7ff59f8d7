//! What a relay says of itself. An event names no agent, mailbox, message or address, and no
//! size of anything that somebody sent.
// REL-33

use core::fmt::{self, Write};

/// Takes events, from any thread. It must not block for long: the relay waits for it.
pub trait Log: Send + Sync + fmt::Debug {
    /// Notes an event.
    fn event(&self, event: &Event);
}

/// A log that keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has nothing to configure")]
pub struct NoLog;

impl Log for NoLog {
    fn event(&self, _event: &Event) {}
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The relay takes connections.
    Started {
        /// With TLS.
        tls: bool,
    },
    /// Another certificate is served from now on.
    CertificateLoaded,
    /// No connection is taken any more; what is going on comes to its end.
    Draining,
    /// The relay has ended.
    Stopped {
        /// Connections that had to be cut off.
        cut_off: usize,
    },
    /// The clock is more than a day ahead of the latest time seen. Until the operator confirms the
    /// time or sets the clock right, only that is deleted which expired within the first day.
    ClockAhead,
    /// The clock was set back by this many seconds: the latest time seen holds.
    ClockBehind {
        /// In seconds.
        seconds: u64,
    },
    /// The store failed, with what it said.
    StoreFailed {
        /// In words.
        reason: String,
    },
    /// Connections cannot be accepted, as when too many files are open.
    AcceptFailed {
        /// In words.
        reason: String,
    },
    /// The relay itself failed at a request.
    Failed {
        /// The name of the operation.
        operation: &'static str,
    },
}

impl Event {
    /// A name that stays.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::CertificateLoaded => "certificate-loaded",
            Self::Draining => "draining",
            Self::Stopped { .. } => "stopped",
            Self::ClockAhead => "clock-ahead",
            Self::ClockBehind { .. } => "clock-behind",
            Self::StoreFailed { .. } => "store-failed",
            Self::AcceptFailed { .. } => "accept-failed",
            Self::Failed { .. } => "failed",
        }
    }

    /// One line of JSON without the time, which whoever writes it adds.
    pub fn to_json(&self) -> String {
        let mut json = format!("{{\"event\":\"{}\"", self.name());
        match self {
            Self::Started { tls } => field(&mut json, "tls", tls),
            Self::Stopped { cut_off } => field(&mut json, "cut_off", cut_off),
            Self::ClockBehind { seconds } => field(&mut json, "seconds", seconds),
            Self::StoreFailed { reason } | Self::AcceptFailed { reason } => {
                field(&mut json, "reason", &quoted(reason));
            }
            Self::Failed { operation } => field(&mut json, "operation", &quoted(operation)),
            Self::CertificateLoaded | Self::Draining | Self::ClockAhead => {}
        }
        json.push('}');
        json
    }
}

fn field(json: &mut String, name: &str, value: &dyn fmt::Display) {
    // Writing to a String cannot fail.
    let _: fmt::Result = write!(json, ",\"{name}\":{value}");
}

/// A string in JSON (RFC 8259, section 7).
pub(super) fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len().saturating_add(2));
    json.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            control if control < ' ' => {
                let _: fmt::Result = write!(json, "\\u{:04x}", u32::from(control));
            }
            other => json.push(other),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_of_json() {
        let reason = "cannot write \"a\\b\"\nline\u{1}".to_owned();
        for (event, json) in [
            (Event::Started { tls: true }, r#"{"event":"started","tls":true}"#),
            (Event::Draining, r#"{"event":"draining"}"#),
            (Event::Stopped { cut_off: 2 }, r#"{"event":"stopped","cut_off":2}"#),
            (
                Event::StoreFailed { reason: reason.clone() },
                r#"{"event":"store-failed","reason":"cannot write \"a\\b\"\u000aline\u0001"}"#,
            ),
        ] {
            assert_eq!(event.to_json(), json);
            let parsed: serde_json::Value = serde_json::from_str(json).expect("JSON");
            assert_eq!(parsed["event"], event.name());
        }
        let json = Event::StoreFailed { reason: reason.clone() }.to_json();
        let parsed: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(parsed["reason"], reason.as_str());
    }
}
