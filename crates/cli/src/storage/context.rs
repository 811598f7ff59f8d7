//! What an object is said to be, from arguments and settings.

use std::str::FromStr;

use sealwire_envelope::{Context, Pairs, context::TENANT};

use crate::{
    config::StorageConfig,
    error::{Exit, Failure},
    text::Plain,
};

/// One `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    name: String,
    value: String,
}

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
        let (name, value) = (name.to_owned(), value.to_owned());
        if name.is_empty() { Err("a name stands before the =") } else { Ok(Self { name, value }) }
    }
}

/// The context of an object that is sealed. `require` names pairs that are not stored.
pub(crate) fn of_seal(
    pairs: &[Pair],
    require: &[String],
    config: &StorageConfig,
) -> Result<Context, Failure> {
    let mut all: Vec<(&str, &str)> = texts(pairs).collect();
    if !all.iter().any(|(name, _)| *name == TENANT) {
        let tenant = config.tenant.as_deref().ok_or_else(|| {
            Failure::new(Exit::Usage, "whose object it is has not been said")
                .hint("give --context tenant=NAME, or set storage.tenant")
        })?;
        all.push((TENANT, tenant));
    }
    if let Some(unknown) = require.iter().find(|name| !all.iter().any(|(it, _)| it == name)) {
        let name = Plain::new(unknown);
        let message = format!("--require {name}: there is no --context {name}=…");
        return Err(Failure::new(Exit::Usage, message).hint("give it its value with --context"));
    }
    let require: Vec<&str> = require.iter().map(String::as_str).collect();
    Context::requiring(&require, all).map_err(wrong)
}

/// The pairs that whoever opens an object has to know. Those that the object shows itself need not
/// be given, and must be the same where they are.
pub(crate) fn of_open(
    pairs: &[Pair],
    stored: &Pairs,
    config: &StorageConfig,
) -> Result<Pairs, Failure> {
    let mut required = Pairs::default();
    for (name, value) in texts(pairs) {
        match stored.get(name) {
            None => required.insert(name, value).map_err(wrong)?,
            Some(same) if same == value => {}
            Some(other) => {
                let (name, value, other) = (Plain::new(name), Plain::new(value), Plain::new(other));
                let message = format!("the object has {name}={other}, and not {name}={value}");
                return Err(Failure::other(message).hint(
                    "leave this --context out, or look again \
                                                         whether it is the object that is meant",
                ));
            }
        }
    }
    if required.get(TENANT).is_none()
        && let Some(tenant) = &config.tenant
    {
        required.insert(TENANT, tenant).map_err(wrong)?;
    }
    Ok(required)
}

fn texts(pairs: &[Pair]) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|Pair { name, value }| (name.as_str(), value.as_str()))
}

fn wrong(error: sealwire_envelope::Error) -> Failure {
    Failure::new(Exit::Usage, format!("--context: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_a_name_and_may_have_an_empty_value() {
        for (text, pair) in
            [("a=b", Ok(("a", "b"))), ("a=", Ok(("a", ""))), ("a=b=c", Ok(("a", "b=c")))]
                .into_iter()
                .chain([("a", Err("write NAME=VALUE")), ("=b", Err("a name stands before the ="))])
        {
            let pair = pair.map(|(name, value)| Pair { name: name.into(), value: value.into() });
            assert_eq!(text.parse(), pair, "{text}");
        }
    }
}
