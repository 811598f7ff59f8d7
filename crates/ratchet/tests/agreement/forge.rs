//! Bundles and pages as an attacker, or a broken agent, would build them.

use minicbor::Encoder;
use sealwire_core::{KeyStore, kdf, label::Label};

use crate::common::{Agent, DAY, NOW, contact};

/// The fields of a bundle, sound or not.
#[derive(Clone)]
pub(crate) struct RawBundle {
    pub(crate) card_hash: Vec<u8>,
    pub(crate) device: u64,
    pub(crate) spk_id: u64,
    pub(crate) spk: Vec<u8>,
    pub(crate) kem_id: u64,
    pub(crate) kem: Vec<u8>,
    pub(crate) mailbox: Vec<u8>,
    pub(crate) capability: Vec<u8>,
    pub(crate) sequence: u64,
    pub(crate) not_after: u64,
}

impl RawBundle {
    /// A sound bundle of `agent`, with keys of our own making.
    pub(crate) fn of(agent: &Agent) -> Self {
        Self {
            card_hash: agent.card_hash().to_vec(),
            device: agent.device.into(),
            spk_id: 1,
            spk: agent.publics.envelope.as_bytes().to_vec(),
            kem_id: 1,
            kem: agent.publics.envelope_kem.as_bytes().to_vec(),
            mailbox: contact().mailbox,
            capability: contact().capability,
            sequence: 1,
            not_after: NOW.as_secs() + 14 * DAY,
        }
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut e = Encoder::new(Vec::new());
        e.array(10).expect("memory").bytes(&self.card_hash).expect("memory");
        e.u64(self.device).expect("memory");
        e.u64(self.spk_id).expect("memory").bytes(&self.spk).expect("memory");
        e.u64(self.kem_id).expect("memory").bytes(&self.kem).expect("memory");
        e.bytes(&self.mailbox).expect("memory").bytes(&self.capability).expect("memory");
        e.u64(self.sequence).expect("memory").u64(self.not_after).expect("memory");
        e.into_writer()
    }

    pub(crate) fn signed_by(&self, agent: &Agent) -> Vec<u8> {
        framed(&self.body(), &sign(&*agent.keys, Label::PREKEY_BUNDLE, &agent.id, &self.body()))
    }
}

/// A signature over the body of a bundle under any label, for any agent.
pub(crate) fn sign(keys: &dyn KeyStore, label: Label, agent: &[u8], body: &[u8]) -> Vec<u8> {
    let message = label.context(None, &[agent, body]).expect("short");
    keys.sign(&message).expect("a signature").as_bytes().to_vec()
}

/// `version | CBOR [body, signature]`
pub(crate) fn framed(body: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut e = Encoder::new(vec![1]);
    e.array(2).expect("memory").bytes(body).expect("memory").bytes(signature).expect("memory");
    e.into_writer()
}

/// The fields of a page with one key, sound or not.
#[derive(Clone)]
pub(crate) struct RawPage {
    pub(crate) device: u32,
    pub(crate) kind: u8,
    pub(crate) base: u32,
    pub(crate) count: u16,
    pub(crate) not_after: u64,
    pub(crate) id: u32,
    pub(crate) key: Vec<u8>,
}

impl RawPage {
    pub(crate) fn of(agent: &Agent, kind: u8, key: &[u8]) -> Self {
        let not_after = NOW.as_secs() + 52 * DAY;
        let key = key.to_vec();
        Self { device: agent.device, kind, base: 7, count: 1, not_after, id: 7, key }
    }

    /// The root over the one key.
    pub(crate) fn root(&self) -> [u8; 32] {
        kdf::sha256(&[&[0, self.kind], &self.id.to_be_bytes(), &self.key])
    }

    pub(crate) fn claimed(&self) -> Vec<u8> {
        claimed(self.id, &self.key, &[])
    }

    pub(crate) fn signature(&self, keys: &dyn KeyStore, label: Label, agent: &[u8]) -> Vec<u8> {
        let fields: [&[u8]; 7] = [
            agent,
            &self.device.to_be_bytes(),
            &[self.kind],
            &self.base.to_be_bytes(),
            &self.count.to_be_bytes(),
            &self.not_after.to_be_bytes(),
            &self.root(),
        ];
        let message = label.context(None, &fields).expect("short");
        keys.sign(&message).expect("a signature").as_bytes().to_vec()
    }

    pub(crate) fn header(&self, signature: &[u8]) -> Vec<u8> {
        let mut e = Encoder::new(vec![1]);
        e.array(7).expect("memory").u32(self.device).expect("memory");
        e.u8(self.kind).expect("memory").u32(self.base).expect("memory");
        e.u16(self.count).expect("memory").u64(self.not_after).expect("memory");
        e.bytes(&self.root()).expect("memory").bytes(signature).expect("memory");
        e.into_writer()
    }

    pub(crate) fn signed_by(&self, agent: &Agent) -> Vec<u8> {
        self.header(&self.signature(&*agent.keys, Label::PREKEY_PAGE, &agent.id))
    }
}

/// A claimed key.
pub(crate) fn claimed(id: u32, key: &[u8], path: &[[u8; 32]]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    e.array(3).expect("memory").u32(id).expect("memory").bytes(key).expect("memory");
    e.array(path.len() as u64).expect("memory");
    for step in path {
        e.bytes(step).expect("memory");
    }
    e.into_writer()
}
