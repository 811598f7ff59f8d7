//! From the name of a key to what wraps with it.

use std::{env, fs, io, path::Path, sync::Arc};

use sealwire::custody::{self, system_rng};
use sealwire_custody::kms::{
    AwsKms, AwsSettings, HttpSettings, KekFile, VaultKms, VaultSettings, VaultToken,
};
use sealwire_envelope::kms::Kms;
use zeroize::Zeroizing;

use super::KeyName;
use crate::{
    config::StorageConfig,
    error::{Exit, Failure},
    passphrase,
    text::Plain,
};

/// What a token of Vault stands in, the first one that is set.
const TOKENS: [&str; 2] = ["VAULT_TOKEN", "BAO_TOKEN"];

/// The key of this name, ready to wrap and unwrap: a file is unlocked with its passphrase, and a
/// service is asked for the key.
pub(crate) async fn kms(name: &KeyName, config: &StorageConfig) -> Result<Arc<dyn Kms>, Failure> {
    match name {
        KeyName::File(path) => file(path),
        KeyName::Vault { mount, name } => Ok(Arc::new(vault(mount, name, config).await?)),
        KeyName::Aws(arn) => {
            let mut settings = AwsSettings::new(arn);
            settings.endpoint = config.aws_endpoint.as_ref().map(|url| url.as_str().to_owned());
            settings.http = http(config)?;
            let kms = AwsKms::connect(settings).await;
            Ok(Arc::new(kms.map_err(|error| Failure::from(error).at(name))?))
        }
    }
}

fn file(path: &Path) -> Result<Arc<dyn Kms>, Failure> {
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => {
            let message = format!("there is no key file {}", Plain::path(path));
            return Err(Failure::other(message)
                .hint("`sealwire keyring init file:PATH` makes one; a backup of it does too"));
        }
        Err(error) => return Err(Failure::file("look for", path, &error)),
    }
    let passphrase = passphrase::ask_for(&Plain::path(path))?;
    let kek = KekFile::open(path, &passphrase).map_err(|error| match error {
        custody::Error::Decode(error) => {
            let failure = Failure::other(error.to_string()).at(&Plain::path(path));
            failure.hint("name a file that `sealwire keyring init` made, or put back a whole copy")
        }
        custody::Error::Open => Failure::other(error.to_string())
            .at(&Plain::path(path))
            .hint("nothing was changed; try again"),
        error => error.into(),
    })?;
    Ok(Arc::new(kek.kms(system_rng())))
}

/// A key of Vault, which can also be rotated.
pub(crate) async fn vault(
    mount: &str,
    name: &str,
    config: &StorageConfig,
) -> Result<VaultKms, Failure> {
    let connected = VaultKms::connect(vault_settings(mount, name, config)?).await;
    let (mount, name) = (mount.to_owned(), name.to_owned());
    connected.map_err(|error| Failure::from(error).at(&KeyName::Vault { mount, name }))
}

/// What stands at `name` in the engine at `mount`, with the token of the environment or of a file.
pub(crate) fn vault_settings(
    mount: &str,
    name: &str,
    config: &StorageConfig,
) -> Result<VaultSettings, Failure> {
    let Some(address) = &config.vault_address else {
        let message = format!("where the server of vault:{name} is has not been said");
        return Err(Failure::new(Exit::Usage, message)
            .hint("set storage.vault_address, or SEALWIRE_STORAGE_VAULT_ADDRESS"));
    };
    let mut settings = VaultSettings::new(address.as_str(), name, token(config)?);
    settings.mount = mount.to_owned();
    settings.namespace.clone_from(&config.vault_namespace);
    settings.http = http(config)?;
    Ok(settings)
}

/// The environment stands over the file.
fn token(config: &StorageConfig) -> Result<VaultToken, Failure> {
    for variable in TOKENS {
        match env::var(variable).map(Zeroizing::new) {
            Ok(token) if !token.is_empty() => return Ok(VaultToken::Fixed(token)),
            Ok(_) | Err(env::VarError::NotPresent) => {}
            Err(env::VarError::NotUnicode(_)) => {
                return Err(Failure::new(Exit::Usage, format!("{variable} is not text")));
            }
        }
    }
    let file = config.vault_token_file.clone().map(VaultToken::File);
    file.ok_or_else(|| {
        Failure::new(Exit::Usage, "there is no token for Vault")
            .hint("set storage.vault_token_file, or put it into VAULT_TOKEN or BAO_TOKEN")
    })
}

fn http(config: &StorageConfig) -> Result<HttpSettings, Failure> {
    let mut http = HttpSettings::default();
    http.deadline = config.patience();
    http.ca_pem = authorities(config)?;
    Ok(http)
}

/// The certificates of authorities that are trusted beside those of the system.
pub(super) fn authorities(config: &StorageConfig) -> Result<Option<Vec<u8>>, Failure> {
    let read = |path: &Path| {
        let unreadable = |error: io::Error| Failure::file("read", path, &error);
        fs::read(path).map_err(unreadable)
    };
    config.ca_file.as_deref().map(read).transpose()
}
