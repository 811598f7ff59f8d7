//! Rotation that is killed, repeated, and run twice at once.

use std::{collections::BTreeMap, sync::Arc};

use object_store::{ObjectStore, memory::InMemory};
use sealwire_core::Timestamp;
use sealwire_envelope::{
    Dek, Error, KeyRecord, ObjectId, WrapBinding,
    audit::Counts,
    kms::{KeyId, KeyRef, KeyVersion, Kms, KmsError, Pending, Wrapped},
    local::LocalKeys,
    ring::{KekRing, Schedule},
    store::{Outcome, Progress, Rewrap, Store, Watch},
};
use sealwire_testkit::rng::SeededRng;

use crate::{
    Kek,
    faults::unless_killed,
    kek, keys, memory, open,
    probe::{Fault, Probe},
    rewrap, seal,
    support::{NOW, now_or_never},
};

/// What a run said.
#[derive(Default)]
struct Heard {
    outcomes: BTreeMap<ObjectId, Outcome>,
    progress: Option<String>,
}

impl Watch for Heard {
    fn record(&mut self, object: ObjectId, outcome: &Outcome) {
        self.outcomes.insert(object, outcome.clone());
    }

    fn progress(&mut self, progress: &Progress) {
        self.progress = Some(progress.to_json().unwrap());
    }
}

const OBJECTS: u64 = 6;

/// Six objects under version 1, in a store that can fail.
fn six(objects: Arc<dyn ObjectStore>) -> (Probe, Store) {
    let probe = Probe::new(objects);
    let store = Store::new(Arc::new(probe.clone()), "t").unwrap();
    (0..OBJECTS).for_each(|n| {
        seal(&store, &n.to_string(), &kek(1), n.to_string().as_bytes(), n).unwrap();
    });
    (probe, store)
}

fn all_open(store: &Store, kek: &Kek) {
    for n in 0..OBJECTS {
        assert_eq!(open(store, &n.to_string(), kek).unwrap(), n.to_string().as_bytes());
    }
}

fn counts(counts: [u64; 6]) -> Counts {
    let [current, rewrapped, conflict, excluded, failed, scanned] = counts;
    Counts { current, rewrapped, conflict, excluded, failed, scanned }
}

// attack T27
// ENV-26, ENV-40
#[test]
fn a_rewrap_that_is_killed_anywhere_strands_nothing_and_is_finished() {
    let rotated = kek(2);
    let mut done_before_kill = std::collections::BTreeSet::new();
    for fault in [Fault::Kill, Fault::Full, Fault::Refuse, Fault::LoseAnswer, Fault::Away] {
        for at in 0.. {
            let (probe, store) = six(Arc::new(InMemory::new()));
            probe.fail(at, fault);
            let mut heard = Heard::default();
            let run = Rewrap::new(&rotated);
            let ended = unless_killed(store.rewrap_all(&run, None, NOW, &mut heard));
            let met = probe.asked() > at;
            probe.heal();
            if let Some(Ok(progress)) = &ended {
                assert!(progress.counts().is_exact(), "{fault:?} {at}");
                assert_eq!(progress.counts().scanned, heard.outcomes.len() as u64);
                // A store that does nothing any more ends the run.
                let done = progress.counts().rewrapped;
                assert!(!met || fault != Fault::Away || done > 0, "{fault:?} {at}");
            }

            // Every object opens with the keys that there are, and all old ones with the old key.
            all_open(&store, &rotated);
            let census = now_or_never(store.census(NOW)).unwrap();
            let old = id(&rotated, "1");
            let newest = id(&rotated, "2");
            let outdated: u64 = census.outdated(&newest).map(|(_, count)| count).sum();
            assert_eq!(outdated, census.references(&old));
            if fault == Fault::Kill {
                done_before_kill.insert(OBJECTS - census.references(&old));
            }

            // The old key goes only when nothing refers to it.
            let mut ring = KekRing::new(old.clone(), Timestamp::from_secs(0));
            let no_grace = Schedule { grace_days: 0, ..Schedule::default() };
            ring.rotate(newest.clone(), &no_grace, NOW).unwrap();
            assert_eq!(ring.retire(&old, &census, NOW).is_ok(), census.references(&old) == 0);

            // From what was heard, or from the beginning: the rest is done, and all is counted.
            let resume = heard.progress.map(|text| Progress::from_json(&text, &rotated).unwrap());
            for resume in [resume, None] {
                let finished = rewrap(&store, &run, resume, &mut ()).unwrap();
                assert!(finished.counts().is_exact());
                assert_eq!(finished.counts().scanned, OBJECTS, "{fault:?} {at}");
            }
            let census = now_or_never(store.census(NOW)).unwrap();
            assert_eq!((census.references(&old), census.records()), (0, OBJECTS));
            assert_eq!(census.outdated(&newest).count(), 0);
            let mut keys = LocalKeys::from_bytes(&keys(2).to_bytes()).unwrap();
            keys.remove(&old.version).unwrap();
            all_open(&store, &Kek::new(keys.into(), SeededRng::new(3)));
            if !met {
                break;
            }
        }
    }
    assert_eq!(done_before_kill, (0..=OBJECTS).collect(), "killed after each k of n");
}

fn id(kek: &Kek, version: &str) -> KeyId {
    KeyId { key: kek.key().clone(), version: KeyVersion::new(version).unwrap() }
}

// attack T27
// ENV-37, ENV-40
#[test]
fn two_rewrappers_at_once_do_the_work_once() {
    let rotated = kek(2);
    let folder = tempfile::tempdir().unwrap();
    let local = Store::local(folder.path(), "t").unwrap();
    (0..OBJECTS).for_each(|n| {
        seal(&local, &n.to_string(), &kek(1), n.to_string().as_bytes(), n).unwrap();
    });
    for store in [six(Arc::new(InMemory::new())).1, local] {
        // The second one does all of it between the first one's reading and its writing.
        let (first, other) = (another_kek(), store.clone());
        let during = move || drop(rewrap(&other, &Rewrap::new(&first), None, &mut ()).unwrap());
        let racing = meanwhile(during);
        let run = Rewrap::new(&racing);
        let late = *rewrap(&store, &run, None, &mut ()).unwrap().counts();
        assert!(late.is_exact());
        assert_eq!((late.scanned, late.failed), (OBJECTS, 0));
        assert_eq!(late.rewrapped, 0);
        assert!(late.conflict >= 1, "{late:?}");
        all_open(&store, &rotated);
        let run = Rewrap::new(&rotated);
        let again = *rewrap(&store, &run, None, &mut ()).unwrap().counts();
        assert_eq!(again, counts([OBJECTS, 0, 0, 0, 0, OBJECTS]));
    }
}

/// The same keys with salts of its own: no two wraps are alike.
fn another_kek() -> Kek {
    Kek::new(keys(2), SeededRng::new(79))
}

// attack T27
// ENV-37
#[test]
fn a_link_in_the_place_of_a_new_record_is_not_followed() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let local = Store::local(folder.path(), "").unwrap();
    let object = seal(&local, "a", &kek(1), b"content", 1).unwrap().object();
    let victim = elsewhere.path().join("victim");
    std::fs::write(&victim, "not a record").unwrap();
    let staged = folder.path().join(format!("{}#0", KeyRecord::name(object)));
    std::os::unix::fs::symlink(&victim, staged).unwrap();
    let counts = *rewrap(&local, &Rewrap::new(&kek(2)), None, &mut ()).unwrap().counts();
    assert_eq!((counts.rewrapped, counts.scanned), (1, 1));
    assert_eq!(std::fs::read(&victim).unwrap(), b"not a record");
    assert_eq!(open(&local, "a", &kek(2)).unwrap(), b"content");
}

// ENV-37
#[test]
fn rewrappers_in_two_threads_wrap_each_record_once() {
    let folder = tempfile::tempdir().unwrap();
    let local = Store::local(folder.path(), "").unwrap();
    for n in 0..40 {
        seal(&local, &n.to_string(), &kek(1), b"content", n).unwrap();
    }
    let (one, other) = (kek(2), another_kek());
    let run = |kek: &Kek| *rewrap(&local, &Rewrap::new(kek), None, &mut ()).unwrap().counts();
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| run(&other));
        (run(&one), other.join().unwrap())
    });
    for counts in [one, other] {
        assert!(counts.is_exact() && counts.scanned == 40 && counts.failed == 0, "{counts:?}");
    }
    assert_eq!(one.rewrapped + other.rewrapped, 40);
    (0..40).for_each(|n| assert_eq!(open(&local, &n.to_string(), &kek(2)).unwrap(), b"content"));
}

// ENV-37, ENV-42
#[test]
fn what_is_erased_while_it_is_rewrapped_stays_erased() {
    let folder = tempfile::tempdir().unwrap();
    for store in [memory().1, Store::local(folder.path(), "").unwrap()] {
        seal(&store, "a", &kek(1), b"a", 1).unwrap();
        seal(&store, "b", &kek(1), b"b", 2).unwrap();
        let erasing = store.clone();
        let during = move || drop(now_or_never(erasing.erase("a")));
        let racing = meanwhile(during);
        let run = rewrap(&store, &Rewrap::new(&racing), None, &mut ()).unwrap();
        let Counts { rewrapped, conflict, scanned, .. } = *run.counts();
        // It was erased while it was rewrapped, or before it was looked at.
        assert_eq!((rewrapped, conflict), (1, scanned - 1));
        assert_eq!(now_or_never(store.orphans()).unwrap(), Default::default());
        assert_eq!(now_or_never(store.census(NOW)).unwrap().records(), 1);
        assert_eq!(open(&store, "b", &kek(2)).unwrap(), b"b");
    }
}

/// A key service during whose answer something else happens.
fn meanwhile(something: impl Fn() + Send + Sync) -> impl Kms {
    let meddle = move |_: &Kek, _: &[(Wrapped, WrapBinding)], answers: Answers| {
        something();
        Ok(answers)
    };
    Meddled { kek: kek(2), meddle }
}

/// A key service between whose answers and their reader somebody stands.
struct Meddled<F> {
    kek: Kek,
    meddle: F,
}

/// What is said instead of the service's answers to these wraps.
type Lie = fn(&Kek, &[(Wrapped, WrapBinding)], Answers) -> Result<Answers, KmsError>;

type Answers = Vec<Result<Wrapped, KmsError>>;

impl<F> core::fmt::Debug for Meddled<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Meddled")
    }
}

impl<F> Kms for Meddled<F>
where
    F: Fn(&Kek, &[(Wrapped, WrapBinding)], Answers) -> Result<Answers, KmsError> + Send + Sync,
{
    fn key(&self) -> &KeyRef {
        self.kek.key()
    }

    fn version(&self) -> Pending<'_, KeyVersion> {
        self.kek.version()
    }

    fn wrap<'a>(&'a self, dek: &'a Dek, binding: &'a WrapBinding) -> Pending<'a, Wrapped> {
        self.kek.wrap(dek, binding)
    }

    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, binding: &'a WrapBinding) -> Pending<'a, Dek> {
        self.kek.unwrap(wrapped, binding)
    }

    fn rewrap<'a>(
        &'a self,
        wraps: &'a [(Wrapped, WrapBinding)],
    ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>> {
        let answers = now_or_never(self.kek.rewrap(wraps)).unwrap();
        Box::pin(core::future::ready((self.meddle)(&self.kek, wraps, answers)))
    }
}

// attack T27
// ENV-40
#[test]
fn a_key_service_that_lies_or_fails_changes_no_record() {
    let lies: [(&str, Lie); 8] = [
        ("times out", |_, _, _| Err(KmsError::Unavailable("timeout".into()))),
        ("throttles", |_, _, _| Err(KmsError::Throttled(None))),
        ("throttles each", |_, wraps, _| Ok(vec![Err(KmsError::Throttled(None)); wraps.len()])),
        ("answers too little", |_, _, mut answers| {
            answers.pop();
            Ok(answers)
        }),
        ("answers with the old version", |_, wraps, _| {
            Ok(wraps.iter().map(|(wrapped, _)| Ok(wrapped.clone())).collect())
        }),
        ("answers in another order", |_, _, mut answers| {
            answers.rotate_left(1);
            Ok(answers)
        }),
        ("answers with a bit flipped", |_, _, answers| {
            let flip = |mut wrapped: Wrapped| {
                wrapped.ciphertext[60] ^= 1;
                wrapped
            };
            Ok(answers.into_iter().map(|answer| answer.map(flip)).collect())
        }),
        ("wraps another key", |kek, wraps, _| {
            let other = Dek::from_unwrapped(&[9; 32]).unwrap();
            Ok(wraps.iter().map(|(_, binding)| kek.wrap_now(&other, binding)).collect())
        }),
    ];
    for (name, lie) in lies {
        let (_, store) = six(Arc::new(InMemory::new()));
        let lying = Meddled { kek: kek(2), meddle: lie };
        let run = Rewrap::new(&lying).verified();
        let ended = rewrap(&store, &run, None, &mut ());
        if let Ok(progress) = ended {
            // One batch a folder; with a single wrap there is no other order.
            let Counts { rewrapped, failed, scanned, .. } = *progress.counts();
            assert_eq!(rewrapped + failed, scanned, "{name}");
            assert!(failed == OBJECTS || name == "answers in another order", "{name}");
        } else {
            assert!(matches!(ended, Err(Error::Kms(_))), "{name}");
        }
        all_open(&store, &kek(2));
    }
}

// ENV-40
#[test]
fn what_is_left_out_or_unreadable_is_counted_and_stays() {
    let objects = Arc::new(InMemory::new());
    let (_, store) = six(Arc::clone(&objects) as Arc<dyn ObjectStore>);
    let sealed = seal(&store, "more", &kek(1), b"more", 50).unwrap();
    let more = object_store::path::Path::from(format!("t/{}", KeyRecord::name(sealed.object())));
    let garbage = object_store::PutPayload::from_static(b"garbage");
    now_or_never(object_store::ObjectStoreExt::put(&*objects, &more, garbage)).unwrap();

    let first = now_or_never(store.names()).unwrap();
    assert_eq!(first.len() as u64, OBJECTS + 1);
    let rotated = kek(2);
    let even = |record: &KeyRecord| record.binding().object().as_bytes()[15].is_multiple_of(2);
    let run = Rewrap::new(&rotated).only(&even);
    let mut heard = Heard::default();
    let ended = rewrap(&store, &run, None, &mut heard).unwrap();
    let Counts { rewrapped, excluded, failed, .. } = *ended.counts();
    assert_eq!((rewrapped + excluded, failed), (OBJECTS, 1));
    for (object, outcome) in &heard.outcomes {
        match outcome {
            Outcome::Rewrapped { from } => {
                assert_eq!(from.as_str(), "1");
                assert_eq!(object.as_bytes()[15] % 2, 0);
            }
            Outcome::Excluded => assert_eq!(object.as_bytes()[15] % 2, 1),
            other => assert!(
                *object == sealed.object() && matches!(other, Outcome::Failed(Error::Decode(_)))
            ),
        }
    }
    // Nobody knows what the unreadable one refers to.
    assert!(matches!(now_or_never(store.census(NOW)), Err(Error::Retire(_))));
}

// ENV-40
#[test]
fn progress_is_taken_only_for_the_same_version_of_the_same_key() {
    let (_, store) = six(Arc::new(InMemory::new()));
    let (second, third) = (kek(2), kek(3));
    let progress = rewrap(&store, &Rewrap::new(&second), None, &mut ()).unwrap();
    let text = progress.to_json().unwrap();
    assert_eq!(Progress::from_json(&text, &second).unwrap(), progress);
    let resumed = rewrap(&store, &Rewrap::new(&third), Some(progress), &mut ());
    assert!(matches!(resumed, Err(Error::Misuse(_))));
    for wrong in [
        text.replace("test", "best"),
        text.replace("\"scanned\":6", "\"scanned\":7"),
        text.replace("\"after\":\"", "\"after\":\"0"),
        String::new(),
    ] {
        assert!(Progress::from_json(&wrong, &second).is_err(), "{wrong}");
    }
}
