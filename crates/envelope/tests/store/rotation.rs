//! A key is rotated, day by day: docs/rotation.md tells the same days.

use std::{collections::BTreeMap, sync::Arc};

use object_store::{ObjectStore, ObjectStoreExt, PutPayload, memory::InMemory, path::Path};
use sealwire_core::Timestamp;
use sealwire_envelope::{
    Error, KeyRecord, ObjectId, Sealed,
    audit::Counts,
    kms::{KeyId, KeyVersion, Kms},
    local::LocalKeys,
    ring::{Due, Entry, KekRing, Schedule, State},
    store::{Outcome, Plan, Progress, Rewrap, Store, Watch},
};
use sealwire_testkit::rng::SeededRng;

use crate::{
    Kek,
    faults::unless_killed,
    open,
    probe::{Fault, Probe},
    support::{NOW, context, now_or_never},
};

const DAY: u64 = 24 * 60 * 60;

/// Sealed on the first day.
const FIRST: usize = 30;
/// Sealed on the day after the rotation.
const LATER: usize = 10;
const ALL: u64 = 40;

const SCHEDULE: Schedule =
    Schedule { rotation_days: 90, grace_days: 30, reminder_days: 14, audit_days: 90 };

fn at(day: u64) -> Timestamp {
    NOW.plus(day * DAY)
}

/// What is on disk between two days: nothing is held in memory over night.
struct Office {
    objects: Arc<InMemory>,
    probe: Probe,
    store: Store,
    keys: Vec<u8>,
    ring: Vec<u8>,
    progress: Option<String>,
    sealed: BTreeMap<String, ObjectId>,
    seeds: u64,
}

impl Office {
    fn open() -> Self {
        let objects = Arc::new(InMemory::new());
        let probe = Probe::new(Arc::clone(&objects) as Arc<dyn ObjectStore>);
        let store = Store::new(Arc::new(probe.clone()), "acme").unwrap();
        let keys = LocalKeys::generate("archive", &mut SeededRng::new(1)).unwrap();
        let ring = KekRing::new(newest(&keys), at(0)).to_bytes();
        let keys = keys.to_bytes().to_vec();
        let (sealed, seeds) = (BTreeMap::new(), 100);
        Self { objects, probe, store, keys, ring, progress: None, sealed, seeds }
    }

    fn keys(&self) -> LocalKeys {
        LocalKeys::from_bytes(&self.keys).unwrap()
    }

    fn kek(&self) -> Kek {
        Kek::new(Arc::new(self.keys()), SeededRng::new(self.seeds + 1_000_000))
    }

    fn ring(&self) -> KekRing {
        KekRing::from_bytes(&self.ring).unwrap()
    }

    fn version(&self, version: &str) -> KeyId {
        KeyId { key: self.keys().key().clone(), version: KeyVersion::new(version).unwrap() }
    }

    fn seal(&mut self, count: usize, day: u64) {
        for _ in 0..count {
            self.seeds += 1;
            let name = format!("report-{:02}", self.sealed.len());
            let (context, kek) = (context(), self.kek());
            let plan = Plan::new(&context).kms(&kek);
            let mut rng = SeededRng::new(self.seeds);
            let seal = self.store.seal(&name, &plan, name.as_bytes(), at(day), &mut rng);
            let sealed: Sealed = now_or_never(seal).unwrap();
            self.sealed.insert(name, sealed.object());
        }
    }

    fn everything_opens(&self, day: u64) {
        let kek = self.kek();
        for name in self.sealed.keys() {
            let opened = open(&self.store, name, &kek);
            assert_eq!(opened.as_deref(), Ok(name.as_bytes()), "{name} on day {day}");
        }
    }

    /// How many key records refer to a version.
    fn references(&self, version: &str, day: u64) -> u64 {
        now_or_never(self.store.census(at(day))).unwrap().references(&self.version(version))
    }

    fn rotation_due(&self, day: u64) -> Due {
        self.ring().rotation_due(&SCHEDULE, at(day)).unwrap()
    }

    fn rotate(&mut self, day: u64) {
        let (mut keys, mut ring) = (self.keys(), self.ring());
        keys.rotate(&mut SeededRng::new(2)).unwrap();
        ring.rotate(newest(&keys), &SCHEDULE, at(day)).unwrap();
        (self.keys, self.ring) = (keys.to_bytes().to_vec(), ring.to_bytes());
    }

    /// What a run would do, without doing it.
    fn dry(&self, day: u64) -> Counts {
        let kek = self.kek();
        let run = Rewrap::new(&kek).dry();
        *now_or_never(self.store.rewrap_all(&run, None, at(day), &mut ())).unwrap().counts()
    }

    /// A run that goes on where the last one was killed. `None` where this one is killed too.
    fn rewrap(&mut self, day: u64) -> Option<Counts> {
        let kek = self.kek();
        let resume = self.progress.take();
        let resume = resume.map(|saved| Progress::from_json(&saved, &kek).unwrap());
        let mut notes = Notes(resume.as_ref().map(|progress| progress.to_json().unwrap()));
        let run = Rewrap::new(&kek).verified();
        let ended = unless_killed(self.store.rewrap_all(&run, resume, at(day), &mut notes));
        match ended {
            Some(ended) => Some(*ended.unwrap().counts()),
            None => {
                self.progress = notes.0;
                None
            }
        }
    }

    fn retire(&mut self, version: &str, day: u64) -> Result<(), Error> {
        let census = now_or_never(self.store.census(at(day)))?;
        let mut ring = self.ring();
        ring.retire(&self.version(version), &census, at(day))?;
        self.ring = ring.to_bytes();
        Ok(())
    }

    fn record(&self, name: &str) -> (Path, PutPayload) {
        let path = Path::from(format!("acme/{}", KeyRecord::name(self.sealed[name])));
        let bytes = now_or_never(async { self.objects.get(&path).await.unwrap().bytes().await });
        (path, bytes.unwrap().into())
    }
}

/// The place of a run that is kept on disk.
struct Notes(Option<String>);

impl Watch for Notes {
    fn record(&mut self, _object: ObjectId, outcome: &Outcome) {
        assert!(matches!(outcome, Outcome::Current | Outcome::Rewrapped { .. }), "{outcome:?}");
    }

    fn progress(&mut self, progress: &Progress) {
        self.0 = Some(progress.to_json().unwrap());
    }
}

fn newest(keys: &LocalKeys) -> KeyId {
    let version = keys.versions().unwrap().pop().unwrap();
    KeyId { key: keys.key().clone(), version }
}

fn counts(current: u64, rewrapped: u64) -> Counts {
    Counts { current, rewrapped, scanned: current + rewrapped, ..Counts::default() }
}

// attack T27
// ENV-30, ENV-31, ENV-32, ENV-40
#[test]
fn rotation_is_shown_day_by_day() {
    let mut office = Office::open();
    let mut backup = None;
    for day in 0..=122 {
        match day {
            0 => office.seal(FIRST, day),
            50 => backup = Some(office.record("report-07")),
            75 => assert_eq!(office.rotation_due(day), Due::Later(at(90))),
            76 => assert_eq!(office.rotation_due(day), Due::Soon(at(90))),
            90 => {
                assert_eq!(office.rotation_due(day), Due::Now(at(90)));
                office.rotate(day);
                assert_eq!(office.rotation_due(day), Due::Later(at(180)));
            }
            91 => new_objects_use_the_new_version(&mut office, day),
            92 => rewrap_is_killed_and_goes_on(&mut office, day),
            // Somebody puts a key record back as it was 60 days ago.
            110 => {
                let (path, old) = backup.take().unwrap();
                now_or_never(office.objects.put(&path, old)).unwrap();
            }
            119 => {
                let refused = office.retire("1", day);
                assert_eq!(refused, Err(Error::Retire("its grace has not ended")));
            }
            120 => retires_when_nothing_refers_to_it(&mut office, day),
            121 => {
                let mut keys = office.keys();
                keys.remove(&KeyVersion::new("1").unwrap()).unwrap();
                office.keys = keys.to_bytes().to_vec();
            }
            122 => {
                assert_eq!(office.dry(day), counts(ALL, 0));
                let ring = office.ring();
                let states: Vec<State> = ring.entries().iter().map(Entry::state).collect();
                assert_eq!(states, [State::Retired { at: at(120) }, State::Active]);
            }
            _ => {}
        }
        office.everything_opens(day);
    }
    assert_eq!(office.sealed.len() as u64, ALL);
}

fn new_objects_use_the_new_version(office: &mut Office, day: u64) {
    office.seal(LATER, day);
    assert_eq!((office.references("1", day), office.references("2", day)), (30, 10));
    assert_eq!(office.dry(day), counts(10, 30));
    // A dry run changed nothing.
    assert_eq!(office.references("1", day), 30);
    let now = now_or_never(office.kek().version()).unwrap();
    assert_eq!(&now, &office.ring().active().unwrap().id().version);
}

fn rewrap_is_killed_and_goes_on(office: &mut Office, day: u64) {
    // So many requests only look.
    let asked = office.probe.asked();
    assert_eq!(office.dry(day), counts(10, 30));
    let looks = office.probe.asked() - asked;
    let mut left = 30;
    for writes in [8, 3, 14] {
        office.probe.fail(looks + writes, Fault::Kill);
        assert_eq!(office.rewrap(day), None, "killed at write {writes}");
        office.probe.heal();
        office.everything_opens(day);
        let now_left = office.references("1", day);
        assert!(now_left < left && now_left > 0, "{now_left} of {left}");
        left = now_left;
    }
    // What a run had done and not noted when it was killed, it finds done.
    assert_eq!(office.progress, None, "the only batch was never done");
    let ended = office.rewrap(day).unwrap();
    assert_eq!(ended, counts(ALL - left, left));
    assert!(ended.is_exact());
    assert_eq!((office.references("1", day), office.references("2", day)), (0, ALL));
    // Once more from the beginning: there is nothing to do.
    assert_eq!(office.rewrap(day), Some(counts(ALL, 0)));
}

fn retires_when_nothing_refers_to_it(office: &mut Office, day: u64) {
    let refused = office.retire("1", day);
    assert_eq!(refused, Err(Error::Retire("key records refer to it; rewrap them")));
    assert_eq!(office.rewrap(day), Some(counts(ALL - 1, 1)));
    office.retire("1", day).unwrap();
    assert_eq!(office.retire("1", day), Err(Error::Retire("it is retired")));
    assert_eq!(office.retire("2", day), Err(Error::Retire("it wraps; rotate first")));
}
