//! A service that is down, slow, throttled, or lies.

use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use sealwire_core::{Suite, Timestamp};
use sealwire_custody::kms::HttpSettings;
use sealwire_envelope::{
    Context, Dek, Draft, Error, Head, KeyRecord, Pairs,
    kms::{Kms, KmsError},
};
use sealwire_testkit::rng::SeededRng;
use serde_json::json;

use crate::{
    contract::{dek, unwrapped, w},
    fake::{Fake, Fault, Told},
};

/// A provider whose service can be made to fail.
pub(crate) trait Faulty {
    fn kms(&self) -> &dyn Kms;
    fn fake(&self) -> &Fake;
}

/// Much longer than every deadline here, on a machine that has other work too, and much shorter
/// than what a service can ask to wait for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Short times, so that a test of them is short too.
pub(crate) fn quick() -> HttpSettings {
    let mut settings = HttpSettings::default();
    settings.answer = Duration::from_millis(700);
    settings.deadline = Duration::from_secs(2);
    settings
}

/// What every call gives, of which none succeeds.
async fn refusals(service: &impl Faulty, fault: Fault) -> Vec<KmsError> {
    let kms = service.kms();
    let wrapped = kms.wrap(&dek(7), &w()).await.expect("wraps");
    service.fake().fail_always(fault);
    let (dek, w) = (dek(7), w());
    let wraps = [(wrapped.clone(), w)];
    let (version, wrap, unwrap, rewrapped) = tokio::join!(
        kms.version(),
        kms.wrap(&dek, &w),
        kms.unwrap(&wrapped, &w),
        kms.rewrap(&wraps)
    );
    vec![
        version.expect_err("no version"),
        wrap.expect_err("no wrap"),
        unwrap.err().expect("no key"),
        rewrapped.and_then(|mut each| each.remove(0)).expect_err("no wrap"),
    ]
}

// attack T27
// KMS-9: what was done is done again, and comes to the same.
pub(crate) async fn dropped(service: impl Faulty) {
    for fault in [Fault::DropAfterApply, Fault::CutAnswer] {
        let (kms, fake) = (service.kms(), service.fake());
        fake.fail([fault.clone()]);
        let wrapped = kms.wrap(&dek(7), &w()).await.expect("wraps after all");
        fake.fail([fault.clone()]);
        assert_eq!(unwrapped(kms, &wrapped, &w()).await, [7; Dek::LEN]);
        fake.fail([fault.clone()]);
        let rewrapped = kms.rewrap(&[(wrapped, w())]).await.expect("rewraps after all");
        let rewrapped = rewrapped[0].as_ref().expect("rewrapped");
        assert_eq!(unwrapped(kms, rewrapped, &w()).await, [7; Dek::LEN]);
        fake.fail([fault]);
        kms.version().await.expect("a version after all");
        let asked = fake.asked();
        assert!(asked.len() >= 9, "each was asked twice: {}", asked.len());
    }
}

// attack T27
// KMS-9
pub(crate) async fn down(service: impl Faulty) {
    let started = Instant::now();
    for error in refusals(&service, Fault::DropAfterApply).await {
        assert!(matches!(error, KmsError::Unavailable(_)), "{error}");
    }
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    let asked = service.fake().asked().len();
    assert!((12..60).contains(&asked), "{asked} calls");
}

// attack T27
// KMS-9
pub(crate) async fn slow(service: impl Faulty) {
    let started = Instant::now();
    for error in refusals(&service, Fault::Stall).await {
        assert!(matches!(error, KmsError::Unavailable(_)), "{error}");
    }
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

// attack T27
// KMS-9
pub(crate) async fn throttled(service: impl Faulty) {
    let (kms, fake) = (service.kms(), service.fake());
    let wrapped = kms.wrap(&dek(7), &w()).await.expect("wraps");
    fake.fail([Fault::Instead(Told::new(429, "").with("retry-after", 1))]);
    let started = Instant::now();
    assert_eq!(unwrapped(kms, &wrapped, &w()).await, [7; Dek::LEN]);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());

    // Longer than the deadline: said at once, and no longer than a minute.
    let (told, started) = (Told::new(429, "").with("retry-after", u64::MAX), Instant::now());
    for error in refusals(&service, Fault::Instead(told)).await {
        assert_eq!(error, KmsError::Throttled(Some(Duration::from_secs(60))));
    }
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

// attack T27
// KMS-4, KMS-5
pub(crate) async fn lies(service: impl Faulty) {
    let secret = Base64::encode_string(dek(7).expose());
    for (name, told) in [
        ("nothing", Told::new(200, "")),
        ("no JSON", Told::new(200, format!("<html>{secret}"))),
        ("other JSON", Told::new(200, format!("{{\"data\":\"{secret}\"}}"))),
        ("a list", Told::new(200, "[]")),
        ("no text", Told::new(200, "\u{0}\u{1}")),
        ("too much", Told::new(200, " ".repeat(70_000))),
        (
            "an echo",
            Told::new(400, format!("{{\"errors\":[\"{secret}\"],\"__type\":\"{secret}\"}}")),
        ),
        ("no status of theirs", Told::new(418, &secret)),
    ] {
        let (kms, fake) = (service.kms(), service.fake());
        let wrapped = kms.wrap(&dek(7), &w()).await.expect("wraps");
        fake.asked();
        fake.fail([Fault::Instead(told)]);
        let error = kms.unwrap(&wrapped, &w()).await.err().expect(name);
        assert!(matches!(error, KmsError::Answer(_)), "{name}: {error:?}");
        assert!(!format!("{error} {error:?}").contains(&secret), "{name}: {error:?}");
        assert_eq!(fake.asked().len(), 1, "{name}: what does not fit is not asked for again");
    }
}

// attack T11, T27: a data key of the right length, and another than was wrapped.
pub(crate) async fn wrong_key(service: impl Faulty) {
    let (kms, fake) = (service.kms(), service.fake());
    let context = Context::new([("tenant", "acme")]).expect("a context");
    let tenant = Pairs::new([("tenant", "acme")]).expect("pairs");
    let draft = Draft::new(Suite::ALL[0], &context, &mut SeededRng::new(1)).expect("a draft");
    let record = KeyRecord::wrap(&draft, kms, Timestamp::from_secs(1_800_000_000)).await;
    let record = record.expect("wraps");
    let body = draft.seal(&record, b"content").expect("seals");
    let (head, _) = Head::split(&body).expect("a head");
    let unlocked = record.unlock(kms, &head, &tenant, &()).await.expect("unlocks");
    assert_eq!(&*unlocked.open(&body).expect("opens"), b"content");

    let other = Base64::encode_string(&[9; Dek::LEN]);
    let told = json!({
        "KeyId": kms.key().key(), "Plaintext": other,
        "data": {"batch_results": [{"plaintext": other}]},
    });
    fake.fail([Fault::Instead(Told::new(200, told))]);
    let refused = record.unlock(kms, &head, &tenant, &()).await.map(|_| "it unlocked");
    assert_eq!(refused, Err(Error::Open));
    assert!(fake.asked().len() >= 3, "the service was asked");
}

// KMS-3
pub(crate) async fn redirected(service: impl Faulty) {
    let elsewhere = Fake::start(|_| Told::new(200, "{}"));
    for status in [301, 302, 303, 307, 308] {
        let told = Told::new(status, "").with("location", format!("{}/v1/x", elsewhere.address));
        service.fake().fail([Fault::Instead(told)]);
        let error = service.kms().wrap(&dek(7), &w()).await.expect_err("refused");
        assert!(matches!(error, KmsError::Answer(_)), "{status}: {error}");
    }
    assert!(elsewhere.asked().is_empty(), "a data key went elsewhere");
}

/// The faults, of `$make`, an async function that gives a [`Faulty`] of its own to each test.
macro_rules! kms_faults {
    ($make:path) => {
        $crate::faults::kms_faults!($make:
            dropped an_answer_that_was_lost_is_asked_for_again,
            down a_service_that_is_down_is_said_to_be,
            slow a_service_that_does_not_answer_is_given_up,
            throttled a_service_that_throttles_is_left_alone,
            lies answers_of_another_form_are_refused_without_being_quoted,
            wrong_key an_object_does_not_open_with_another_data_key,
            redirected no_request_is_led_to_another_address,
        );
    };
    ($make:path: $($fault:ident $name:ident),* $(,)?) => { $(
        #[tokio::test]
        async fn $name() {
            $crate::faults::$fault($make().await).await;
        }
    )* };
}
pub(crate) use kms_faults;
