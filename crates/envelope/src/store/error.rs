//! What can go wrong with a store.

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
    /// It could not be reached, or failed.
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
            other => Self::Failed(without_answer(&other)),
        }
    }
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

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        Self::Store(error.into())
    }
}
