//! Files of this command's own that are JSON: the address book, and the transfers under way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Who was met where.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Addresses {
    version: u8,
    /// From the address as it was given to the id of the agent.
    pub(crate) addresses: BTreeMap<String, String>,
}

/// Files that are being sent.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sends {
    version: u8,
    /// By the digest of peer and file.
    pub(crate) sends: BTreeMap<String, Begun>,
}

/// A transfer that was begun.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begun {
    /// What it goes on by.
    pub(crate) name: String,
    /// When it began, in Unix seconds.
    pub(crate) at: u64,
}

/// A file that begins with its version.
pub(crate) trait Book: Default + Serialize + DeserializeOwned {
    /// The one version that there is.
    const VERSION: u8 = 1;

    /// The version of this one.
    fn version(&self) -> u8;

    /// Reads a file; fails with what is wrong with it.
    fn read(text: &[u8]) -> Result<Self, String> {
        let book: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match book.version() {
            version if version == Self::VERSION => Ok(book),
            version => Err(format!("unknown version {version}")),
        }
    }

    /// The file.
    fn to_text(&self) -> Result<String, String> {
        serde_json::to_string_pretty(self).map_err(|error| error.to_string())
    }
}

impl Book for Addresses {
    fn version(&self) -> u8 {
        self.version
    }
}

impl Default for Addresses {
    fn default() -> Self {
        Self { version: Self::VERSION, addresses: BTreeMap::new() }
    }
}

impl Book for Sends {
    fn version(&self) -> u8 {
        self.version
    }
}

impl Default for Sends {
    fn default() -> Self {
        Self { version: Self::VERSION, sends: BTreeMap::new() }
    }
}
