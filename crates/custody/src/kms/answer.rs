//! Answers of key services, as far as they mean the same of every service.

use core::time::Duration;

use http::{HeaderValue, StatusCode};
use sealwire_core::wipe::WipedVec;
use sealwire_envelope::kms::KmsError;

/// The longest that a service's own word keeps us away. It may say anything, and a time without
/// end is no answer.
const MAX_TOLD: Duration = Duration::from_secs(60);

/// What came back. Its body may hold a data key.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: WipedVec,
    /// How long the service wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Answer {
    /// What a status says that means the same of every service.
    pub(super) fn refusal(&self) -> Option<KmsError> {
        match self.status.as_u16() {
            429 => Some(KmsError::Throttled(self.retry_after)),
            503 if self.retry_after.is_some() => Some(KmsError::Throttled(self.retry_after)),
            code @ (408 | 500..=599) => {
                Some(KmsError::Unavailable(format!("it answered with status {code}")))
            }
            300..=399 => Some(KmsError::Answer("it leads to another address")),
            _ => None,
        }
    }
}

/// How long a service wants to be left alone. A date says nothing here.
pub(super) fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let secs = value.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(secs).min(MAX_TOLD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_that_mean_the_same_everywhere() {
        let told = Some(Duration::from_secs(3));
        for (status, retry_after, temporary) in
            [(429, None, true), (429, told, true), (503, told, true), (500, None, true)]
        {
            let status = StatusCode::from_u16(status).expect("a status");
            let answer = Answer { status, body: WipedVec::default(), retry_after };
            let refusal = answer.refusal().expect("a refusal");
            assert_eq!(refusal.is_temporary(), temporary, "{status}");
            if retry_after.is_some() {
                assert_eq!(refusal, KmsError::Throttled(told));
            }
        }
        let answer = |code| Answer {
            status: StatusCode::from_u16(code).expect("a status"),
            body: WipedVec::default(),
            retry_after: None,
        };
        assert!(matches!(answer(307).refusal(), Some(KmsError::Answer(_))));
        assert_eq!(answer(200).refusal(), None);
        assert_eq!(answer(400).refusal(), None);
    }
}
