//! Random number generators for tests: one that is reproducible, and ones that are broken.

use core::{convert::Infallible, fmt};

use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};

/// A reproducible generator: SHA-256 of a seed and a counter. For tests only.
#[derive(Clone, Debug)]
pub struct SeededRng {
    seed: u64,
    counter: u64,
}

impl SeededRng {
    /// The generator of this seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }
}

impl TryRng for SeededRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(32) {
            let block = Sha256::new()
                .chain_update(self.seed.to_be_bytes())
                .chain_update(self.counter.to_be_bytes())
                .finalize();
            self.counter += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for SeededRng {}

/// A generator that gives fixed bytes and then fails: the randomness of a known-answer test.
#[derive(Clone, Debug)]
pub struct FixedRng(Vec<u8>);

impl FixedRng {
    /// Gives these bytes, front to back.
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

/// The generator failed.
#[derive(Clone, Copy, Debug)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no randomness")
    }
}

impl core::error::Error for Broken {}

impl TryRng for FixedRng {
    type Error = Broken;

    fn try_next_u32(&mut self) -> Result<u32, Broken> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Broken> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Broken> {
        if out.len() > self.0.len() {
            return Err(Broken);
        }
        out.copy_from_slice(&self.0[..out.len()]);
        self.0.drain(..out.len());
        Ok(())
    }
}

impl TryCryptoRng for FixedRng {}

/// How a [`BrokenRng`] is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "tests match on every kind")]
pub enum Fault {
    /// Every call fails.
    Always,
    /// The call with this number, from 0, fails; the others succeed.
    Once(u32),
    /// Every call gives the same bytes.
    Repeating,
    /// Every call gives zeros.
    Zero,
}

/// A generator with a fault.
#[derive(Clone, Debug)]
pub struct BrokenRng {
    fault: Fault,
    calls: u32,
    sound: SeededRng,
}

impl BrokenRng {
    /// A generator with this fault.
    pub const fn new(fault: Fault) -> Self {
        Self { fault, calls: 0, sound: SeededRng::new(1) }
    }

    /// How often it was called.
    pub const fn calls(&self) -> u32 {
        self.calls
    }
}

impl TryRng for BrokenRng {
    type Error = Broken;

    fn try_next_u32(&mut self) -> Result<u32, Broken> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Broken> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Broken> {
        let call = self.calls;
        self.calls += 1;
        match self.fault {
            Fault::Always => return Err(Broken),
            Fault::Once(failing) if failing == call => return Err(Broken),
            Fault::Repeating => out.fill(0x5A),
            Fault::Zero => out.fill(0),
            Fault::Once(_) => {
                let Ok(()) = self.sound.try_fill_bytes(out);
            }
        }
        Ok(())
    }
}

impl TryCryptoRng for BrokenRng {}
