//! Sealed objects and key records as they are shown: what stands in them in clear.

use std::{collections::BTreeMap, fmt};

use sealwire::core::Timestamp;
use sealwire_envelope::{Head, KeyRecord, Layout, SealerStatement, Slot};
use serde::Serialize;

use crate::{
    text::{Plain, utc},
    view::SuiteName,
};

/// What an object says of itself.
#[derive(Debug, Serialize)]
pub(super) struct ObjectView {
    /// Never: that takes a key.
    authenticated: bool,
    object: String,
    suite: SuiteName,
    context: BTreeMap<String, String>,
    /// Length of what stands before the chunks.
    head_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// Of the content, if nothing was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    content_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks: Option<u64>,
    key_record: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<RecordView>,
}

/// What a key record says.
#[derive(Debug, Serialize)]
pub(super) struct RecordView {
    authenticated: bool,
    object: String,
    tenant_digest: String,
    header_digest: String,
    slots: Vec<SlotView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealer: Option<SealerView>,
}

#[derive(Debug, Serialize)]
struct SlotView {
    provider: &'static str,
    key: String,
    version: String,
    algorithm: String,
    wrapped_bytes: usize,
    created: u64,
    rewrapped: u64,
}

#[derive(Debug, Serialize)]
struct SealerView {
    id: String,
    card_hash: String,
}

impl ObjectView {
    /// Of an object of so many bytes, where that is known, with its record, where that was found.
    pub(super) fn new(head: &Head, bytes: Option<u64>, record: Option<&KeyRecord>) -> Self {
        let header = head.header();
        let head_bytes = head.encoded_len();
        let start = u64::try_from(head_bytes).unwrap_or(u64::MAX);
        let layout = bytes.and_then(|bytes| Layout::new(start, bytes).ok());
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            authenticated: false,
            object: header.object().to_string(),
            suite: header.suite().into(),
            context: header.stored().iter().map(text).collect(),
            head_bytes,
            bytes,
            content_bytes: layout.map(|layout| layout.plaintext_len()),
            chunks: layout.map(|layout| layout.chunks()),
            key_record: KeyRecord::name(header.object()),
            record: record.map(RecordView::from),
        }
    }
}

impl From<&KeyRecord> for RecordView {
    fn from(record: &KeyRecord) -> Self {
        let binding = record.binding();
        Self {
            authenticated: false,
            object: binding.object().to_string(),
            tenant_digest: hex(binding.tenant_digest()),
            header_digest: hex(binding.header_digest()),
            slots: record.slots().iter().map(SlotView::from).collect(),
            sealer: record.sealer().map(SealerView::from),
        }
    }
}

impl From<&Slot> for SlotView {
    fn from(slot: &Slot) -> Self {
        let wrapped = slot.wrapped();
        Self {
            provider: wrapped.key.provider().as_str(),
            key: wrapped.key.key().to_owned(),
            version: wrapped.version.as_str().to_owned(),
            algorithm: wrapped.algorithm.clone(),
            wrapped_bytes: wrapped.ciphertext.len(),
            created: slot.created().as_secs(),
            rewrapped: slot.rewrapped().as_secs(),
        }
    }
}

impl From<&SealerStatement> for SealerView {
    fn from(sealer: &SealerStatement) -> Self {
        let id = String::from_utf8_lossy(sealer.id()).into_owned();
        Self { id, card_hash: hex(sealer.card()) }
    }
}

impl fmt::Display for ObjectView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sealed object; nothing of this is authenticated until it is opened")?;
        writeln!(f, "object         {}", self.object)?;
        writeln!(f, "suite          {}", self.suite)?;
        for (name, value) in &self.context {
            writeln!(f, "context        {}={}", Plain::new(name), Plain::new(value))?;
        }
        match (self.bytes, self.content_bytes, self.chunks) {
            (Some(bytes), Some(content), Some(chunks)) => writeln!(
                f,
                "length         {bytes} bytes: {content} of content in {chunks} {}, if nothing was cut",
                if chunks == 1 { "chunk" } else { "chunks" }
            )?,
            (Some(bytes), ..) => writeln!(f, "length         {bytes} bytes: it was cut")?,
            (None, ..) => {}
        }
        writeln!(f, "key record     {}", self.key_record)?;
        match &self.record {
            Some(record) => record.show(f),
            None => writeln!(f, "keys           its key record was not found here"),
        }
    }
}

impl RecordView {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |seconds| utc(Timestamp::from_secs(seconds));
        for slot in &self.slots {
            let (provider, key) = (slot.provider, Plain::new(&slot.key));
            writeln!(f, "key            {provider}:{key}, version {}", Plain::new(&slot.version))?;
            let (algorithm, rewrapped) = (Plain::new(&slot.algorithm), time(slot.rewrapped));
            writeln!(f, "  wrapped      {algorithm}, {rewrapped}")?;
        }
        match &self.sealer {
            Some(SealerView { id, card_hash }) => {
                writeln!(f, "signed by      {}, card {card_hash}", Plain::new(id))
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for RecordView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "key record; nothing of this is authenticated until its object is opened")?;
        writeln!(f, "object         {}", self.object)?;
        self.show(f)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
