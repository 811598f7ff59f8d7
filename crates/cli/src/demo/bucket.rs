//! The third part of the story: Alice leaves the file in a bucket, for a key service and for Bob,
//! and whoever keeps the bucket tries to have it opened wrongly.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sealwire::{
    Clock, SystemClock,
    core::{Timestamp, keys::VerifyingKey},
    custody::{Passphrase, kms::KekFile, system_rng},
    hybrid::{StoredKey, XWingPublic},
    identity::IdentityCard,
};
use sealwire_envelope::{
    Context, Error, Head, KeyRecord, Pairs, Sealers,
    audit::Counts,
    kms::{KeyId, Kms},
    ring::{KekRing, Schedule},
    store::{Access, Plan, Rewrap, Store},
};

use super::{
    place::Place,
    scan::{Secret, look_for},
    story::Step,
};

/// Whose objects they are. It is bound to each, and stands in none.
const TENANT: &str = "Acme of 12 Harbour Street";
const OTHER_TENANT: &str = "Bolt of 3 Mill Lane";

/// The names of the two objects.
const PLANS: &str = "plans";
const NOTES: &str = "notes";

/// Seconds in a day.
const DAY: u64 = 24 * 3600;

/// A chunk of a sealed body, in bytes.
const CHUNK: usize = 16_384 + 16;

/// A folder as the bucket, and who has keys to what lies there.
pub(super) struct Bucket<'a> {
    folder: PathBuf,
    store: Store,
    kek: KekFile,
    passphrase: Passphrase,
    alice: Place,
    bob: Place,
    alice_card: IdentityCard,
    bob_card: IdentityCard,
    content: &'a [u8],
    now: Timestamp,
}

/// The sealer that Bob accepts: Alice, by her card.
struct Only<'a>(&'a IdentityCard);

impl Sealers for Only<'_> {
    fn key(&self, id: &[u8], card: &[u8; 32]) -> Option<VerifyingKey> {
        let Self(known) = self;
        let same = id == known.id().as_str().as_bytes() && card == known.hash().as_bytes();
        same.then(|| known.identity_key().clone())
    }
}

impl<'a> Bucket<'a> {
    /// An empty bucket, and a key of its own to wrap with, in `directory`.
    pub(super) fn new(
        directory: &Path,
        passphrase: &str,
        [alice, bob]: [Place; 2],
        [alice_card, bob_card]: [IdentityCard; 2],
        content: &'a [u8],
    ) -> io::Result<Self> {
        let folder = directory.join("bucket");
        let store = Store::local(&folder, "").map_err(io::Error::other)?;
        let passphrase = Passphrase::from_bytes(passphrase.as_bytes()).map_err(io::Error::other)?;
        let kek = KekFile::create(directory.join("kek"), "demo", &passphrase, &mut system_rng());
        let (kek, now) = (kek.map_err(io::Error::other)?, SystemClock::new().wall());
        Ok(Self { folder, store, kek, passphrase, alice, bob, alice_card, bob_card, content, now })
    }

    /// Alice seals two objects, each for the key service and for Bob.
    pub(super) async fn alice_seals(&self) -> io::Result<Step> {
        let (exchange, kem) = self.bob_card.envelope_keys();
        let (kms, public) = (self.kms(), XWingPublic::from_parts(kem.clone(), *exchange));
        let context = Context::new([("tenant", TENANT)]).map_err(io::Error::other)?;
        let (id, card) = (self.alice_card.id(), self.alice_card.hash());
        let plan = Plan::new(&context).kms(&kms).agent(&public, self.bob_card.kx_id()).signed_by(
            self.alice.keys(),
            id.as_str().as_bytes(),
            card.as_bytes(),
        );
        for (name, content) in [(PLANS, self.content), (NOTES, b"an object of the same owner")] {
            let sealed = self.store.seal(name, &plan, content, self.now, &mut system_rng()).await;
            sealed.map_err(io::Error::other)?;
        }
        let secrets: [Secret<'_>; 2] =
            [("the plaintext", vec![self.content]), ("the tenant", vec![TENANT.as_bytes()])];
        let (hidden, found) = look_for(&self.everything()?, &secrets);
        let holds = hidden && self.records()?.len() == 2;
        let detail = format!(
            "{} bytes as {}; {found}",
            self.content.len(),
            fs::read(self.folder.join(PLANS))?.len()
        );
        Ok(Step { name: "Alice seals it to a bucket, for a KEK and for Bob", holds, detail })
    }

    /// The key that wraps is rotated, and so are all wraps; no body changes.
    pub(super) async fn the_key_rotates(&mut self) -> io::Result<Step> {
        let before = self.bodies()?;
        let old = self.version().await?;
        let mut ring = KekRing::new(old.clone(), self.now);
        self.kek.rotate(&self.passphrase, &mut system_rng()).map_err(io::Error::other)?;
        let (new, schedule) = (self.version().await?, Schedule::default());
        ring.rotate(new.clone(), &schedule, self.now).map_err(io::Error::other)?;
        let counts = self.rewrap().await?;
        let later = self.now.plus(u64::from(schedule.grace_days).saturating_mul(DAY));
        let census = self.store.census(later).await.map_err(io::Error::other)?;
        let early = ring.retire(&old, &census, self.now).is_err();
        ring.retire(&old, &census, later).map_err(io::Error::other)?;
        let removed = self.kek.remove(&old.version, &self.passphrase, &mut system_rng());
        removed.map_err(io::Error::other)?;
        let holds = early
            && counts.is_exact()
            && (counts.scanned, counts.rewrapped) == (2, 2)
            && (census.references(&old), census.references(&new)) == (0, 2)
            && self.bodies()? == before;
        let detail = format!(
            "{} of {} key records rewrapped, no body touched; {} days later the old version goes",
            counts.rewrapped, counts.scanned, schedule.grace_days
        );
        Ok(Step { name: "the KEK is rotated, and the old one retired", holds, detail })
    }

    /// Whoever has the new key opens it, and so does Bob, who knows who sealed it.
    pub(super) async fn both_open(&self) -> io::Result<Step> {
        let opened = [self.by_kek(TENANT).await, self.by_bob().await];
        let holds = opened.iter().all(|opened| opened.as_deref() == Ok(self.content));
        let detail = "whole, by the new version and by Bob's own key".to_owned();
        Ok(Step { name: "the key service's owner and Bob open it", holds, detail })
    }

    /// The key record of one object lies where the other's should.
    pub(super) async fn a_record_is_swapped(&self) -> io::Result<Step> {
        let [plans, notes] = [self.record(PLANS)?, self.record(NOTES)?];
        let refused = self.with_file(&plans, &fs::read(notes)?).await?;
        let detail = "refused to both, 0 bytes released".to_owned();
        Ok(Step { name: "the bucket swaps a key record", holds: refused, detail })
    }

    /// The body loses its last chunk, at whose beginning a careless reader would see an end.
    pub(super) async fn the_body_is_cut(&self) -> io::Result<Step> {
        let body = self.folder.join(PLANS);
        let bytes = fs::read(&body)?;
        let (_, chunks) = Head::split(&bytes).map_err(io::Error::other)?;
        let last = chunks.len() % CHUNK;
        let cut = bytes.get(..bytes.len().saturating_sub(last)).unwrap_or_default();
        let refused = self.with_file(&body, cut).await?;
        let detail = format!("{last} bytes short: refused to both, never taken for the whole");
        Ok(Step { name: "the bucket cuts the body", holds: refused, detail })
    }

    /// A service that works for several tenants asks in the name of another one.
    pub(super) async fn another_tenant_asks(&self) -> io::Result<Step> {
        let refused = self.by_kek(OTHER_TENANT).await == Err(Error::Open);
        let holds = refused && self.by_kek(TENANT).await.as_deref() == Ok(self.content);
        let detail = "refused, though the same key wraps for both".to_owned();
        Ok(Step { name: "another tenant's name is given", holds, detail })
    }

    /// Whether nobody opens the object while a file holds this, and both do again after it.
    async fn with_file(&self, file: &Path, bytes: &[u8]) -> io::Result<bool> {
        let kept = fs::read(file)?;
        fs::write(file, bytes)?;
        let meanwhile = [self.by_kek(TENANT).await, self.by_bob().await];
        fs::write(file, &kept)?;
        let after = [self.by_kek(TENANT).await, self.by_bob().await];
        Ok(kept != bytes
            && meanwhile.iter().all(|opened| *opened == Err(Error::Open))
            && after.iter().all(|opened| opened.as_deref() == Ok(self.content)))
    }

    async fn by_kek(&self, tenant: &str) -> Result<Vec<u8>, Error> {
        let (kms, required) = (self.kms(), Pairs::new([("tenant", tenant)])?);
        self.read(&Access::kms(&kms, &required)).await
    }

    async fn by_bob(&self) -> Result<Vec<u8>, Error> {
        let keys = self.bob.keys();
        let (key, required) =
            (StoredKey::new(keys, keys.newest())?, Pairs::new([("tenant", TENANT)])?);
        self.read(&Access::agent(&key, &required, &Only(&self.alice_card))).await
    }

    async fn read(&self, access: &Access<'_>) -> Result<Vec<u8>, Error> {
        Ok(self.store.open(PLANS, access).await?.read().await?.to_vec())
    }

    async fn rewrap(&self) -> io::Result<Counts> {
        let kms = self.kms();
        let rewrap = Rewrap::new(&kms).verified();
        let progress = self.store.rewrap_all(&rewrap, None, self.now, &mut ()).await;
        Ok(*progress.map_err(io::Error::other)?.counts())
    }

    fn kms(&self) -> impl Kms + use<> {
        self.kek.kms(system_rng())
    }

    /// The version that wraps now.
    async fn version(&self) -> io::Result<KeyId> {
        let kms = self.kms();
        let version = kms.version().await.map_err(io::Error::other)?;
        Ok(KeyId { key: kms.key().clone(), version })
    }

    /// Where the key record of an object lies.
    fn record(&self, name: &str) -> io::Result<PathBuf> {
        let bytes = fs::read(self.folder.join(name))?;
        let (head, _) = Head::split(&bytes).map_err(io::Error::other)?;
        Ok(self.folder.join(KeyRecord::name(head.header().object())))
    }

    fn bodies(&self) -> io::Result<[Vec<u8>; 2]> {
        Ok([fs::read(self.folder.join(PLANS))?, fs::read(self.folder.join(NOTES))?])
    }

    fn records(&self) -> io::Result<[Vec<u8>; 2]> {
        Ok([fs::read(self.record(PLANS)?)?, fs::read(self.record(NOTES)?)?])
    }

    /// All that whoever keeps the bucket sees.
    fn everything(&self) -> io::Result<Vec<u8>> {
        Ok([self.bodies()?.concat(), self.records()?.concat()].concat())
    }
}
