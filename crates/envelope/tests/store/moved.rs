//! Rotation to another key, of another provider.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use object_store::memory::InMemory;
use sealwire_envelope::{
    Dek, Error, KeyRecord, ObjectId, WrapBinding,
    audit::Counts,
    kms::{KeyId, KeyRef, KeyVersion, Kms, KmsError, Pending, Provider, Wrapped},
    local::LocalKeys,
    store::{Outcome, Plan, Progress, Rewrap, Store, Watch},
};
use sealwire_testkit::rng::SeededRng;

use crate::{
    Kek,
    faults::{FAULTS, unless_killed},
    kek, open,
    probe::Probe,
    rewrap, seal,
    support::{NOW, context, now_or_never},
};

const OBJECTS: u64 = 6;

/// The key that objects are brought to.
fn next(versions: u64) -> Kek {
    next_with(versions, 91)
}

/// The same key with salts of its own.
fn next_with(versions: u64, salts: u64) -> Kek {
    let mut rng = SeededRng::new(90);
    let mut keys = LocalKeys::generate("next", &mut rng).unwrap();
    (1..versions).for_each(|_| drop(keys.rotate(&mut rng).unwrap()));
    Kek::new(Arc::new(keys), SeededRng::new(salts))
}

fn id(kms: &dyn Kms) -> KeyId {
    KeyId { key: kms.key().clone(), version: now_or_never(kms.version()).unwrap() }
}

/// Six objects under the old key.
fn six() -> (Probe, Store) {
    let probe = Probe::new(Arc::new(InMemory::new()));
    let store = Store::new(Arc::new(probe.clone()), "t").unwrap();
    (0..OBJECTS).for_each(|n| {
        seal(&store, &n.to_string(), &kek(1), n.to_string().as_bytes(), n).unwrap();
    });
    (probe, store)
}

/// Each object opens with one of the two keys, and never with none.
fn all_open(store: &Store, with: &[&Kek]) {
    for n in 0..OBJECTS {
        let opened = with.iter().find_map(|kek| open(store, &n.to_string(), kek).ok());
        assert_eq!(opened.unwrap(), n.to_string().as_bytes());
    }
}

#[derive(Default)]
struct Heard {
    progress: Option<String>,
    failed: Vec<Error>,
}

impl Watch for Heard {
    fn record(&mut self, _: ObjectId, outcome: &Outcome) {
        if let Outcome::Failed(error) = outcome {
            self.failed.push(error.clone());
        }
    }

    fn progress(&mut self, progress: &Progress) {
        self.progress = Some(progress.to_json().unwrap());
    }
}

fn counts(counts: [u64; 6]) -> Counts {
    let [current, rewrapped, conflict, excluded, failed, scanned] = counts;
    Counts { current, rewrapped, conflict, excluded, failed, scanned }
}

// attack T27
// ENV-44
#[test]
fn a_run_to_another_key_that_is_killed_anywhere_strands_nothing_and_is_finished() {
    let (old, new) = (kek(1), next(2));
    let mut moved = BTreeSet::new();
    for fault in FAULTS {
        for at in 0.. {
            let (probe, store) = six();
            let mut heard = Heard::default();
            let run = Rewrap::new(&old).to(&new).verified();
            let dry = *rewrap(&store, &run.dry(), None, &mut ()).unwrap().counts();
            assert_eq!(dry, counts([0, OBJECTS, 0, 0, 0, OBJECTS]));
            probe.fail(at, fault);
            let ended = unless_killed(store.rewrap_all(&run, None, NOW, &mut heard));
            let met = probe.asked() > at;
            probe.heal();
            if let Some(Ok(progress)) = &ended {
                assert!(progress.counts().is_exact(), "{fault:?} {at}");
                assert_eq!(progress.target(), &id(&new));
            }
            all_open(&store, &[&old, &new]);
            let census = now_or_never(store.census(NOW)).unwrap();
            let (left, done) = (census.references(&id(&old)), census.references(&id(&new)));
            assert_eq!(left + done, OBJECTS);
            moved.insert(done);

            let resume = heard.progress.map(|text| Progress::from_json(&text, &new).unwrap());
            for resume in [resume, None] {
                let finished = rewrap(&store, &run, resume, &mut ()).unwrap();
                assert!(finished.counts().is_exact());
                assert_eq!(finished.counts().scanned, OBJECTS, "{fault:?} {at}");
            }
            let census = now_or_never(store.census(NOW)).unwrap();
            assert_eq!(census.references(&id(&old)), 0);
            all_open(&store, &[&new]);
            let again = *rewrap(&store, &run, None, &mut ()).unwrap().counts();
            assert_eq!(again, counts([OBJECTS, 0, 0, 0, 0, OBJECTS]));
            if !met {
                break;
            }
        }
    }
    assert_eq!(moved, (0..=OBJECTS).collect(), "killed after each k of n");
}

/// A key service that does something else than it is asked.
struct Odd {
    kek: Kek,
    public: bool,
    unwraps: fn(Dek) -> Result<Dek, KmsError>,
    wraps: fn(Wrapped) -> Result<Wrapped, KmsError>,
    during: Box<dyn Fn() + Send + Sync>,
}

impl Odd {
    fn new(kek: Kek) -> Self {
        Self { kek, public: false, unwraps: Ok, wraps: Ok, during: Box::new(|| ()) }
    }
}

impl core::fmt::Debug for Odd {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Odd")
    }
}

impl Kms for Odd {
    fn key(&self) -> &KeyRef {
        self.kek.key()
    }

    fn is_public_key(&self) -> bool {
        self.public
    }

    fn version(&self) -> Pending<'_, KeyVersion> {
        self.kek.version()
    }

    fn wrap<'a>(&'a self, dek: &'a Dek, binding: &'a WrapBinding) -> Pending<'a, Wrapped> {
        (self.during)();
        Box::pin(async move { (self.wraps)(self.kek.wrap(dek, binding).await?) })
    }

    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, binding: &'a WrapBinding) -> Pending<'a, Dek> {
        Box::pin(async move { (self.unwraps)(self.kek.unwrap(wrapped, binding).await?) })
    }

    fn rewrap<'a>(
        &'a self,
        wraps: &'a [(Wrapped, WrapBinding)],
    ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>> {
        self.kek.rewrap(wraps)
    }
}

// attack T27
// ENV-44
#[test]
fn services_that_lie_or_fail_change_no_record() {
    type Change = fn(&mut Odd, &mut Odd);
    let lies: [(&str, Change); 7] = [
        ("the old one unwraps nothing", |old, _| old.unwraps = |_| Err(KmsError::Open)),
        ("the old one is away", |old, _| old.unwraps = |_| Err(KmsError::Throttled(None))),
        ("the new one wraps nothing", |_, new| {
            new.wraps = |_| Err(KmsError::Denied("no right".into()));
        }),
        ("the new one wraps for another key", |_, new| {
            new.wraps = |wrapped| {
                let key = KeyRef::new(Provider::Local, "third").unwrap();
                Ok(Wrapped { key, ..wrapped })
            };
        }),
        ("the new one wraps with another version", |_, new| {
            new.wraps = |wrapped| {
                let version = KeyVersion::new("1").unwrap();
                Ok(Wrapped { version, ..wrapped })
            };
        }),
        ("the new one wraps with a public key", |_, new| {
            new.wraps = |wrapped| Ok(Wrapped { algorithm: "RSA-OAEP".into(), ..wrapped });
        }),
        ("the new one wraps another data key", |_, new| {
            new.unwraps = |_| Ok(Dek::from_unwrapped(&[9; 32]).unwrap());
        }),
    ];
    for (name, lie) in lies {
        let (_, store) = six();
        let (mut old, mut new) = (Odd::new(kek(1)), Odd::new(next(2)));
        lie(&mut old, &mut new);
        let run = Rewrap::new(&old).to(&new).verified();
        match rewrap(&store, &run, None, &mut ()) {
            Ok(progress) => {
                assert_eq!(*progress.counts(), counts([0, 0, 0, 0, OBJECTS, OBJECTS]), "{name}");
            }
            Err(error) => assert_eq!(error, Error::Kms(KmsError::Throttled(None)), "{name}"),
        }
        all_open(&store, &[&kek(1)]);
        for n in 0..OBJECTS {
            assert_eq!(open(&store, &n.to_string(), &next(2)), Err(Error::NoSlot), "{name}");
        }
    }
}

// attack T27
// ENV-37, ENV-44
#[test]
fn two_runs_to_another_key_do_the_work_once() {
    let (_, store) = six();
    let other = store.clone();
    let during = move || {
        let (old, new) = (kek(1), next_with(2, 92));
        drop(rewrap(&other, &Rewrap::new(&old).to(&new), None, &mut ()).unwrap());
    };
    let (old, mut racing) = (kek(1), Odd::new(next(2)));
    racing.during = Box::new(during);
    let late = rewrap(&store, &Rewrap::new(&old).to(&racing), None, &mut ()).unwrap();
    let Counts { current, rewrapped, conflict, scanned, .. } = *late.counts();
    assert_eq!((rewrapped, current + conflict, scanned), (0, OBJECTS, OBJECTS));
    assert!(conflict >= 1);
    all_open(&store, &[&next(2)]);
}

// ENV-26, ENV-44
#[test]
fn a_record_with_slots_of_both_keys_keeps_one() {
    let (_, store) = six();
    let (context, old, new) = (context(), kek(1), next(1));
    let third = LocalKeys::generate("third", &mut SeededRng::new(5)).unwrap();
    let third = Kek::new(third.into(), SeededRng::new(6));
    let plan = Plan::new(&context).kms(&old).kms(&third).kms(&new);
    now_or_never(store.seal("all", &plan, b"all", NOW, &mut SeededRng::new(40))).unwrap();
    let plan = Plan::new(&context).kms(&third);
    now_or_never(store.seal("other", &plan, b"other", NOW, &mut SeededRng::new(41))).unwrap();

    // The slot that the new key has must hold the same data key, where a run verifies.
    let mut lying = Odd::new(next(2));
    lying.unwraps = |_| Ok(Dek::from_unwrapped(&[9; 32]).unwrap());
    let run = Rewrap::new(&old).to(&lying).verified();
    let lied = *rewrap(&store, &run, None, &mut ()).unwrap().counts();
    assert_eq!(lied, counts([0, 0, 0, 1, OBJECTS + 1, OBJECTS + 2]));
    assert_eq!(open(&store, "all", &old).unwrap(), b"all");

    let new = next(2);
    let run = Rewrap::new(&old).to(&new).verified();
    let done = *rewrap(&store, &run, None, &mut ()).unwrap().counts();
    assert_eq!(done, counts([0, OBJECTS + 1, 0, 1, 0, OBJECTS + 2]));
    let census = now_or_never(store.census(NOW)).unwrap();
    let references = |kms: &dyn Kms| census.references(&id(kms));
    assert_eq!([&old, &new, &third].map(|kek| references(kek)), [0, OBJECTS + 1, 2]);
    assert_eq!(census.references(&id(&next(1))), 0, "the older slot of the new key is replaced");
    for kek in [&new, &third] {
        assert_eq!(open(&store, "all", kek).unwrap(), b"all");
    }
}

// attack T12
// ENV-24, ENV-44
#[test]
fn a_slot_that_anyone_can_make_does_not_become_one_that_opens_without_a_signature() {
    let (_, store) = six();
    let misuse = |old: &Odd, new: &dyn Kms| {
        let ended = rewrap(&store, &Rewrap::new(old).to(new), None, &mut ());
        assert!(matches!(ended, Err(Error::Misuse(_))), "{ended:?}");
    };
    let (mut public, secret) = (Odd::new(kek(1)), Odd::new(kek(1)));
    public.public = true;
    misuse(&public, &next(1));
    let mut public = Odd::new(next(1));
    public.public = true;
    misuse(&secret, &public);
    misuse(&secret, &kek(2));

    // The service says nothing of it, but the record does.
    let mut rsa = Odd::new(kek(1));
    rsa.wraps = |wrapped| Ok(Wrapped { algorithm: "RSA-OAEP".into(), ..wrapped });
    let context = context();
    let plan = Plan::new(&context).kms(&rsa);
    now_or_never(store.seal("forged", &plan, b"", NOW, &mut SeededRng::new(50))).unwrap();
    let (mut heard, new) = (Heard::default(), next(1));
    let ended = rewrap(&store, &Rewrap::new(&kek(1)).to(&new), None, &mut heard).unwrap();
    assert_eq!(*ended.counts(), counts([0, OBJECTS, 0, 0, 1, OBJECTS + 1]));
    assert_eq!(heard.failed, [Error::Sealer]);
}

// ENV-40, ENV-44
#[test]
fn progress_is_taken_only_for_the_same_two_keys() {
    let (_, store) = six();
    let (old, new) = (kek(1), next(2));
    let run = Rewrap::new(&old).to(&new);
    let progress = rewrap(&store, &run, None, &mut ()).unwrap();
    let text = progress.to_json().unwrap();
    assert!(text.contains(r#""version":"2","from":"local:test","after":"#), "{text}");
    assert_eq!(Progress::from_json(&text, &new).unwrap(), progress);
    assert!(Progress::from_json(&text, &old).is_err());
    let third = LocalKeys::generate("third", &mut SeededRng::new(5)).unwrap();
    let third = Kek::new(third.into(), SeededRng::new(6));
    let newer = next(3);
    let (within, from_third) = (Rewrap::new(&new), Rewrap::new(&third).to(&new));
    for other in [within, from_third, Rewrap::new(&old).to(&newer)] {
        let resumed = rewrap(&store, &other, Some(progress.clone()), &mut ());
        assert!(matches!(resumed, Err(Error::Misuse(_))), "{other:?}");
    }
    assert!(rewrap(&store, &run, Some(progress), &mut ()).is_ok());
}

static SEEN: AtomicBool = AtomicBool::new(false);

#[test]
fn only_what_is_asked_for_is_brought_to_another_key() {
    let (_, store) = six();
    let (old, new) = (kek(1), next(1));
    let even = |record: &KeyRecord| {
        SEEN.store(true, Ordering::SeqCst);
        record.binding().object().as_bytes()[15].is_multiple_of(2)
    };
    let ended = rewrap(&store, &Rewrap::new(&old).to(&new).only(&even), None, &mut ()).unwrap();
    let Counts { rewrapped, excluded, scanned, .. } = *ended.counts();
    assert!(SEEN.load(Ordering::SeqCst));
    assert_eq!((rewrapped + excluded, scanned), (OBJECTS, OBJECTS));
    let census = now_or_never(store.census(NOW)).unwrap();
    assert_eq!(census.references(&id(&new)), rewrapped);
    assert_eq!(census.references(&id(&old)), excluded);
}
