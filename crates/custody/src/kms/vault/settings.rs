//! Where the key is, and what opens the way to it.

use core::fmt;
use std::{fs::File, io::Read, path::PathBuf};

use http::{HeaderMap, HeaderName, HeaderValue};
use sealwire_envelope::kms::KmsError;
use zeroize::Zeroizing;

use crate::kms::HttpSettings;

/// The longest token, in bytes. Batch tokens, the longest, have some hundred.
const MAX_TOKEN_LEN: usize = 4096;

/// Which key of which server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VaultSettings {
    /// The server, as `https://vault.example:8200`.
    pub address: String,
    /// Where the transit engine is mounted. Default: `transit`.
    pub mount: String,
    /// The name of the key.
    pub key: String,
    /// The namespace, where the server has any.
    pub namespace: Option<String>,
    /// What the server knows the caller by.
    pub token: VaultToken,
    /// How the server is called.
    pub http: HttpSettings,
}

/// A token.
#[derive(Clone)]
#[non_exhaustive]
pub enum VaultToken {
    /// In a file that whoever renews it replaces: it is read anew for every call.
    File(PathBuf),
    /// One that lasts as long as it is needed.
    Fixed(Zeroizing<String>),
}

impl VaultSettings {
    /// A key of the engine at `transit`.
    pub fn new(address: &str, key: &str, token: VaultToken) -> Self {
        Self {
            address: address.to_owned(),
            mount: "transit".to_owned(),
            key: key.to_owned(),
            namespace: None,
            token,
            http: HttpSettings::default(),
        }
    }

    /// The name by which wraps refer to the key: `transit/agents`.
    pub(super) fn key_name(&self) -> Result<String, KmsError> {
        self.name([&*self.key])
    }

    /// The name of a value, whose place may be as deep as folders are: `secret/agents/alice`.
    pub(super) fn value_name(&self) -> Result<String, KmsError> {
        self.name(self.key.split('/'))
    }

    fn name<'a>(&self, key: impl IntoIterator<Item = &'a str>) -> Result<String, KmsError> {
        let is_segment = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            text.bytes().all(plain) && !text.bytes().all(|byte| byte == b'.')
        };
        let namespace = self.namespace.as_deref().map(|name| name.trim_end_matches('/'));
        let parts = namespace.into_iter().chain([self.mount.as_str()]);
        if !parts.into_iter().flat_map(|part| part.split('/')).all(is_segment)
            || !key.into_iter().all(is_segment)
        {
            return Err(KmsError::Settings(
                "names of Vault are letters, digits, hyphens, dots and underscores".to_owned(),
            ));
        }
        let namespace = namespace.map(|name| format!("{name}/")).unwrap_or_default();
        Ok(format!("{namespace}{}/{}", self.mount, self.key))
    }
}

impl fmt::Debug for VaultToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Fixed(_) => f.write_str("Fixed(..)"),
        }
    }
}

/// What every request has.
// KMS-7
pub(super) async fn headers(settings: &VaultSettings) -> Result<HeaderMap, KmsError> {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("x-vault-request"), HeaderValue::from_static("true"));
    headers.insert(HeaderName::from_static("x-vault-token"), token(&settings.token).await?);
    if let Some(namespace) = &settings.namespace {
        let namespace = HeaderValue::from_str(namespace).map_err(|_| {
            KmsError::Settings("the namespace holds a control character".to_owned())
        })?;
        headers.insert(HeaderName::from_static("x-vault-namespace"), namespace);
    }
    Ok(headers)
}

/// The token of now, as it stands in a request.
async fn token(token: &VaultToken) -> Result<HeaderValue, KmsError> {
    let text = match token {
        VaultToken::Fixed(text) => text.clone(),
        VaultToken::File(path) => {
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || read(path)).await;
            read.map_err(|_| KmsError::Unavailable("the reading of the token ended".to_owned()))??
        }
    };
    let value = HeaderValue::from_str(text.trim()).ok().filter(|value| !value.is_empty());
    let mut value = value.ok_or_else(|| {
        KmsError::Settings("the token is empty or holds a control character".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(path: PathBuf) -> Result<Zeroizing<String>, KmsError> {
    let unreadable = || KmsError::Settings(format!("the token {} is unreadable", path.display()));
    let mut text = Zeroizing::new(String::with_capacity(MAX_TOKEN_LEN));
    let most = u64::try_from(MAX_TOKEN_LEN).map_err(|_| unreadable())?;
    let file = File::open(&path).map_err(|_| unreadable())?;
    file.take(most).read_to_string(&mut text).map_err(|_| unreadable())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> VaultSettings {
        let token = VaultToken::Fixed(Zeroizing::new("hvs.secret".to_owned()));
        VaultSettings::new("https://vault.example", "agents", token)
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let named = |namespace: Option<&str>, mount: &str, key: &str| {
            let namespace = namespace.map(str::to_owned);
            let (mount, key) = (mount.to_owned(), key.to_owned());
            VaultSettings { namespace, mount, key, ..settings() }.key_name()
        };
        assert_eq!(named(None, "transit", "agents").as_deref(), Ok("transit/agents"));
        assert_eq!(named(Some("a/b/"), "x/y", "k.1").as_deref(), Ok("a/b/x/y/k.1"));
        for (namespace, mount, key) in [
            (None, "transit", ""),
            (None, "transit", "a/b"),
            (None, "transit", ".."),
            (None, "transit", "a?b"),
            (None, "transit", "a%2fb"),
            (None, "", "agents"),
            (None, "../sys", "agents"),
            (None, "a//b", "agents"),
            (Some("../x"), "transit", "agents"),
            (Some(""), "transit", "agents"),
        ] {
            let refused = named(namespace, mount, key);
            assert!(matches!(refused, Err(KmsError::Settings(_))), "{namespace:?} {mount} {key}");
        }
    }

    #[tokio::test]
    async fn a_token_is_read_anew_and_not_printed() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("token");
        let file = VaultToken::File(path.clone());
        assert!(matches!(token(&file).await, Err(KmsError::Settings(_))), "there is none");
        for text in ["hvs.one", "hvs.two\n"] {
            std::fs::write(&path, text).expect("written");
            let value = token(&file).await.expect("a token");
            assert_eq!(value.to_str().expect("text"), text.trim());
            assert!(value.is_sensitive());
        }
        for bad in ["", "\n", "a\nb"] {
            std::fs::write(&path, bad).expect("written");
            assert!(matches!(token(&file).await, Err(KmsError::Settings(_))), "{bad:?}");
        }
        assert!(!format!("{:?}", settings()).contains("hvs.secret"));
    }
}
