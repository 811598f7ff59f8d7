//! The peer that a user means: its id, or as much of its beginning as is enough.

use sealwire::identity::AgentId;

use crate::{
    agent,
    error::{Exit, Failure},
    home::Home,
    text::Plain,
};

/// With what every id begins, and nobody wants to type.
const METHOD: &str = "did:key:";

/// The pinned agent that is meant.
pub(crate) fn resolve(home: &Home, text: &str) -> Result<AgentId, Failure> {
    let pins = match home.pins().exists() {
        true => agent::peers(home)?.list()?,
        false => Vec::new(),
    };
    let ids: Vec<&AgentId> = pins.iter().map(|pin| pin.id()).collect();
    pick(&ids, text).cloned()
}

fn pick<'a>(pinned: &[&'a AgentId], text: &str) -> Result<&'a AgentId, Failure> {
    let begins = |id: &&&AgentId| {
        let id = id.as_str();
        id.starts_with(text) || id.strip_prefix(METHOD).is_some_and(|rest| rest.starts_with(text))
    };
    let found: Vec<&AgentId> = pinned.iter().filter(begins).copied().collect();
    match found[..] {
        _ if text.is_empty() => Err(Failure::new(Exit::Usage, "no peer is named")
            .hint("give its id, or as much of its beginning as is enough")),
        [only] => Ok(only),
        [] if AgentId::parse(text).is_ok() => {
            Err(sealwire::Error::NotPinned(AgentId::parse(text)?).into())
        }
        [] => {
            let message =
                format!("no pinned agent has an id that begins with {}", Plain::new(text));
            Err(Failure::new(Exit::Usage, message)
                .hint("`sealwire trust list` shows those that are pinned"))
        }
        _ => {
            let message =
                format!("{} pinned agents have ids that begin so; type more of it", found.len());
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    const OTHER: &str = "did:key:z6Mkf5rGMoatrSj1f4CyvuHBeXJELe9RPdzo2PKGNCKVtZxP";

    #[test]
    fn an_id_is_found_by_as_much_of_it_as_is_enough() {
        let ids = [ONE, OTHER].map(|id| AgentId::parse(id).expect("an id"));
        let pinned: Vec<&AgentId> = ids.iter().collect();
        for text in [ONE, "did:key:z6Mki", "z6Mki", &ONE[8..]] {
            assert_eq!(pick(&pinned, text).expect(text).as_str(), ONE);
        }
        for (text, exit) in [
            ("", Exit::Usage),
            ("z6Mk", Exit::Usage),
            ("did:key:", Exit::Usage),
            ("6Mki", Exit::Usage),
            ("z6mki", Exit::Usage),
            ("\u{1b}[2J", Exit::Usage),
            // An id that is none of them is one to pin first.
            ("did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH", Exit::Failed),
        ] {
            let failure = pick(&pinned, text).expect_err(text);
            assert_eq!(failure.exit(), exit, "{text}: {}", failure.message());
            assert!(!failure.message().contains('\u{1b}'));
        }
        assert_eq!(pick(&[], "").expect_err("nobody").exit(), Exit::Usage);
        assert_eq!(pick(&pinned[..1], "").expect_err("nothing typed").exit(), Exit::Usage);
    }
}
