//! Seeds of the targets that read objects at rest, their keys and their audit logs.

use std::{error::Error, sync::Arc};

use sealwire_core::{KeyStore, MemoryKeyStore, Suite};
use sealwire_envelope::{
    Context, Draft, KeyRecord,
    audit::{AuditLog, Counts, Event},
    kms::{KeyId, KeyRef, KeyVersion, Provider, Wrapped},
    local::{LocalKek, LocalKeys},
    ring::{KekRing, Schedule},
};
use sealwire_hybrid::StoredKey;
use sealwire_testkit::rng::SeededRng;

use crate::{DAY, NOW, picked, seed};

/// The object that the target knows, and its key.
fn object() -> Result<(Draft, LocalKek<SeededRng>), Box<dyn Error>> {
    let keys = LocalKeys::generate("fuzz", &mut SeededRng::new(2))?;
    let kek = LocalKek::new(Arc::new(keys), SeededRng::new(3));
    let context = Context::new([("tenant", "acme"), ("type", "text")])?;
    Ok((Draft::new(Suite::ChaChaPoly, &context, &mut SeededRng::new(4))?, kek))
}

pub(crate) fn objects() -> Result<(), Box<dyn Error>> {
    let target = "envelope_object";
    let (draft, _) = object()?;
    picked(target, "context", 0, &Context::new([("a", "1"), ("b", "")])?.stored().to_bytes())?;
    seed(target, "no-context", &[0])?;
    seed(target, "names-descend", b"\x00\0\x01b\0\0\0\x01a\0\0")?;
    let head = draft.head().to_bytes();
    picked(target, "head", 1, &head)?;
    seed(target, "head-and-chunks", &[&[1][..], &head, &[0; 16_450]].concat())?;
    seed(
        target,
        "stored-tenant",
        &[&[1][..], &head[..28], &[0, 0, 0, 10], b"\0\x06tenant\0\0"].concat(),
    )?;
    seed(target, "huge-context", &[&[1][..], &head[..28], &[0xFF; 4], &head[32..]].concat())?;
    seed(target, "unchanged", &[2])?;
    for (name, change) in [
        ("suite", [2, 0, 9, 3]),
        ("object", [2, 0, 12, 1]),
        ("salt", [2, 0, 50, 1]),
        ("commitment", [2, 0, 80, 1]),
        ("chunk", [2, 1, 0, 1]),
    ] {
        seed(target, &format!("changed-{name}"), &change)?;
    }
    seed(target, "changed-back", &[2, 1, 0, 1, 1, 0, 1])?;
    seed(target, "shorter", &[2, 0, 0])?;
    Ok(())
}

pub(crate) fn keys() -> Result<(), Box<dyn Error>> {
    let target = "envelope_keys";
    let (draft, kek) = object()?;
    let bob = MemoryKeyStore::generate(&mut SeededRng::new(5))?;
    let wrapped = kek.wrap_now(draft.dek(), draft.binding())?;
    let mut record = KeyRecord::new(*draft.binding(), wrapped.clone(), NOW)?;
    picked(target, "record", 0, &record.to_bytes())?;
    let agent = StoredKey::new(&bob, bob.newest())?;
    let mut rng = SeededRng::new(6);
    record.add(KeyRecord::wrap_to(&draft, agent.public(), bob.newest(), &mut rng)?, NOW)?;
    record.sign(&draft, &bob, b"did:key:alice", &[7; 32])?;
    picked(target, "record-signed", 0, &record.to_bytes())?;
    let id = |version| -> Result<KeyId, Box<dyn Error>> {
        let key = KeyRef::new(Provider::Vault, "transit/agents")?;
        Ok(KeyId { key, version: KeyVersion::new(version)? })
    };
    let mut ring = KekRing::new(id("1")?, NOW);
    picked(target, "ring", 1, &ring.to_bytes())?;
    ring.rotate(id("2")?, &Schedule::default(), NOW.plus(90 * DAY))?;
    picked(target, "ring-rotated", 1, &ring.to_bytes())?;
    let mut local = LocalKeys::generate("fuzz", &mut rng)?;
    picked(target, "local", 2, &local.to_bytes())?;
    local.rotate(&mut rng)?;
    picked(target, "local-rotated", 2, &local.to_bytes())?;
    let Wrapped { ciphertext, .. } = &wrapped;
    picked(target, "wrap", 3, ciphertext)?;
    picked(target, "name", 4, KeyRecord::name(draft.object()).as_bytes())?;
    Ok(())
}

pub(crate) fn audit(keys: &MemoryKeyStore) -> Result<(), Box<dyn Error>> {
    let target = "envelope_audit";
    let (draft, _) = object()?;
    let (mut log, start) = AuditLog::start([7; 16], NOW)?;
    let counts = Counts { current: 1, failed: 1, scanned: 2, ..Counts::default() };
    let first = log.append(&Event::Sealed { object: draft.object() }, NOW)?;
    let second = log.append(&Event::RewrapEnded(counts), NOW)?;
    let (checkpoint, _) = log.checkpoint(keys, NOW)?;
    let lines = [&first[..], &second, &checkpoint].join("\n");
    seed(target, "lines", lines.as_bytes())?;
    seed(target, "line", first.as_bytes())?;
    seed(target, "cut", &lines.as_bytes()[..lines.len() - 1])?;
    seed(target, "changed", lines.replace("\"current\":1", "\"current\":2").as_bytes())?;
    seed(target, "swapped", [&second[..], &first].join("\n").as_bytes())?;
    seed(target, "started-twice", start.as_bytes())?;
    seed(target, "spaces", first.replace(':', ": ").as_bytes())?;
    Ok(())
}
