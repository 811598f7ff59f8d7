//! snow's handshake state in a box that is overwritten, and what is taken from it at the end.

use rand_core::TryCryptoRng;
use sealwire_core::{
    Suite,
    kem::KemSecret,
    keys::{EphemeralPublic, EphemeralSecret, StaticPublic},
    label::Label,
    secret::Secret,
    wipe::{Wiped, WipedVec, deep_stack_if, stack},
};
use snow::{Builder, HandshakeState, params::NoiseParams};

use crate::{
    Error, Role,
    resolver::{Prepared, PreparedKem, Resolver, STATIC_HANDLE, StaticHandle},
    session::Session,
};

/// The largest Noise message, in bytes (Noise revision 34, section 3).
pub(crate) const MAX_MESSAGE: usize = 65_535;

/// The most that the tokens of one message add to its payload, in bytes. snow writes a KEM
/// field without looking at the room that is left, so there is always this much.
const TOKEN_ROOM: usize = 4096;

/// One side of a Noise handshake.
pub(crate) struct Machine {
    state: Wiped<HandshakeState>,
    /// Whether there are pre-shared keys.
    psk: bool,
    static_key: StaticPublic,
    ephemeral: EphemeralPublic,
}

/// How one side starts.
pub(crate) struct Setup<'a> {
    pub(crate) params: NoiseParams,
    pub(crate) role: Role,
    pub(crate) prologue: &'a [u8],
    pub(crate) handle: StaticHandle,
    pub(crate) prepared: Prepared,
    pub(crate) remote: Option<&'a StaticPublic>,
    /// Pre-shared keys and their places in the pattern.
    pub(crate) psks: &'a [(u8, &'a Secret<32>)],
}

impl Prepared {
    /// Draws what an initiator needs.
    pub(crate) fn initiator(rng: &mut (impl TryCryptoRng + ?Sized)) -> Result<Self, Error> {
        let [ephemeral, d, z] = sealwire_core::rng::draw_distinct(rng)?;
        let seed = Secret::<64>::init_with(|out| {
            let (left, right) = out.split_at_mut(32);
            left.copy_from_slice(d.expose());
            right.copy_from_slice(z.expose());
        });
        Ok(Self {
            ephemeral: EphemeralSecret::from_seed(&ephemeral)?,
            kem: PreparedKem::Own(KemSecret::from_seed(&seed)),
        })
    }

    /// Draws what a responder needs.
    pub(crate) fn responder(rng: &mut (impl TryCryptoRng + ?Sized)) -> Result<Self, Error> {
        let [ephemeral, randomness] = sealwire_core::rng::draw_distinct(rng)?;
        Ok(Self {
            ephemeral: EphemeralSecret::from_seed(&ephemeral)?,
            kem: PreparedKem::Randomness(randomness),
        })
    }
}

impl Machine {
    pub(crate) fn new(setup: Setup<'_>) -> Result<Self, Error> {
        let Setup { params, role, prologue, handle, prepared, remote, psks } = setup;
        let (static_key, ephemeral) = (handle.public, *prepared.ephemeral.public());
        let resolver = Resolver::new(handle, prepared);
        let psk = !psks.is_empty();
        let build = || {
            let mut builder = Builder::with_resolver(params, Box::new(resolver))
                .local_private_key(&STATIC_HANDLE)?
                .prologue(prologue)?;
            if let Some(remote) = remote {
                builder = builder.remote_public_key(remote.as_bytes())?;
            }
            for (location, psk) in psks {
                builder = builder.psk(*location, psk.expose())?;
            }
            match role {
                Role::Initiator => builder.build_initiator(),
                Role::Responder => builder.build_responder(),
            }
            .map(Wiped::new)
        };
        let state = deep_stack_if(|| (build(), psk));
        let state = state.map_err(|_: snow::Error| Error::Handshake)?;
        Ok(Self { state, psk, static_key, ephemeral })
    }

    /// This side's static public key.
    pub(crate) fn static_key(&self) -> &StaticPublic {
        &self.static_key
    }

    /// This side's ephemeral public key, known before it is sent.
    pub(crate) fn ephemeral(&self) -> &EphemeralPublic {
        &self.ephemeral
    }

    /// h as it stands now.
    pub(crate) fn hash(&self) -> Result<[u8; 32], Error> {
        self.state
            .get_handshake_hash()
            .first_chunk()
            .copied()
            .ok_or(Error::Unreachable("the hash is 32 bytes long"))
    }

    /// Writes the next message.
    pub(crate) fn write(&mut self, payload: &[u8]) -> Result<Vec<u8>, Error> {
        let room = payload.len().saturating_add(TOKEN_ROOM);
        let mut message = vec![0; room];
        let len = self.step(|state| state.write_message(payload, &mut message))?;
        message.truncate(len);
        Ok(message)
    }

    /// Reads the peer's message and gives its payload. After an error the machine is used up (HS-16):
    /// callers own it and drop it.
    pub(crate) fn read(&mut self, message: &[u8]) -> Result<WipedVec, Error> {
        if message.len() > MAX_MESSAGE {
            return Err(Error::Handshake);
        }
        let mut payload = WipedVec::zeroed(message.len());
        let len = self.step(|state| state.read_message(message, &mut payload))?;
        payload.truncate(len);
        Ok(payload)
    }

    /// One call into snow. Until a secret is mixed in, as before message 2 of XX, no secret was on
    /// the stack.
    fn step(
        &mut self,
        work: impl FnOnce(&mut HandshakeState) -> Result<usize, snow::Error>,
    ) -> Result<usize, Error> {
        let Self { state, psk, static_key: _, ephemeral: _ } = self;
        deep_stack_if(|| {
            let len = work(state);
            // What was mixed in before an error is forgotten.
            let secrets = *psk || len.is_err() || state.was_write_payload_encrypted();
            (len, secrets)
        })
        .map_err(|_| Error::Handshake)
    }

    /// The peer's static key, once a message carried it.
    pub(crate) fn remote_static(&self) -> Result<StaticPublic, Error> {
        let bytes = self.state.get_remote_static().ok_or(Error::Handshake)?;
        StaticPublic::from_bytes(bytes).map_err(|_| Error::Handshake)
    }

    /// Ends the handshake: record keys and channel binding from the split and h.
    pub(crate) fn finish(mut self, suite: Suite, role: Role) -> Result<Session, Error> {
        // HS-13: the raw split works before the end too, with keys that nobody has proven.
        if !self.state.is_handshake_finished() {
            return Err(Error::Unreachable("the handshake has finished"));
        }
        let hash = self.hash()?;
        let split = self.split();
        let (to_responder, to_initiator) = split.expose().split_at(32);
        // REC-4
        let key = |split: &[u8], direction: u8| -> Result<Secret<32>, Error> {
            let info = Label::RECORD_KEY.context(Some(suite), &[&[direction]])?;
            Ok(sealwire_core::kdf::hkdf(&hash, split, &info))
        };
        let keys = [key(to_responder, 0)?, key(to_initiator, 1)?];
        let info = Label::CHANNEL_BINDING.context(Some(suite), &[])?;
        let binding: Secret<32> = sealwire_core::kdf::hkdf(&[0; 32], &hash, &info);
        Session::new(suite, role, keys, *binding.expose())
    }

    /// The two keys of Noise's Split(), the initiator's sending key first.
    pub(crate) fn split(&mut self) -> Secret<64> {
        Secret::init_with(|out| {
            stack(|| {
                let (first, second) = self.state.dangerously_get_raw_split();
                let (left, right) = out.split_at_mut(32);
                left.copy_from_slice(&first);
                right.copy_from_slice(&second);
            });
        })
    }
}

impl core::fmt::Debug for Machine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Machine(..)")
    }
}

#[cfg(test)]
mod tests;
