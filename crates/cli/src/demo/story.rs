//! The story: Alice and Bob meet, meet again, and are attacked, each step with its check.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use sealwire::identity::IdentityCard;
use serde_json::Value;

use super::{
    bucket::Bucket,
    child::{Binary, Child, Ended},
    impostor::Loot,
    middle::{Meddling, Middle},
    office::Office,
    offline::Offline,
    place::Place,
    scan::{Secret, look_for},
};

/// One line of the demo.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) holds: bool,
    pub(super) detail: String,
}

impl Step {
    /// A step with what it shows when its check holds, or else with how both sides ended.
    fn new(name: &'static str, holds: bool, detail: String, outcome: &Outcome) -> Self {
        let detail = if holds { detail } else { outcome.to_string() };
        Self { name, holds, detail }
    }
}

/// An agent of the demo.
struct Actor {
    home: PathBuf,
    id: String,
    card: PathBuf,
}

/// Who answers, and what the middle does.
enum Scene {
    /// Bob lets strangers in.
    Strangers,
    /// Bob knows Alice.
    Friends(Meddling),
    /// Someone else answers with Bob's card.
    Impostor(Loot),
}

/// What came of a conversation.
struct Outcome {
    alice: Ended,
    bob: Ended,
    at_alice: Vec<u8>,
    at_bob: Vec<u8>,
    wire: Vec<u8>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, side, received) in
            [("Alice", &self.alice, &self.at_alice), ("Bob", &self.bob, &self.at_bob)]
        {
            let (code, received) = (side.code.unwrap_or(-1), received.len());
            write!(f, "{name} ended with {code} and {received} bytes, {}; ", side.failure())?;
        }
        Ok(())
    }
}

pub(super) struct Story {
    binary: Binary,
    directory: PathBuf,
    file: PathBuf,
    content: Vec<u8>,
    alice: Actor,
    bob: Actor,
    /// All that the middle saw.
    seen: Vec<u8>,
}

impl Story {
    /// Gives Alice and Bob their identities, in directories of their own.
    pub(super) async fn begin(
        binary: Binary,
        directory: &Path,
        content: Vec<u8>,
    ) -> io::Result<Self> {
        let file = directory.join("file");
        fs::write(&file, &content)?;
        let (alice, bob) =
            tokio::try_join!(actor(&binary, directory, "alice"), actor(&binary, directory, "bob"))?;
        let directory = directory.to_owned();
        Ok(Self { binary, directory, file, content, alice, bob, seen: Vec::new() })
    }

    /// Strangers meet with XX, move the file both ways, and pin each other.
    pub(super) async fn strangers_meet(&mut self) -> io::Result<Step> {
        let outcome = self.play(Scene::Strangers).await?;
        let alice_pins = self.pins(&self.alice, &self.bob.id).await?;
        let bob_pins = self.pins(&self.bob, &self.alice.id).await?;
        let moved = self.moved(&outcome, "XX");
        let name = "strangers meet with XX and pin each other";
        let holds = moved && alice_pins && bob_pins;
        Ok(Step::new(name, holds, self.describe(&outcome), &outcome))
    }

    /// They meet again with IK, since each holds the other's card.
    pub(super) async fn friends_meet(&mut self) -> io::Result<Step> {
        let outcome = self.play(Scene::Friends(Meddling::Nothing)).await?;
        let holds = self.moved(&outcome, "IK");
        Ok(Step::new("they meet again with IK", holds, self.describe(&outcome), &outcome))
    }

    /// The middle flips one bit of a record.
    pub(super) async fn a_bit_is_flipped(&mut self) -> io::Result<Step> {
        let outcome = self.play(Scene::Friends(Meddling::Flip)).await?;
        let refused = outcome.bob.code.is_some_and(|code| code != 0);
        let holds = refused && outcome.at_bob.is_empty();
        let detail = "refused, 0 bytes released".to_owned();
        Ok(Step::new("the middle flips one bit", holds, detail, &outcome))
    }

    /// The middle cuts the connection in the middle of a record.
    pub(super) async fn the_stream_is_cut(&mut self) -> io::Result<Step> {
        let outcome = self.play(Scene::Friends(Meddling::Cut)).await?;
        let cut = Some(i32::from(CUT));
        let holds = outcome.bob.code == cut
            && outcome.alice.code == cut
            && outcome.at_bob.is_empty()
            && outcome.at_alice.is_empty();
        let detail = "reported as cut on both sides, 0 bytes released".to_owned();
        Ok(Step::new("the middle cuts the stream within a record", holds, detail, &outcome))
    }

    /// An impostor has Bob's card and not his keys.
    pub(super) async fn an_impostor_has_the_card(&mut self) -> io::Result<Step> {
        self.impostor("an impostor has Bob's card, not his keys", Loot::Card).await
    }

    /// An impostor has Bob's exchange keys and not his identity key.
    pub(super) async fn an_impostor_has_exchange_keys(&mut self) -> io::Result<Step> {
        let name = "an impostor has Bob's exchange keys, not his identity key";
        self.impostor(name, Loot::ExchangeKeys).await
    }

    /// The middle strikes suites from Alice's offer.
    pub(super) async fn the_offer_is_downgraded(&mut self) -> io::Result<Step> {
        let outcome = self.play(Scene::Friends(Meddling::OfferLess)).await?;
        let refused = outcome.alice.code.is_some_and(|code| code != 0);
        let holds = refused && outcome.at_alice.is_empty() && outcome.at_bob.is_empty();
        let detail = "refused, 0 bytes released".to_owned();
        Ok(Step::new("the middle strikes a suite from the offer", holds, detail, &outcome))
    }

    /// What the middle saw of all this.
    pub(super) fn what_the_middle_saw(&self) -> io::Result<Step> {
        let cards = [card(&self.alice)?, card(&self.bob)?];
        let secrets: [Secret<'_>; 3] = [
            ("the plaintext", vec![&self.content]),
            ("an id", vec![self.alice.id.as_bytes(), self.bob.id.as_bytes()]),
            ("a card", cards.iter().map(IdentityCard::as_bytes).collect()),
        ];
        let (hidden, found) = look_for(&self.seen, &secrets);
        let holds = hidden && !self.seen.is_empty();
        let detail = format!("{} bytes; {found}", self.seen.len());
        Ok(Step { name: "what the middle saw", holds, detail })
    }

    /// The agents without a connection between them, and a relay.
    pub(super) async fn offline(&self) -> io::Result<Offline> {
        let passphrase = self.binary.passphrase();
        let [alice, bob] =
            [&self.alice, &self.bob].map(|actor| Place::new(actor.home.clone(), passphrase));
        let cards = [card(&self.alice)?, card(&self.bob)?].map(|card| card.as_bytes().to_vec());
        let office = Office::open(self.binary.clone(), self.directory.join("relay")).await?;
        Offline::new(office, alice?, bob?, &self.content, cards)
    }

    /// A bucket, and the same agents.
    pub(super) fn bucket(&self, agents: [Place; 2]) -> io::Result<Bucket<'_>> {
        let cards = [card(&self.alice)?, card(&self.bob)?];
        Bucket::new(&self.directory, self.binary.passphrase(), agents, cards, &self.content)
    }

    async fn impostor(&mut self, name: &'static str, loot: Loot) -> io::Result<Step> {
        let outcome = self.play(Scene::Impostor(loot)).await?;
        let refused = outcome.alice.code.is_some_and(|code| code != 0);
        let believed = outcome.bob.field("answered", "believed") != Some("no");
        let holds = refused && !believed && outcome.at_alice.is_empty();
        let detail = format!("refused: {}", outcome.alice.failure());
        Ok(Step::new(name, holds, detail, &outcome))
    }

    /// Lets one side answer and Alice dial it, through the middle.
    async fn play(&mut self, scene: Scene) -> io::Result<Outcome> {
        let (at_alice, at_bob) = (self.directory.join("at-alice"), self.directory.join("at-bob"));
        let mut bob = self.answerer(&scene, &at_bob)?;
        let listening = bob.event("listening").await?;
        let address = listening.get("address").and_then(Value::as_str).unwrap_or_default();
        let address = address.parse().map_err(io::Error::other)?;
        let meddling = match scene {
            Scene::Friends(meddling) => meddling,
            Scene::Strangers | Scene::Impostor(_) => Meddling::Nothing,
        };
        let middle = Middle::start(address, meddling).await?;
        let dialled = middle.address().to_string();
        let whom: &[&str] = match scene {
            Scene::Strangers => &["--stranger"],
            Scene::Friends(_) | Scene::Impostor(_) => &["--peer", &self.bob.id],
        };
        let arguments = [&["connect", &dialled], whom].concat();
        let alice = self.binary.start(&self.alice.home, &arguments, Some(&self.file), &at_alice)?;
        let alice = alice.finish().await?;
        // A refused dial leaves Bob waiting for the next one.
        let bob = if alice.code == Some(i32::from(REFUSED)) {
            Ended { code: None, events: Vec::new() }
        } else {
            bob.finish().await?
        };
        let wire = middle.finish();
        self.seen.extend_from_slice(&wire);
        let (at_alice, at_bob) = (fs::read(at_alice)?, fs::read(at_bob)?);
        Ok(Outcome { alice, bob, at_alice, at_bob, wire })
    }

    fn answerer(&self, scene: &Scene, stdout: &Path) -> io::Result<Child> {
        let (home, stdin) = (&self.bob.home, Some(self.file.as_path()));
        let loot = match scene {
            Scene::Strangers => {
                let arguments = ["listen", "127.0.0.1:0", "--allow-any"];
                return self.binary.start(home, &arguments, stdin, stdout);
            }
            Scene::Friends(_) => {
                return self.binary.start(home, &["listen", "127.0.0.1:0"], stdin, stdout);
            }
            Scene::Impostor(Loot::Card) => "card",
            Scene::Impostor(Loot::ExchangeKeys) => "exchange-keys",
        };
        let card = self.bob.card.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        self.binary.start(home, &["demo-peer", "--loot", loot, "--card", card], None, stdout)
    }

    /// Whether the file arrived whole on both sides, by the handshake `name`.
    fn moved(&self, outcome: &Outcome, name: &str) -> bool {
        let Outcome { alice, bob, at_alice, at_bob, wire: _ } = outcome;
        [alice, bob]
            .iter()
            .all(|side| side.code == Some(0) && side.field("connected", "handshake") == Some(name))
            && *at_alice == self.content
            && *at_bob == self.content
            && alice.field("connected", "peer") == Some(&self.bob.id)
            && bob.field("connected", "peer") == Some(&self.alice.id)
    }

    fn describe(&self, outcome: &Outcome) -> String {
        format!(
            "{} bytes each way arrived whole, as {} on the wire",
            self.content.len(),
            outcome.wire.len()
        )
    }

    /// Whether `actor` lists `id` among its pins.
    async fn pins(&self, actor: &Actor, id: &str) -> io::Result<bool> {
        let list = self.binary.run(&actor.home, &["trust", "list"]).await?;
        Ok(list.to_string().contains(id))
    }
}

/// Exit codes of `connect` and `listen`.
const CUT: u8 = crate::error::Exit::Cut.code();
const REFUSED: u8 = crate::error::Exit::Refused.code();

async fn actor(binary: &Binary, directory: &Path, name: &str) -> io::Result<Actor> {
    let home = directory.join(name);
    binary.run(&home, &["id", "new"]).await?;
    let shown = binary.run(&home, &["id", "card"]).await?;
    let field = |name: &str| shown.get(name).and_then(Value::as_str).map(str::to_owned);
    let text = field("card").ok_or_else(|| io::Error::other("id card printed no card"))?;
    let id = field("id").ok_or_else(|| io::Error::other("id card printed no id"))?;
    let card = directory.join(name).with_extension("card");
    fs::write(&card, text)?;
    Ok(Actor { home, id, card })
}

fn card(actor: &Actor) -> io::Result<IdentityCard> {
    let card = IdentityCard::from_text(&fs::read_to_string(&actor.card)?);
    Ok(card.map_err(io::Error::other)?.claimed().clone())
}
