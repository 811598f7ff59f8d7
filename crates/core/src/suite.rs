//! Cipher suites: one byte with a fixed meaning, never a set of independent choices.

use crate::{DecodeError, DecodeReason, aead::Algorithm};

/// A cipher suite. Both are hybrid: X25519 with ML-KEM-768, and SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a new suite is a new version for every match")]
#[repr(u8)]
pub enum Suite {
    /// 0x01: AES-256-GCM. The default where AES is in hardware.
    AesGcm = 1,
    /// 0x02: ChaCha20-Poly1305.
    ChaChaPoly = 2,
}

impl Suite {
    /// Every suite, ascending.
    pub const ALL: [Self; 2] = [Self::AesGcm, Self::ChaChaPoly];

    /// The suite with this id.
    ///
    /// # Errors
    /// [`DecodeError`] for 0 and for every id this release does not know: there is no
    /// classical suite to fall back to.
    pub fn from_u8(id: u8) -> Result<Self, DecodeError> {
        match id {
            1 => Ok(Self::AesGcm),
            2 => Ok(Self::ChaChaPoly),
            _ => Err(DecodeError::new("suite", DecodeReason::Invalid("unknown suite id"))),
        }
    }

    /// The id on the wire.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The AEAD of this suite.
    pub const fn aead(self) -> Algorithm {
        match self {
            Self::AesGcm => Algorithm::Aes256Gcm,
            Self::ChaChaPoly => Algorithm::ChaCha20Poly1305,
        }
    }

    /// The suite an initiator on this machine should choose: [`Suite::AesGcm`] where AES and
    /// carry-less multiplication are in hardware.
    pub fn preferred() -> Self {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if std::arch::is_x86_feature_detected!("aes")
            && std::arch::is_x86_feature_detected!("pclmulqdq")
        {
            return Self::AesGcm;
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("aes") {
            return Self::AesGcm;
        }
        Self::ChaChaPoly
    }
}

/// The suites an agent supports or offers: 1 to [`SuiteSet::MAX`] ids, strictly ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteSet(Vec<Suite>);

impl SuiteSet {
    /// The most suites that a list may name. Wide enough for years of additions, small enough
    /// to stand in a header.
    pub const MAX: usize = 8;

    /// Every suite of this release.
    pub fn all() -> Self {
        Self(Suite::ALL.to_vec())
    }

    /// Decodes a list of ids.
    ///
    /// # Errors
    /// [`DecodeError`] when it is empty, too long, not strictly ascending, or names an
    /// unknown suite.
    pub fn from_bytes(ids: &[u8]) -> Result<Self, DecodeError> {
        let refuse = |rule| Err(DecodeError::new("suite list", DecodeReason::Invalid(rule)));
        if ids.is_empty() || ids.len() > Self::MAX {
            return refuse("names 1 to 8 suites");
        }
        if !ids.is_sorted_by(|a, b| a < b) {
            return refuse("ids are strictly ascending");
        }
        ids.iter().map(|id| Suite::from_u8(*id)).collect::<Result<_, _>>().map(Self)
    }

    /// The ids, ascending.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().map(|suite| suite.id()).collect()
    }

    /// Whether `suite` is in the list.
    pub fn contains(&self, suite: Suite) -> bool {
        self.0.contains(&suite)
    }

    /// Whether every suite of `other` is in this list too.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|suite| self.contains(*suite))
    }

    /// The suites, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Suite> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_u8(suite.id()), Ok(suite));
        }
    }

    // attack T6: an id that is not a hybrid suite of this release is an error, not a fallback.
    #[test]
    fn unknown_ids_are_refused() {
        for id in (0..=255).filter(|id| !matches!(id, 1 | 2)) {
            assert!(Suite::from_u8(id).is_err(), "{id}");
            assert!(SuiteSet::from_bytes(&[id]).is_err(), "{id}");
        }
    }

    #[test]
    fn bad_lists_are_refused() {
        for (name, ids) in [
            ("empty", &[][..]),
            ("twice", &[1, 1]),
            ("descending", &[2, 1]),
            ("too long", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
            ("zero", &[0, 1]),
            ("unknown", &[1, 3]),
        ] {
            assert!(SuiteSet::from_bytes(ids).is_err(), "{name}");
        }
        assert_eq!(SuiteSet::from_bytes(&[1, 2]), Ok(SuiteSet::all()));
    }

    #[test]
    fn a_list_names_up_to_eight_suites() {
        let reason = |ids: &[u8]| SuiteSet::from_bytes(ids).expect_err("refused").reason();
        let count = DecodeReason::Invalid("names 1 to 8 suites");
        assert_eq!(reason(&[]), count);
        assert_eq!(reason(&[1, 2, 3, 4, 5, 6, 7, 8, 9]), count);
        // Eight are few enough; this release knows two of them.
        let unknown = DecodeReason::Invalid("unknown suite id");
        assert_eq!(reason(&[1, 2, 3, 4, 5, 6, 7, 8]), unknown);
    }

    #[test]
    fn a_list_covers_its_parts() {
        let [one, two] = [1, 2].map(|id| SuiteSet::from_bytes(&[id]).expect("a suite"));
        let all = SuiteSet::all();
        for (a, b, covered) in [
            (&all, &one, true),
            (&all, &two, true),
            (&all, &all, true),
            (&one, &one, true),
            (&one, &two, false),
            (&two, &one, false),
            (&one, &all, false),
        ] {
            assert_eq!(a.covers(b), covered, "{a:?} {b:?}");
        }
        assert_eq!((one.contains(Suite::AesGcm), one.contains(Suite::ChaChaPoly)), (true, false));
        assert_eq!((two.to_bytes(), all.to_bytes()), (vec![2], vec![1, 2]));
        assert!(all.iter().eq(Suite::ALL));
    }
}
