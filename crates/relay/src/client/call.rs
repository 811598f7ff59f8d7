//! One call: signed, sent, judged, and repeated where that can help.

use core::time::Duration;
use std::{io, sync::PoisonError};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderName, RETRY_AFTER},
};
use http_body_util::Full;
use hyper::body::Incoming;
use sealwire_core::{keys::SigningKey, rng};

use super::{
    AWAY, ClientError, Identity, Shared, Skew, date, driver,
    pool::{Connection, Purpose, read},
};
use crate::{
    Capability, MessageId, Nonce, Problem,
    signature::{self, RequestParts, SignedHeaders, Signer},
    wire::{Body, CAPABILITY, Credential, MESSAGE_ID, Operation, PROBLEM},
};

/// The longest problem, in bytes. Ours have a few hundred.
const MAX_PROBLEM_LEN: usize = 4096;

/// What is asked of the relay.
pub(super) struct Call<'a> {
    operation: &'a Operation,
    key: Option<&'a SigningKey>,
    body: Bytes,
    extra: HeaderMap,
    /// The longest answer.
    most: usize,
    /// How long the relay may take on purpose.
    wait: Duration,
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Bytes,
}

/// Why there is no answer, and when the relay wants to be asked again.
pub(super) struct Failure {
    error: ClientError,
    retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn is(&self, problem: Problem) -> bool {
        matches!(&self.error, ClientError::Problem(found) if *found == problem)
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self { error, retry_after: None }
    }
}

impl<'a> Call<'a> {
    pub(super) fn new(operation: &'a Operation) -> Self {
        let (body, extra, wait) = (Bytes::new(), HeaderMap::new(), Duration::ZERO);
        Self { operation, key: None, body, extra, most: MAX_PROBLEM_LEN, wait }
    }

    pub(super) fn key(self, key: &'a SigningKey) -> Self {
        Self { key: Some(key), ..self }
    }

    pub(super) fn body(self, body: &impl Body) -> Self {
        Self { body: body.to_bytes().into(), ..self }
    }

    pub(super) fn expecting<A: Body>(self) -> Self {
        Self { most: A::MAX_LEN.max(MAX_PROBLEM_LEN), ..self }
    }

    pub(super) fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    pub(super) fn frame(
        mut self,
        message: MessageId,
        capability: &Capability,
        frame: &[u8],
    ) -> Self {
        for (name, text) in [(MESSAGE_ID, message.to_string()), (CAPABILITY, capability.to_text())]
        {
            if let Ok(value) = HeaderValue::try_from(text) {
                self.extra.insert(HeaderName::from_static(name), value);
            }
        }
        Self { body: Bytes::copy_from_slice(frame), ..self }
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.extra.insert(name, value);
        self
    }

    fn purpose(&self) -> Purpose {
        self.operation.credential().into()
    }
}

impl Answer {
    /// One without a body.
    pub(super) fn nothing(&self, expected: &[u16]) -> Result<(), ClientError> {
        if expected.contains(&self.status.as_u16()) {
            return Ok(());
        }
        Err(ClientError::Protocol("an answer with another status than the operation has"))
    }

    /// 201 for what is new, 200 for what was known.
    pub(super) fn is_new(&self) -> Result<bool, ClientError> {
        self.nothing(&[200, 201]).map(|()| self.status == StatusCode::CREATED)
    }

    pub(super) fn body<A: Body>(&self) -> Result<A, ClientError> {
        self.nothing(&[200])?;
        A::from_bytes(&self.body)
            .map_err(|_| ClientError::Protocol("an answer that does not decode"))
    }
}

impl Shared {
    /// Calls, and repeats what can be repeated until [`Settings::deadline`](super::Settings).
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        if self.is_away() {
            let away = io::Error::new(io::ErrorKind::NotConnected, "nor could it be just now");
            return Err(ClientError::Unreachable(away));
        }
        let begun = driver::now();
        let end = begun + self.settings.deadline + call.wait;
        let mut backoff = self.backoff();
        loop {
            let attempt = tokio::time::timeout_at(end, self.exchange(&call)).await;
            let failed = match attempt {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failed)) => failed,
                Err(_) => ClientError::timed_out("it did not answer in time").into(),
            };
            let Failure { error, retry_after } = failed;
            let pause = backoff.delay(retry_after, &mut driver::rng());
            let end = match is_refused(&error) {
                true => end.min(begun + self.settings.refused),
                false => end,
            };
            if !is_repeated(&error) || driver::now() + pause >= end {
                self.note(&error);
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Calls for what may not be there.
    pub(super) async fn found(&self, call: Call<'_>) -> Result<Option<Answer>, ClientError> {
        match self.call(call).await {
            Err(ClientError::Problem(Problem::NotFound)) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// [`Shared::found`], decoded.
    pub(super) async fn find<A: Body>(&self, call: Call<'_>) -> Result<Option<A>, ClientError> {
        self.found(call).await?.map(|answer| answer.body()).transpose()
    }

    async fn exchange(&self, call: &Call<'_>) -> Result<Answer, Failure> {
        let request = self.request(call).await?;
        let purpose = call.purpose();
        if let Some(connection) = self.pool.take(purpose) {
            // One that the relay closes just now is no reason to wait.
            let again = self.over(connection, call, request.clone()).await;
            if !matches!(&again, Err(Failure { error: ClientError::Unreachable(_), .. })) {
                return again;
            }
        }
        let connection = Connection::begin(self.connector.connect().await?).await?;
        self.over(connection, call, request).await
    }

    async fn over(
        &self,
        mut connection: Connection,
        call: &Call<'_>,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Failure> {
        let exchange = async {
            let response = connection.send(request).await?;
            self.judge(response, call.most).await
        };
        let answer = tokio::time::timeout(self.settings.answer + call.wait, exchange)
            .await
            .unwrap_or_else(|_| Err(ClientError::timed_out("it did not answer in time").into()));
        // After anything that is not understood the next request gets a connection of its own.
        let in_step = match &answer {
            Ok(_) => true,
            Err(Failure { error, .. }) => matches!(error, ClientError::Problem(_)),
        };
        if in_step {
            self.pool.put(call.purpose(), connection);
        }
        answer
    }

    /// Reads an answer, and what it says.
    pub(super) async fn judge(
        &self,
        response: Response<Incoming>,
        most: usize,
    ) -> Result<Answer, Failure> {
        let (head, body) = response.into_parts();
        let status = head.status;
        let body = read(body, if status.is_success() { most } else { MAX_PROBLEM_LEN }).await?;
        if status.is_success() {
            return Ok(Answer { status, body });
        }
        let text = |name: HeaderName| head.headers.get(name)?.to_str().ok();
        let retry_after = text(RETRY_AFTER).and_then(|text| text.parse().ok());
        let retry_after = retry_after.map(Duration::from_secs);
        let is_problem = text(CONTENT_TYPE) == Some(PROBLEM);
        let problem = is_problem.then(|| problem(status, &body)).flatten();
        let error = match (problem, status.as_u16()) {
            (Some(Problem::Stale), _) => {
                let theirs = text(DATE).and_then(date::parse);
                let ours = (self.settings.clock)();
                let skew = theirs.and_then(|theirs| Skew::between(ours, theirs));
                skew.map_or(ClientError::Problem(Problem::Stale), ClientError::Clock)
            }
            (Some(problem), _) => ClientError::Problem(problem),
            (None, 408 | 429 | 500..=599) => {
                ClientError::Unreachable(io::Error::other("what stands before it has a fault"))
            }
            (None, _) => ClientError::Protocol("a refusal that is none of a relay's"),
        };
        Err(Failure { error, retry_after })
    }

    /// The request, signed anew each time: a signature is good for once.
    pub(super) async fn request(
        &self,
        call: &Call<'_>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let Call { operation, body, extra, .. } = call;
        let authority = self.url.authority();
        let mut request = Request::builder()
            .method(operation.method())
            .uri(operation.target())
            .header(HOST, &authority);
        if let Some((media_type, _)) = operation.body() {
            request = request.header(CONTENT_TYPE, media_type);
        }
        for (name, value) in extra {
            request = request.header(name, value);
        }
        if let Some(signed) = self.sign(call, authority).await? {
            for (name, value) in signed.fields() {
                request = request.header(name, value);
            }
        }
        request
            .body(Full::new(body.clone()))
            .map_err(|_| ClientError::Misuse("a request that HTTP has no form for"))
    }

    async fn sign(
        &self,
        call: &Call<'_>,
        authority: String,
    ) -> Result<Option<SignedHeaders>, ClientError> {
        let nonce = rng::draw::<16>(&mut driver::rng()).map_err(|_| ClientError::Randomness)?;
        let nonce = Nonce::from_bytes(*nonce.expose());
        let created = (self.settings.clock)();
        let operation = call.operation.clone();
        let body = call.body.clone();
        let sign = move |key_id: &str, sign: &dyn Fn(&_) -> Result<_, _>| {
            let (path, query) = (operation.path(), operation.query());
            let parts = RequestParts {
                method: operation.method(),
                authority: &authority,
                path: &path,
                query: query.as_deref(),
                body: &body,
            };
            signature::sign(&parts, created, &nonce, key_id, sign).map_err(ClientError::Signing)
        };
        let signed = match call.operation.credential() {
            Credential::Nothing | Credential::Capability(_) => return Ok(None),
            Credential::Mailbox(_) => {
                let key = call.key.ok_or(ClientError::Misuse("the key of the mailbox"))?;
                let signer = Signer::Mailbox(key.public().clone());
                sign(&signer.key_id(), &|base| Ok(key.sign(base)))
            }
            Credential::Agent(_) | Credential::Caller => {
                let identity = self.identity.clone();
                let Identity { id, keys } =
                    identity.ok_or(ClientError::Misuse("this needs a client with an identity"))?;
                // Whatever holds the key may take its time.
                let signing = move || sign(id.as_str(), &|base| keys.sign(base));
                let signed = tokio::task::spawn_blocking(signing).await;
                signed.map_err(|_| ClientError::Misuse("the key store stopped"))?
            }
        };
        signed.map(Some)
    }

    fn is_away(&self) -> bool {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.is_some_and(|since| driver::now().saturating_duration_since(since) < AWAY)
    }

    fn note(&self, error: &ClientError) {
        if matches!(error, ClientError::Unreachable(_) | ClientError::Unresolved(_)) {
            *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some(driver::now());
        }
    }
}

/// A problem goes by its slug, and one of a later release by its status.
// REL-8
fn problem(status: StatusCode, body: &[u8]) -> Option<Problem> {
    let is_ours = || {
        let prefix = Problem::TYPE_PREFIX.as_bytes();
        body.windows(prefix.len()).any(|part| part == prefix)
    };
    Problem::from_json(body).or_else(|| {
        let alike = Problem::ALL.into_iter().find(|problem| problem.status() == status.as_u16());
        alike.filter(|_| is_ours())
    })
}

/// Whether nobody listens where the relay should be.
fn is_refused(error: &ClientError) -> bool {
    matches!(error, ClientError::Unreachable(cause)
        if cause.kind() == io::ErrorKind::ConnectionRefused)
}

/// Whether to call again. What waits for the owner of a full mailbox is the caller's affair.
// REL-35
fn is_repeated(error: &ClientError) -> bool {
    match error {
        ClientError::Problem(Problem::MailboxFull | Problem::SenderFull) => false,
        // A connection broke after the relay had read the request.
        ClientError::Problem(Problem::Replayed) => true,
        error => error.is_retryable(),
    }
}
