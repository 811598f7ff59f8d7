//! What is read of a request before an operation looks at it: its name for the relay, its body,
//! its signature.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Version, header, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::{
    Shared,
    address::{self, Origin},
    answer::Refusal,
    budget::Share,
    connection::Peer,
};
use crate::{
    Caller, Problem, ReceiveId,
    signature::{self, RequestParts, SignatureHeaders, Signer, Verified},
    wire::{Credential, Operation},
};

/// How long the nonce of a signature is kept, in seconds: until the signature is too old however
/// far its time and the relay's lay apart. It is counted from the mark, by which is swept.
const NONCE_LIFETIME: u64 = 2 * crate::limits::SIGNATURE_WINDOW;

/// A request that has arrived.
pub(super) struct Call<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) peer: &'a Arc<Peer>,
    pub(super) parts: &'a Parts,
    pub(super) authority: &'a str,
    pub(super) body: Bytes,
    /// The memory of the body.
    pub(super) share: Option<Share>,
}

impl Call<'_> {
    /// Whom limits count for.
    pub(super) fn origin(&self) -> Origin {
        let trusted = &self.shared.settings.trusted_proxies;
        Origin::of(address::client(self.peer.address, &self.parts.headers, trusted))
    }

    /// The body, as what it has to be.
    pub(super) fn decode<T: crate::wire::Body>(&self) -> Result<T, Refusal> {
        T::from_bytes(&self.body).map_err(|_| Problem::Malformed.into())
    }

    /// Checks the signature and who made it. Whoever signs for something that is not his is told
    /// the same as if it were not there.
    // REL-3, REL-11
    pub(super) fn verify(&self, operation: &Operation) -> Result<Verified, Refusal> {
        let headers = &self.parts.headers;
        let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let headers = SignatureHeaders::collect(fields)?;
        let request = RequestParts {
            method: self.parts.method.as_str(),
            authority: self.authority,
            path: self.parts.uri.path(),
            query: self.parts.uri.query(),
            body: &self.body,
        };
        let verified = signature::verify(&request, &headers, self.shared.time.now())?;
        let is_allowed = match (operation.credential(), &verified.signer) {
            (Credential::Agent(agent), Signer::Identity(signer)) => agent == signer,
            (Credential::Caller, Signer::Identity(_)) => true,
            (Credential::Mailbox(id), Signer::Mailbox(key)) => ReceiveId::of(key) == id,
            _ => false,
        };
        if is_allowed { Ok(verified) } else { Err(Problem::NotFound.into()) }
    }

    /// Uses the signature up.
    // REL-11
    pub(super) async fn spend(&self, verified: &Verified) -> Result<(), Refusal> {
        let signer = Caller::of(&verified.key_id);
        let until = self.shared.time.mark().plus(NONCE_LIFETIME);
        let is_new = self.shared.store.spend(&signer, &verified.nonce, until).await;
        match is_new.map_err(|error| self.shared.store_failed(&error))? {
            true => Ok(()),
            false => Err(Problem::Replayed.into()),
        }
    }

    /// Checks the signature, who made it, and that it is new.
    pub(super) async fn signed(&self, operation: &Operation) -> Result<Verified, Refusal> {
        let verified = self.verify(operation)?;
        self.spend(&verified).await?;
        Ok(verified)
    }
}

/// The value of a header that stands there once.
pub(super) fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The name of this relay that a request is for.
// REL-11
pub(super) fn authority<'a>(
    shared: &'a Shared,
    peer: &'a Peer,
    parts: &Parts,
) -> Result<&'a str, Problem> {
    let target = parts.uri.authority().map(http::uri::Authority::as_str);
    let host = single(&parts.headers, header::HOST);
    let asked = match (parts.version, target, host) {
        (Version::HTTP_2, Some(target), _) => target,
        // RFC 9112, section 3.2: a request has one host, which a target in absolute form repeats.
        (_, None, Some(host)) => host,
        (_, Some(target), Some(host)) if target.eq_ignore_ascii_case(host) => host,
        _ => return Err(Problem::Malformed),
    };
    let names = if shared.names.is_empty() { &peer.names } else { &shared.names };
    let asked = without_port(asked, shared.default_ports());
    let name = names.iter().find(|name| name.eq_ignore_ascii_case(asked));
    name.map(String::as_str).ok_or(Problem::Misdirected)
}

/// A name without a port that its scheme implies (RFC 9421, section 2.2.3).
pub(super) fn without_port<'a>(name: &'a str, default_ports: &[&str]) -> &'a str {
    default_ports.iter().find_map(|port| name.strip_suffix(port)).unwrap_or(name)
}

/// Checks what a request says of its body, and reads it: never more than the operation takes,
/// nor more than there is memory for, nor for longer than a body may take.
// REL-7
pub(super) async fn read_body(
    shared: &Shared,
    peer: &Peer,
    parts: &Parts,
    operation: &Operation,
    body: Incoming,
) -> Result<(Bytes, Option<Share>), Refusal> {
    let limit = match operation.body() {
        Some((media_type, limit)) => {
            check_media_type(&parts.headers, media_type)?;
            limit
        }
        None => 0,
    };
    let expected =
        body.size_hint().exact().map(|exact| usize::try_from(exact).unwrap_or(usize::MAX));
    if expected.is_some_and(|expected| expected > limit) {
        return Err(Problem::TooLarge.into());
    }
    if body.is_end_stream() {
        return Ok((Bytes::new(), None));
    }
    let share = peer.slot.memory(expected.unwrap_or(limit)).ok_or(Refusal {
        problem: Problem::Unavailable,
        retry_after: Some(1),
        allow: None,
    })?;
    let read = timeout(shared.settings.times.body, read_to_end(body, expected, limit)).await;
    Ok((read.map_err(|_| Problem::TooSlow)??, Some(share)))
}

fn check_media_type(headers: &HeaderMap, media_type: &str) -> Result<(), Problem> {
    let given = single(headers, header::CONTENT_TYPE);
    let fits = given.is_some_and(|given| given.eq_ignore_ascii_case(media_type));
    if fits && !headers.contains_key(header::CONTENT_ENCODING) {
        Ok(())
    } else {
        Err(Problem::MediaType)
    }
}

async fn read_to_end(
    mut body: Incoming,
    expected: Option<usize>,
    limit: usize,
) -> Result<Bytes, Problem> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Problem::Malformed)?.into_data() else { continue };
        if read.is_empty() && expected == Some(data.len()) {
            return Ok(data);
        }
        if read.len().saturating_add(data.len()) > limit {
            return Err(Problem::TooLarge);
        }
        if read.is_empty() {
            read.reserve(expected.unwrap_or(0).min(limit));
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}
