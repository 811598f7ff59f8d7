//! What can go wrong with a store.

use core::error::Error as StdError;
use std::io;

use crate::Error;

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no object of this name.
    #[error("there is no object of this name")]
    NotFound,
    /// There is one already.
    #[error("there is an object of this name already; seal it anew, or take another name")]
    Exists,
    /// The object has no key record, and opens for nobody.
    #[error("the object has no key record: it was erased, or its record is not in this store")]
    Erased,
    /// It was changed between two requests.
    #[error("it was changed by someone else meanwhile; try again")]
    Changed,
    /// The caller may not do this.
    #[error("the store refuses: {0}")]
    Denied(String),
    /// This store cannot do what is needed.
    #[error("the store cannot {0}")]
    Unsupported(&'static str),
    /// It could not be reached, or had no time. It may be tried again.
    #[error("the store cannot be used now: {0}")]
    Unavailable(String),
    /// It failed.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The name of no object.
    #[error("an object's name {0}")]
    Name(&'static str),
}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as Other;
        match error {
            Other::NotFound { .. } => Self::NotFound,
            Other::AlreadyExists { .. } => Self::Exists,
            Other::Precondition { .. } | Other::NotModified { .. } => Self::Changed,
            Other::NotImplemented { .. } | Other::NotSupported { .. } => {
                Self::Unsupported("do this; object stores differ in what they can")
            }
            Other::PermissionDenied { .. } | Other::Unauthenticated { .. } => {
                Self::Denied(without_answer(&error))
            }
            other => match unanswered(&other) {
                Some(tried) => Self::Unavailable(tried),
                None => Self::Failed(without_answer(&other)),
            },
        }
    }
}

/// What was asked, how often, and why it came to nothing, where asking later may do better.
fn unanswered(error: &object_store::Error) -> Option<String> {
    let text = without_answer(error);
    let asked = text.rsplit_once("Error performing ").map_or(&*text, |(_, asked)| asked);
    let (request, answer) = asked.split_once(" - ").unwrap_or(("", asked));
    let why = if is_busy(answer) { answer.to_owned() } else { cut_off(error)? };
    // How long it is asked at most is a setting, and not what happened.
    let request = request.split(", max_retries").next().unwrap_or_default().trim_end();
    Some(if request.is_empty() { why } else { format!("{request}: {why}") })
}

/// Whether an answer says that the service has no time now, or a fault of its own.
fn is_busy(answer: &str) -> bool {
    let status = answer.split_once("status code: ").and_then(|(_, rest)| rest.get(..3));
    match status.and_then(|digits| digits.parse().ok()) {
        // 501 and 505 say that it never will.
        Some(status) => matches!(status, 408 | 429 | 500 | 502..=504 | 506..=599),
        // S3 says that it is too slow in an answer that begins as a good one does.
        None => answer.contains("error response"),
    }
}

/// The first cause of a request without an answer. Where that is a certificate, there was one.
fn cut_off(error: &object_store::Error) -> Option<String> {
    let mut next: Option<&dyn StdError> = Some(error);
    let (mut first, mut is_away) = (None, false);
    while let Some(cause) = next {
        let text = cause.to_string();
        if text.contains("invalid peer certificate") {
            return None;
        }
        is_away |= is_out_of_reach(cause);
        first = Some(text);
        next = cause.source();
    }
    first.filter(|_| is_away)
}

fn is_out_of_reach(cause: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind as Kind;
    #[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
    if let Some(error) = cause.downcast_ref::<object_store::client::HttpError>() {
        use object_store::client::HttpErrorKind as Http;
        return matches!(
            error.kind(),
            Http::Connect | Http::Request | Http::Timeout | Http::Interrupted
        );
    }
    // A folder may be on another machine too.
    cause.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            Kind::ConnectionRefused
                | Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::NotConnected
                | Kind::HostUnreachable
                | Kind::NetworkUnreachable
                | Kind::NetworkDown
                | Kind::StaleNetworkFileHandle
                | Kind::TimedOut
        )
    })
}

/// What went wrong, without the words of the service: S3 quotes a session token that it refuses.
fn without_answer(error: &object_store::Error) -> String {
    let text = error.to_string();
    let cut = ["status code: ", "error response"].into_iter().find_map(|mark| {
        let (before, answer) = text.split_once(mark)?;
        Some(format!("{before}{mark}{}", answer.split(':').next().unwrap_or_default()))
    });
    cut.unwrap_or(text)
}

impl Error {
    /// Whether the store cannot be used now: then nothing is known of what was to be read.
    pub(super) const fn is_store_away(&self) -> bool {
        matches!(self, Self::Store(StoreError::Unavailable(_)))
    }
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "Error performing GET http://127.0.0.1:9/acme/a in 1.2s, after 3 retries, \
                         max_retries: 10, retry_timeout: 1s  - ";

    fn judge(source: impl Into<Box<dyn StdError + Send + Sync>>) -> StoreError {
        object_store::Error::Generic { store: "S3", source: source.into() }.into()
    }

    #[test]
    fn what_may_do_better_later_is_told_from_what_will_not() {
        let answer = |status: &str| format!("{ASKED}Server returned non-2xx status code: {status}");
        for (status, is_away) in [
            ("503 Service Unavailable: hunter2", true),
            ("500 Internal Server Error: ", true),
            ("429 Too Many Requests: ", true),
            ("599 <unknown status code>: ", true),
            ("501 Not Implemented: ", false),
            ("505 HTTP Version Not Supported: ", false),
            ("400 Bad Request: hunter2", false),
            ("301 Moved Permanently", false),
        ] {
            let error = judge(answer(status));
            assert_eq!(matches!(error, StoreError::Unavailable(_)), is_away, "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert_eq!(
            judge(answer("503 Service Unavailable: ")).to_string(),
            "the store cannot be used now: GET http://127.0.0.1:9/acme/a in 1.2s, after 3 retries: \
             Server returned non-2xx status code: 503 Service Unavailable"
        );
        let slow = judge(format!("{ASKED}Server returned error response: SlowDown: hunter2"));
        assert!(slow.to_string().ends_with("Server returned error response"), "{slow}");
    }

    #[test]
    fn a_connection_that_breaks_is_no_fault_of_the_store_and_a_certificate_is() {
        use io::ErrorKind as Kind;
        for (kind, is_away) in [
            (Kind::ConnectionRefused, true),
            (Kind::TimedOut, true),
            (Kind::StaleNetworkFileHandle, true),
            (Kind::StorageFull, false),
            (Kind::UnexpectedEof, false),
        ] {
            let error = judge(io::Error::from(kind));
            assert_eq!(matches!(error, StoreError::Unavailable(_)), is_away, "{error}");
        }
        let untrusted = "invalid peer certificate: UnknownIssuer";
        let error = judge(io::Error::new(Kind::ConnectionReset, untrusted));
        assert!(matches!(error, StoreError::Failed(_)), "{error}");
    }

    #[cfg(feature = "aws")]
    #[test]
    fn the_first_cause_is_the_one_that_is_told() {
        use object_store::client::{HttpError, HttpErrorKind};
        let cause = || io::Error::other("Connection refused");
        for (kind, is_away) in [
            (HttpErrorKind::Connect, true),
            (HttpErrorKind::Request, true),
            (HttpErrorKind::Timeout, true),
            (HttpErrorKind::Interrupted, true),
            (HttpErrorKind::Decode, false),
            (HttpErrorKind::Unknown, false),
        ] {
            match judge(HttpError::new(kind, cause())) {
                StoreError::Unavailable(why) => {
                    assert_eq!((&*why, is_away), ("Connection refused", true))
                }
                other => assert!(!is_away, "{kind:?}: {other}"),
            }
        }
    }
}
