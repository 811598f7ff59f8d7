//! X3DH and the classical ratchet. `keys` also answers `identity_secret`, with which the test
//! signs the signed prekey for the other implementation.

#![expect(clippy::disallowed_types, reason = "a program draws its own randomness")]

use getrandom::SysRng;
use sealwire_core::{
    Suite, kdf,
    keys::{EphemeralSecret, StaticSecret, X25519Public},
    secret::Secret,
};
use sealwire_ratchet::{Agreed, Error, Session, hazmat, x3dh};
use serde_json::json;

use crate::{
    NOW,
    command::{Answer, Command, Fault, broken},
};

/// The info of X3DH: the application's name.
const INFO: &[u8] = b"sealwire interop x3dh";

/// In the place of a prefix, which there is none of: it is dropped at once.
const PREFIX: [u8; 51] = [0; 51];

/// One party.
#[derive(Default)]
pub(crate) struct Peer {
    keys: Option<Keys>,
    session: Option<Session>,
}

/// The private keys of a responder.
struct Keys {
    identity: StaticSecret,
    signed_seed: Secret<32>,
    signed: StaticSecret,
    one_time: Option<EphemeralSecret>,
}

impl Peer {
    pub(crate) fn answer(&mut self, command: &Command) -> Result<Answer, Fault> {
        match command.text("op")? {
            "keys" => self.keys(command.flag("one_time")?),
            "initiate" => self.initiate(command),
            "respond" => self.respond(command),
            "seal" => Ok(json!({ "frame": self.seal(&command.bytes("data")?)? })),
            "open" => Ok(json!({ "data": open(self.session()?, &command.bytes("frame")?)? })),
            "skipped" => Ok(json!({ "skipped": self.session()?.skipped() })),
            other => Err(broken(other)),
        }
    }

    fn session(&mut self) -> Result<&mut Session, Fault> {
        self.session.as_mut().ok_or_else(|| broken("there is no session"))
    }

    fn keys(&mut self, one_time: bool) -> Result<Answer, Fault> {
        let (identity, signed_seed) =
            (Secret::random(&mut SysRng)?, Secret::<32>::random(&mut SysRng)?);
        let identity_secret = hex::encode(identity.expose());
        let keys = Keys {
            identity: StaticSecret::from_seed(&identity)?,
            signed: StaticSecret::from_seed(&signed_seed)?,
            signed_seed,
            one_time: one_time.then(|| EphemeralSecret::generate(&mut SysRng)).transpose()?,
        };
        let answer = json!({
            "identity": hex::encode(keys.identity.public().as_bytes()),
            "identity_secret": identity_secret,
            "signed": hex::encode(keys.signed.public().as_bytes()),
            "one_time": keys.one_time.as_ref().map(|key| hex::encode(key.public().as_bytes())),
        });
        self.keys = Some(keys);
        Ok(answer)
    }

    fn initiate(&mut self, command: &Command) -> Result<Answer, Fault> {
        let bundle = command.part("bundle").ok_or_else(|| broken("no bundle"))?;
        let [theirs, signed] = [bundle.key("identity")?, bundle.key("signed")?];
        let one_time = bundle.optional_key("one_time")?;
        let identity = StaticSecret::generate(&mut SysRng)?;
        let ephemeral = EphemeralSecret::generate(&mut SysRng)?;
        let responder =
            x3dh::Responder { identity: &theirs, signed: &signed, one_time: one_time.as_ref() };
        let sk = x3dh::initiate(&identity, &ephemeral, responder, INFO)?;

        let shown = hex::encode(sk.expose());
        let agreed = agreed(command, sk, identity.public(), &theirs)?;
        let mut session =
            hazmat::initiate_classical(agreed, &signed, PREFIX.to_vec(), NOW, &mut SysRng)?;
        session.drop_prefix();
        self.session = Some(session);
        let hello = json!({
            "identity": hex::encode(identity.public().as_bytes()),
            "ephemeral": hex::encode(ephemeral.public().as_bytes()),
            "signed": hex::encode(signed.as_bytes()),
            "one_time": one_time.map(|key| hex::encode(key.as_bytes())),
        });
        let frame = self.seal(&command.bytes("data")?)?;
        Ok(json!({ "hello": hello, "sk": shown, "frame": frame }))
    }

    /// The session is kept only if the message opens.
    fn respond(&mut self, command: &Command) -> Result<Answer, Fault> {
        let keys = self.keys.as_ref().ok_or_else(|| broken("there are no keys"))?;
        let hello = command.part("hello").ok_or_else(|| broken("no hello"))?;
        let [identity, ephemeral] = [hello.key("identity")?, hello.key("ephemeral")?];
        let named = hello.optional_key("one_time")?;
        let one_time = keys.one_time.as_ref().filter(|_| named.is_some());
        let held = hello.key("signed")? == **keys.signed.public()
            && named == one_time.map(|key| **key.public());
        if !held {
            return Err(Error::NoPrekey.into());
        }
        let secrets =
            x3dh::ResponderSecrets { identity: &keys.identity, signed: &keys.signed, one_time };
        let sk = x3dh::respond(secrets, &identity, &ephemeral, INFO)?;

        let shown = hex::encode(sk.expose());
        let agreed = agreed(command, sk, &identity, keys.identity.public())?;
        let mut session = hazmat::respond_classical(agreed, &keys.signed_seed, &PREFIX, NOW)?;
        let data = open(&mut session, &command.bytes("frame")?)?;
        self.session = Some(session);
        Ok(json!({ "sk": shown, "data": data }))
    }

    fn seal(&mut self, plaintext: &[u8]) -> Result<String, Fault> {
        let session = self.session()?;
        let sealed = session.seal(NOW, &mut SysRng, plaintext)?;
        session.apply(sealed.step)?;
        Ok(hex::encode(sealed.frame))
    }
}

/// The input of the ratchet; H_AD is over both identity keys, the initiator's first.
fn agreed(
    command: &Command,
    sk: Secret<32>,
    initiator: &X25519Public,
    responder: &X25519Public,
) -> Result<Agreed, Fault> {
    let suite = Suite::from_u8(command.number("suite")?)?;
    let h_ad = kdf::sha256(&[initiator.as_bytes(), responder.as_bytes()]);
    Ok(hazmat::agreed(suite, sk, h_ad))
}

fn open(session: &mut Session, frame: &[u8]) -> Result<String, Fault> {
    let opened = session.open(NOW, frame)?;
    session.apply(opened.step)?;
    Ok(hex::encode(&*opened.plaintext))
}
