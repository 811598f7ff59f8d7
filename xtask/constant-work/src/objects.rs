//! Objects at rest: data keys, local keys, an agent's own key and the content are hidden; key
//! records, heads and sealed chunks are public as they are stored.

use std::future::{Future, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use sealwire_core::{KeyStore, Suite, Timestamp, keys::VerifyingKey, secret};
use sealwire_envelope::{
    Context, Dek, Draft, Head, KeyRecord, Pairs, Sealers, WrapBinding,
    chunks::{COMMITMENT_LEN, SLOT_LEN},
    kms::{KeyRef, KeyVersion, Kms, KmsError, Pending, Wrapped},
    local::{LocalKek, LocalKeys},
};
use sealwire_hybrid::StoredKey;

use crate::keys::{Agent, Rng};
use crate::mark::{hide, show, show_inline, shown};
use crate::targets::changes;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// An object without content. What its head and its key record will hold is public.
fn draft(suite: Suite) -> Draft {
    let context = Context::new([("tenant", "acme"), ("content-type", "text/plain")]);
    let context = context.expect("a context");
    let mut draft = Draft::new(suite, &context, &mut Rng::hidden(1)).expect("a draft");
    // Id, salt, commitment, and the digests that wraps are bound to.
    show_inline(&mut draft);
    show(draft.head().header().as_bytes());
    draft
}

fn required() -> Pairs {
    Pairs::new([("tenant", "acme")]).expect("a context")
}

/// A key with two versions, stored and read again.
fn kek() -> LocalKek<Rng> {
    let mut rng = Rng::hidden(50);
    let mut keys = LocalKeys::generate("backups", &mut rng).expect("a key");
    keys.rotate(&mut rng).expect("a version");
    let keys = LocalKeys::from_bytes(&keys.to_bytes()).expect("keys");
    LocalKek::new(Arc::new(keys), rng)
}

fn wrap(kek: &LocalKek<Rng>, draft: &Draft) -> Wrapped {
    let wrapped = kek.wrap_now(draft.dek(), draft.binding()).expect("a wrapped key");
    show(&wrapped.ciphertext);
    wrapped
}

/// The bytes that are changed are of the salt, the commitment and the tag.
pub(crate) fn local_key() {
    let (kek, draft) = (kek(), draft(Suite::AesGcm));
    let wrapped = wrap(&kek, &draft);
    for change in changes(wrapped.ciphertext.len()) {
        let mut wrapped = wrapped.clone();
        if let Some(index) = change {
            wrapped.ciphertext[index] ^= 1;
        }
        let dek = kek.unwrap_now(&wrapped, draft.binding()).inspect(|dek| hide(dek.expose()));
        let same = dek.is_ok_and(|dek| shown(secret::equal(dek.expose(), draft.dek().expose())));
        assert_eq!(same, change.is_none(), "{change:?}");
    }
}

/// An object of two chunks: whole, and with each end of its commitment and of its tags changed.
pub(crate) fn object(suite: Suite) {
    let (kek, draft) = (kek(), draft(suite));
    let record = KeyRecord::new(*draft.binding(), wrap(&kek, &draft), NOW).expect("a record");
    let body = seal(draft, &record);
    let (head, _) = Head::split(&body).expect("a head");
    let (chunks, end) = (head.encoded_len(), body.len());
    let tags = [chunks - COMMITMENT_LEN, chunks - 1, chunks + SLOT_LEN - 16, end - 16, end - 1];
    for change in [None].into_iter().chain(tags.map(Some)) {
        let mut body = body.clone();
        if let Some(index) = change {
            body[index] ^= 1;
        }
        let (head, _) = Head::split(&body).expect("a head");
        let unlocked = wait(record.unlock(&Hiding(&kek), &head, &required(), &()));
        let opened = unlocked.and_then(|unlocked| unlocked.open(&body));
        assert_eq!(opened.is_ok(), change.is_none(), "{change:?}");
    }
}

/// A slot for an agent: the encapsulated key and the tag are changed.
pub(crate) fn agent_slot() {
    let (alice, bob) = (Agent::alice(), Agent::bob());
    let own = StoredKey::new(&*bob.keys, bob.keys.newest()).expect("a key");
    let draft = draft(Suite::ChaChaPoly);
    let wrapped = KeyRecord::wrap_to(&draft, own.public(), bob.keys.newest(), &mut Rng::hidden(90));
    let wrapped = wrapped.expect("a wrapped key");
    show(&wrapped.ciphertext);
    let mut record = KeyRecord::new(*draft.binding(), wrapped.clone(), NOW).expect("a record");
    record.sign(&draft, &*alice.keys, alice.id, &[7; 32]).expect("a signature");
    let sealer = record.clone();
    let body = seal(draft, &record);
    let (head, _) = Head::split(&body).expect("a head");
    for change in changes(wrapped.ciphertext.len()) {
        let mut wrapped = wrapped.clone();
        if let Some(index) = change {
            wrapped.ciphertext[index] ^= 1;
        }
        let mut record = sealer.clone();
        record.replace(&wrapped.key.clone(), wrapped, NOW).expect("a record");
        let unlocked = record.unlock_as(&own, &head, &required(), &alice);
        let opened = unlocked.and_then(|unlocked| unlocked.open(&body));
        assert_eq!(opened.is_ok(), change.is_none(), "{change:?}");
    }
}

impl Sealers for Agent {
    fn key(&self, _id: &[u8], _card: &[u8; 32]) -> Option<VerifyingKey> {
        Some(self.keys.identity().clone())
    }
}

fn seal(draft: Draft, record: &KeyRecord) -> Vec<u8> {
    let content = vec![9; SLOT_LEN + 300];
    hide(&content);
    let body = draft.seal(record, &content).expect("an object");
    show(&body);
    body
}

/// A key service whose data keys are hidden again when it has unwrapped them.
#[derive(Debug)]
struct Hiding<'a>(&'a LocalKek<Rng>);

impl Kms for Hiding<'_> {
    fn key(&self) -> &KeyRef {
        self.0.key()
    }

    fn version(&self) -> Pending<'_, KeyVersion> {
        self.0.version()
    }

    fn wrap<'a>(&'a self, dek: &'a Dek, binding: &'a WrapBinding) -> Pending<'a, Wrapped> {
        self.0.wrap(dek, binding)
    }

    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, binding: &'a WrapBinding) -> Pending<'a, Dek> {
        let dek = self.0.unwrap_now(wrapped, binding);
        Box::pin(ready(dek.inspect(|dek| hide(dek.expose()))))
    }

    fn rewrap<'a>(
        &'a self,
        wraps: &'a [(Wrapped, WrapBinding)],
    ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>> {
        self.0.rewrap(wraps)
    }
}

/// What a future gives that waits for nothing.
fn wait<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a local key is at hand"),
    }
}
