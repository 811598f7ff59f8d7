//! What a setting may be: its values, how they are read and how they are shown.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use sealwire::core::Suite;
use sealwire_relay::client::RelayUrl;

use super::url::{Authority, ServiceUrl};
use crate::{storage::KeyName, view::SuiteName};

/// A value as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// In a file, by its type.
    Text(String),
    Number(i64),
    Truth(bool),
    List(Vec<String>),
    /// In a file, and of no type that a setting has.
    Other,
    /// In the environment, where everything is text.
    Word(String),
}

/// A type of setting.
pub(super) trait Setting: Sized {
    /// What is allowed, to follow "it must be".
    fn allowed() -> String;

    /// Reads a value. Relative paths are those of `base`.
    fn read(given: &Given, base: &Path) -> Option<Self>;

    /// The value as it would stand in a file.
    fn show(&self) -> String;
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Whole<MIN, MAX> {
    pub(super) const fn new(number: u32) -> Self {
        assert!(MIN <= number && number <= MAX, "a default is one of the values that are allowed");
        Self(number)
    }

    pub(crate) const fn get(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32> Setting for Whole<MIN, MAX> {
    fn allowed() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn read(given: &Given, _base: &Path) -> Option<Self> {
        let number = match given {
            Given::Number(number) => u32::try_from(*number).ok(),
            // Not what `parse` also takes: a plus sign.
            Given::Word(word) if word.bytes().all(|byte| byte.is_ascii_digit()) => {
                word.parse().ok()
            }
            _ => None,
        };
        number.filter(|number| (MIN..=MAX).contains(number)).map(Self)
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Setting for bool {
    fn allowed() -> String {
        "true or false".to_owned()
    }

    fn read(given: &Given, _base: &Path) -> Option<Self> {
        match given {
            Given::Truth(truth) => Some(*truth),
            Given::Word(word) => word.parse().ok(),
            _ => None,
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for SocketAddr {
    fn allowed() -> String {
        "an IP address and a port, as \"127.0.0.1:7600\" or \"[::]:443\"".to_owned()
    }

    fn read(given: &Given, _base: &Path) -> Option<Self> {
        text(given)?.parse().ok()
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for PathBuf {
    fn allowed() -> String {
        "a path, relative to the directory of the file".to_owned()
    }

    fn read(given: &Given, base: &Path) -> Option<Self> {
        let path = text(given).filter(|path| !path.is_empty() && !path.contains('\0'))?;
        Some(base.join(path))
    }

    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Setting for RelayUrl {
    fn allowed() -> String {
        "the address of a relay, as \"https://relay.example\" or \"http://127.0.0.1:7600\", \
         without a path"
            .to_owned()
    }

    fn read(given: &Given, _base: &Path) -> Option<Self> {
        Self::parse(text(given)?).ok()
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for Authority {
    fn allowed() -> String {
        "a name as it stands in an address, as \"relay.example\" or \"relay.example:8443\""
            .to_owned()
    }

    fn read(given: &Given, _base: &Path) -> Option<Self> {
        Self::parse(text(given)?)
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl Setting for String {
    fn allowed() -> String {
        "text without control characters".to_owned()
    }

    fn read(given: &Given, _base: &Path) -> Option<Self> {
        text(given).filter(|text| !text.chars().any(char::is_control)).map(str::to_owned)
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Setting for ServiceUrl {
    fn allowed() -> String {
        "the address of a service, as \"https://vault.example:8200\", without user, query or \
         fragment"
            .to_owned()
    }

    fn read(given: &Given, _base: &Path) -> Option<Self> {
        Self::parse(text(given)?)
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl Setting for KeyName {
    fn allowed() -> String {
        format!("a key: {}", Self::FORMS)
    }

    fn read(given: &Given, base: &Path) -> Option<Self> {
        Some(text(given)?.parse::<Self>().ok()?.relative_to(base))
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

/// Where the newest state is noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnchorPlace {
    File(PathBuf),
    /// A value of the KV engine of Vault or OpenBao.
    Vault {
        mount: String,
        path: String,
    },
}

impl Setting for AnchorPlace {
    fn allowed() -> String {
        "a file, or a value of Vault's KV engine, as \"vault:secret/agents/alice\"".to_owned()
    }

    fn read(given: &Given, base: &Path) -> Option<Self> {
        let Some(place) = text(given).and_then(|text| text.strip_prefix("vault:")) else {
            return PathBuf::read(given, base).map(Self::File);
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_plain);
        let (mount, path) = place.split_once('/')?;
        let good = place.split('/').all(is_part);
        good.then(|| Self::Vault { mount: mount.to_owned(), path: path.to_owned() })
    }

    fn show(&self) -> String {
        match self {
            Self::File(path) => path.show(),
            Self::Vault { mount, path } => quoted(&format!("vault:{mount}/{path}")),
        }
    }
}

/// Addresses with a common beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    text: String,
    pub(crate) network: sealwire_relay::server::Network,
}

impl Setting for Network {
    fn allowed() -> String {
        "an IP address, or the beginning of some, as \"192.0.2.7\" or \"2001:db8::/32\"".to_owned()
    }

    fn read(given: &Given, _base: &Path) -> Option<Self> {
        let text = text(given)?;
        Some(Self { text: text.to_owned(), network: text.parse().ok()? })
    }

    fn show(&self) -> String {
        quoted(&self.text)
    }
}

/// A setting that can be left empty.
impl<T: Setting> Setting for Option<T> {
    fn allowed() -> String {
        format!("{}; or \"\" for none", T::allowed())
    }

    fn read(given: &Given, base: &Path) -> Option<Self> {
        match text(given) {
            Some("") => Some(None),
            _ => T::read(given, base).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| quoted(""), T::show)
    }
}

/// A list; in the environment with commas between its items.
impl<T: Setting> Setting for Vec<T> {
    fn allowed() -> String {
        format!("a list, of which each item is {}", T::allowed())
    }

    fn read(given: &Given, base: &Path) -> Option<Self> {
        let items = match given {
            Given::List(items) => items.clone(),
            Given::Word(word) if word.is_empty() => Vec::new(),
            Given::Word(word) => word.split(',').map(|item| item.trim().to_owned()).collect(),
            _ => return None,
        };
        items.into_iter().map(|item| T::read(&Given::Text(item), base)).collect()
    }

    fn show(&self) -> String {
        let items: Vec<String> = self.iter().map(T::show).collect();
        format!("[{}]", items.join(", "))
    }
}

/// The suite that this agent seals with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SuiteChoice {
    /// The faster one on this machine.
    Fastest,
    /// This one.
    Only(SuiteName),
}

impl SuiteChoice {
    const ALL: [(&'static str, Self); 3] = [
        ("fastest", Self::Fastest),
        ("aes-256-gcm", Self::Only(SuiteName::AesGcm)),
        ("chacha20-poly1305", Self::Only(SuiteName::ChaChaPoly)),
    ];

    /// The suite, in so far as one was chosen.
    pub(crate) fn suite(self) -> Option<Suite> {
        match self {
            Self::Fastest => None,
            Self::Only(name) => Some(name.into()),
        }
    }
}

/// Who may connect and write to this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admit {
    /// Those that are pinned.
    Pinned,
    /// Whoever proves an identity, which is then pinned.
    Anyone,
}

impl Admit {
    const ALL: [(&'static str, Self); 2] = [("pinned", Self::Pinned), ("anyone", Self::Anyone)];
}

/// Settings that are one of a few names.
macro_rules! named {
    ($($name:ident),*) => {$(
        impl Setting for $name {
            fn allowed() -> String {
                let names = Self::ALL.map(|(name, _)| quoted(name));
                format!("one of {}", names.join(", "))
            }

            fn read(given: &Given, _base: &Path) -> Option<Self> {
                let given = text(given)?;
                Self::ALL.into_iter().find(|(name, _)| *name == given).map(|(_, value)| value)
            }

            fn show(&self) -> String {
                let named = Self::ALL.into_iter().find(|(_, value)| value == self);
                quoted(named.map_or("", |(name, _)| name))
            }
        }
    )*};
}

named!(SuiteChoice, Admit);

fn text(given: &Given) -> Option<&str> {
    match given {
        Given::Text(text) | Given::Word(text) => Some(text),
        _ => None,
    }
}

/// A TOML string of this text.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // TOML takes none of them bare, nor does a terminal.
            _ if character.is_control() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
