//! One word for a key that wraps data keys.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::text::Plain;

/// Where the transit engine of Vault is mounted when nothing else is said.
const MOUNT: &str = "transit";

/// A key that wraps data keys, as settings and arguments name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyName {
    /// A key of our own, in this file.
    File(PathBuf),
    /// A key of the transit engine of Vault or OpenBao.
    Vault { mount: String, name: String },
    /// A key of AWS KMS, by its ARN.
    Aws(String),
}

impl KeyName {
    /// How a key is written.
    pub(crate) const FORMS: &str =
        "file:PATH, vault:NAME, vault:MOUNT/NAME or arn:aws:kms:REGION:ACCOUNT:key/ID";

    /// The key that is meant by whoever names files relative to `base`.
    pub(crate) fn relative_to(self, base: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(base.join(path)),
            other => other,
        }
    }
}

impl FromStr for KeyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || Err(format!("a key is {}", Self::FORMS));
        if text.starts_with("arn:") {
            let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b":/-_".contains(&byte);
            let good = text.bytes().all(is_word) && text.split(':').nth(2) == Some("kms");
            return if good { Ok(Self::Aws(text.to_owned())) } else { wrong() };
        }
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() && !path.contains('\0') => {
                Ok(Self::File(PathBuf::from(path)))
            }
            Some(("vault", key)) => {
                let (mount, name) = key.rsplit_once('/').unwrap_or((MOUNT, key));
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_plain);
                if !is_part(name) || !mount.split('/').all(is_part) {
                    return wrong();
                }
                Ok(Self::Vault { mount: mount.to_owned(), name: name.to_owned() })
            }
            _ => wrong(),
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", Plain::path(path)),
            Self::Vault { mount, name } if mount == MOUNT => write!(f, "vault:{name}"),
            Self::Vault { mount, name } => write!(f, "vault:{mount}/{name}"),
            Self::Aws(arn) => f.write_str(arn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_word() {
        let vault = |mount: &str, name: &str| KeyName::Vault {
            mount: mount.to_owned(),
            name: name.to_owned(),
        };
        let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab";
        for (text, key) in [
            ("file:kek", KeyName::File("kek".into())),
            ("file:/etc/a b:c", KeyName::File("/etc/a b:c".into())),
            ("vault:agents", vault("transit", "agents")),
            ("vault:a/b/agents", vault("a/b", "agents")),
            (arn, KeyName::Aws(arn.to_owned())),
        ] {
            assert_eq!(text.parse(), Ok(key.clone()), "{text}");
            assert_eq!(key.to_string(), text);
        }
        assert_eq!("vault:transit/agents".parse(), Ok(vault("transit", "agents")));
        let file = KeyName::File("kek".into()).relative_to(Path::new("/etc"));
        assert_eq!(file, KeyName::File("/etc/kek".into()));
    }

    #[test]
    fn what_is_no_key_is_told_what_one_is() {
        for text in [
            "",
            "kek",
            "file:",
            "file:a\0b",
            "vault:",
            "vault:a/",
            "vault:/a",
            "vault:a b",
            "vault:a//b",
            "vault:a?b",
            "arn:aws:s3:::bucket",
            "arn:aws:kms:eu:1:key/a b",
            "aws:alias/agents",
            "alias/agents",
        ] {
            let refused = text.parse::<KeyName>().expect_err(text);
            assert!(refused.starts_with("a key is file:PATH"), "{refused}");
        }
    }
}
