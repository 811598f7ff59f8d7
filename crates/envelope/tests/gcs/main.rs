//! What holds in every store, over the requests that object_store makes of Google Cloud Storage.
//! They are held against the documented form of its XML API by a stand-in. The cloud itself was
//! never asked.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

#[path = "../store/conformance.rs"]
mod conformance;
mod google;
#[path = "../api/support.rs"]
#[expect(dead_code, reason = "shared with the tests of the formats")]
mod support;

use core::{panic::AssertUnwindSafe, time::Duration};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    panic::resume_unwind,
    sync::Arc,
};

use futures_util::FutureExt;
use google::{BUCKET, Google, PART_LEN, TOKEN};
use object_store::{ClientOptions, RetryConfig, gcp::GoogleCloudStorageBuilder};
use sealwire_core::{Suite, Timestamp};
use sealwire_envelope::{
    Error,
    local::{LocalKek, LocalKeys},
    store::{Access, Plan, Rewrap, Store, StoreError},
};
use sealwire_testkit::rng::SeededRng;
use support::{NOW, content, context, tenant};

/// After anything that this test writes.
const LATER: Timestamp = Timestamp::from_secs(u64::MAX / 2);

fn store(google: &Google) -> Store {
    let gcs = GoogleCloudStorageBuilder::new()
        .with_base_url(&format!("http://{}", google.address()))
        .with_client_options(ClientOptions::new().with_allow_http(true))
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_bucket_name(BUCKET)
        .with_bearer_token(TOKEN);
    let store = Store::new(Arc::new(gcs.build().unwrap()), "tenants/acme").unwrap();
    store.with_part_len(PART_LEN)
}

/// What went wrong in a test is what did not fit, if anything did not.
async fn fits<T>(google: &Google, test: impl Future<Output = T>) -> T {
    let ended = AssertUnwindSafe(test).catch_unwind().await;
    let misfits = google.state().misfits.clone();
    assert!(misfits.is_empty(), "requests do not fit: {misfits:#?}");
    ended.unwrap_or_else(|panic| resume_unwind(panic))
}

fn kek(versions: u64) -> LocalKek<SeededRng> {
    let mut rng = SeededRng::new(77);
    let mut keys = LocalKeys::generate("test", &mut rng).unwrap();
    (1..versions).for_each(|_| drop(keys.rotate(&mut rng).unwrap()));
    LocalKek::new(Arc::new(keys), SeededRng::new(78))
}

async fn seal(store: &Store, name: &str, content: &[u8], seed: u64) -> Result<(), Error> {
    let (context, kek) = (context(), kek(1));
    let plan = Plan::new(&context).kms(&kek).suite(Suite::ChaChaPoly);
    store.seal(name, &plan, content, NOW, &mut SeededRng::new(seed)).await.map(drop)
}

#[tokio::test]
async fn what_holds_in_every_store_holds_over_the_requests_that_google_documents() {
    let google = Google::start();
    fits(&google, conformance::conforms(&store(&google), PART_LEN)).await;
    let expected = BTreeSet::from([
        ("Complete Upload", 200),
        ("DELETE Object", 204),
        ("GET Object", 200),
        ("GET Object", 206),
        ("GET Object", 404),
        ("GET Object", 412),
        ("HEAD Object", 200),
        ("HEAD Object", 404),
        ("Initiate Upload", 200),
        ("List Objects", 200),
        ("PUT Object", 200),
        ("PUT Object", 412),
        ("Upload Part", 200),
    ]);
    assert_eq!(google.state().answered, expected);
}

// ENV-38
#[tokio::test]
async fn of_two_clients_that_make_an_object_the_first_one_stands() {
    let google = Google::start();
    let store = store(&google);
    for (seed, len) in [(1, 10), (3, 2 * PART_LEN)] {
        fits(&google, async {
            let name = format!("new/{len}");
            google.state().rival = Some("new/");
            let second = seal(&store, &name, &content(len), seed).await;
            assert_eq!(second, Err(StoreError::Exists.into()));
            assert_eq!(google.state().rival, None, "the other client wrote");
            let left = store.orphans().await.unwrap();
            assert_eq!(left.records.len(), 0, "its record is gone");
            assert_eq!(left.foreign, store.names().await.unwrap());
        })
        .await;
    }
    assert_eq!(google.state().uploads(), 0);
    assert!(google.state().answered.contains(&("Abort Upload", 204)));
}

// ENV-37
#[tokio::test]
async fn a_record_that_another_client_wrote_meanwhile_is_rewrapped_by_the_next_run() {
    let google = Google::start();
    let store = store(&google);
    let rotated = kek(2);
    let run = Rewrap::new(&rotated).verified();
    fits(&google, async {
        seal(&store, "a", b"a", 1).await.unwrap();
        google.state().rival = Some(".keys/");
        let first = *store.rewrap_all(&run, None, NOW, &mut ()).await.unwrap().counts();
        assert_eq!((first.conflict, first.rewrapped), (1, 0));
        let second = *store.rewrap_all(&run, None, NOW, &mut ()).await.unwrap().counts();
        assert_eq!((second.conflict, second.rewrapped), (0, 1));
        let required = tenant("acme");
        let object = store.open("a", &Access::kms(&rotated, &required)).await.unwrap();
        assert_eq!(*object.read().await.unwrap(), b"a");
    })
    .await;
}

// ENV-41
#[tokio::test]
async fn what_a_writer_left_is_swept() {
    let google = Google::start();
    let store = store(&google);
    fits(&google, async {
        let (context, kek) = (context(), kek(1));
        let plan = Plan::new(&context).kms(&kek);
        let writer = store.writer("dropped", &plan, NOW, &mut SeededRng::new(1)).await.unwrap();
        drop(writer);
        seal(&store, "kept", b"kept", 2).await.unwrap();
        let swept = store.sweep(Duration::ZERO, LATER).await.unwrap();
        assert_eq!(swept.deleted.len(), 1);
        assert_eq!(store.orphans().await.unwrap(), Default::default());
        let required = tenant("acme");
        store.open("kept", &Access::kms(&kek, &required)).await.unwrap();
    })
    .await;
}

/// Asks with these headers and this body, and says what did not fit.
fn ask(google: &Google, request: &str, headers: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(google.address()).unwrap();
    let head = format!("{request} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n{body}", google.address());
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let misfit = google.state().misfits.pop();
    let is_refused = answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.1 401");
    assert_eq!(is_refused, misfit.is_some(), "{answer}");
    misfit
}

#[test]
fn a_request_that_does_not_fit_is_refused_by_name() {
    let google = Google::start();
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let empty = format!("{bearer}Content-Length: 0\r\n");
    let create = format!("{empty}x-goog-if-generation-match: 0\r\n");
    assert_eq!(ask(&google, "PUT /acme-archive/a", &create, ""), None, "the control");
    for (request, headers, expected) in [
        ("GET /acme-archive/a", "", "GET Object: not authorized"),
        ("GET /acme-archive/a", "Authorization: Bearer b\r\n", "GET Object: not authorized"),
        ("GET /other/a", &bearer, "GET Object: bucket `other`"),
        ("PATCH /acme-archive/a", &bearer, "PATCH of `a`: no such request"),
        ("POST /acme-archive/a", &empty, "POST of `a`: no such request"),
        ("GET /acme-archive", &bearer, "GET of ``: no such request"),
        ("GET /acme-archive?list-type=1", &bearer, "List Objects: `list-type` is not 2"),
        ("GET /acme-archive?list-type=2&marker=a", &bearer, "List Objects: query `marker`"),
        ("GET /acme-archive/a?versionId=1", &bearer, "GET Object: query `versionId`"),
        ("GET /acme-archive/%zz", &bearer, "`%zz` is not percent-encoded"),
        ("PUT /acme-archive/a", &bearer, "PUT Object: no header `content-length`"),
        ("PUT /acme-archive/a", &empty, "PUT Object: no header `x-goog-if-generation-match`"),
        (
            "PUT /acme-archive/a",
            &format!("{create}x-amz-date: 1\r\n"),
            "PUT Object: header `x-amz-date`",
        ),
        (
            "PUT /acme-archive/a",
            &format!("{empty}x-goog-if-generation-match: \"1\"\r\n"),
            "PUT Object: `\"1\"` of `a` is no number",
        ),
        ("PUT /acme-archive/a", &format!("{create}{empty}"), "`authorization` twice"),
        ("GET /acme-archive/a", &format!("{bearer}If-Match: 1\r\n"), "GET Object: if-match `1`"),
        (
            "GET /acme-archive/a",
            &format!("{bearer}Range: bytes=5-4\r\n"),
            "GET Object: range `bytes=5-4`",
        ),
        ("PUT /acme-archive/a?partNumber=0&uploadId=1", &empty, "Upload Part: number 0"),
        ("POST /acme-archive/a?uploads=1", &empty, "Initiate Upload: with a body or a value"),
    ] {
        assert_eq!(ask(&google, request, headers, "").as_deref(), Some(expected), "{request}");
    }
}

#[test]
fn an_upload_that_does_not_fit_is_not_completed() {
    let google = Google::start();
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let send = |request: &str, body: &str| {
        let headers = format!("{bearer}Content-Length: {}\r\n", body.len());
        ask(&google, request, &headers, body)
    };
    let complete = "POST /acme-archive/a?uploadId=ABPnzm7-1";
    let part = |number: u64| {
        let tag = format!("{number:016x}{:016x}", 5);
        format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{tag}\"</ETag></Part>")
    };
    let listed = |parts: &[String]| {
        format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.concat())
    };
    assert_eq!(send("POST /acme-archive/a?uploads", ""), None);
    for number in [1, 2] {
        let request = format!("PUT /acme-archive/a?partNumber={number}&uploadId=ABPnzm7-1");
        assert_eq!(send(&request, "bytes"), None);
    }
    let unasked = "Complete Upload: nobody asked what stands there";
    assert_eq!(send(complete, &listed(&[part(1)])).as_deref(), Some(unasked));
    assert_eq!(ask(&google, "HEAD /acme-archive/a", &bearer, ""), None);
    for (parts, expected) in [
        (&[part(1), part(2)][..], "Complete Upload: part 1 is too small"),
        (&[part(3)], "Complete Upload: part 3"),
        (&[part(1).replace("\"0", "\"1")], "Complete Upload: part 1"),
        (&[], "Complete Upload: body <CompleteMultipartUpload></CompleteMultipartUpload>"),
    ] {
        assert_eq!(send(complete, &listed(parts)).as_deref(), Some(expected));
    }
    assert_eq!(send(complete, &listed(&[part(2)])), None, "the control");
}
