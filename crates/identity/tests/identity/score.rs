//! Score statements.

use sealwire_core::{DecodeReason, MemoryKeyStore, Timestamp, label::Label};
use sealwire_identity::{Error, ScoreStatement};

use crate::common::{DAY, NOW, frame, id, keys, malleate, signed};

#[derive(Clone, minicbor::Encode)]
#[cbor(array)]
struct RawScore {
    #[n(0)]
    issuer: String,
    #[n(1)]
    subject: String,
    #[n(2)]
    score: u64,
    #[n(3)]
    not_after: u64,
}

impl RawScore {
    fn of(issuer: &MemoryKeyStore, subject: &MemoryKeyStore) -> Self {
        Self {
            issuer: id(issuer).to_string(),
            subject: id(subject).to_string(),
            score: 700,
            not_after: NOW.plus(DAY).as_secs(),
        }
    }

    fn body(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("a Vec takes everything")
    }
}

fn judge(bytes: &[u8]) -> Result<ScoreStatement, Error> {
    Ok(ScoreStatement::from_bytes(bytes)?.verify(NOW)?.as_verified().clone())
}

// EV-5
#[test]
fn a_statement_is_read_as_it_was_issued() {
    let [issuer, subject] = [keys(1), keys(2)];
    let end = NOW.plus(DAY);
    let issued = ScoreStatement::issue(&issuer, &id(&subject), 700, end).expect("sound");
    let raw = RawScore::of(&issuer, &subject);
    assert_eq!(issued.as_bytes(), signed(Label::SCORE, &issuer, &raw.body()));
    let read = judge(issued.as_bytes()).expect("verifies");
    assert_eq!(read, issued);
    assert_eq!((read.issuer(), read.subject()), (&id(&issuer), &id(&subject)));
    assert_eq!((read.score(), read.not_after()), (700, end));
}

// EV-6: a shipping peer took the score from the peer's own claim.
#[test]
fn a_score_taken_from_the_peers_own_claim_is_refused() {
    let [keys, other] = [keys(1), keys(2)];
    let raw = RawScore::of(&keys, &keys);
    assert_eq!(judge(&signed(Label::SCORE, &keys, &raw.body())), Err(Error::OwnScore));
    let issued = ScoreStatement::issue(&keys, &id(&keys), 1000, NOW.plus(DAY));
    assert_eq!(issued, Err(Error::OwnScore));
    // Nor does another's name over one's own signature help.
    let raw = RawScore::of(&other, &keys);
    let forged = signed(Label::SCORE, &keys, &raw.body());
    assert_eq!(judge(&forged), Err(Error::Signature("score")));
}

// attack T13: S + L in place of S.
// EV-7
#[test]
fn other_signatures_are_refused() {
    let [issuer, subject] = [keys(1), keys(2)];
    let body = RawScore::of(&issuer, &subject).body();
    let good = signed(Label::SCORE, &issuer, &body);
    assert!(judge(&good).is_ok());
    let mut malleated = good.clone();
    let start = good.len() - 64;
    malleate(&mut malleated[start..]);
    for (name, bytes) in [
        ("malleated", malleated),
        ("another label", signed(Label::CARD, &issuer, &body)),
        ("another key", signed(Label::SCORE, &subject, &body)),
        ("zeros", frame(&body, &[0; 64])),
    ] {
        assert_eq!(judge(&bytes), Err(Error::Signature("score")), "{name}");
    }
    for position in 0..good.len() {
        let mut changed = good.clone();
        changed[position] ^= 1;
        assert!(judge(&changed).is_err(), "byte {position}");
    }
}

// EV-8
#[test]
fn times_are_checked() {
    let [issuer, subject] = [keys(1), keys(2)];
    let max = NOW.plus(ScoreStatement::MAX_LIFETIME).as_secs() + 300;
    let expired = |not_after| {
        Err(Error::Expired { what: "score", not_after: Timestamp::from_secs(not_after) })
    };
    for (name, not_after, expected) in [
        ("the last second", NOW.as_secs(), Ok(())),
        ("a second too late", NOW.as_secs() - 1, expired(NOW.as_secs() - 1)),
        ("90 days and the clock's 5 minutes", max, Ok(())),
        ("a second more", max + 1, Err(Error::Lifetime("score"))),
        ("for ever", u64::MAX, Err(Error::Lifetime("score"))),
    ] {
        let raw = RawScore { not_after, ..RawScore::of(&issuer, &subject) };
        let bytes = signed(Label::SCORE, &issuer, &raw.body());
        assert_eq!(judge(&bytes).map(drop), expected, "{name}");
    }
}

// attack T32: bad statements with good signatures.
// EV-5
#[test]
fn bad_statements_are_refused() {
    let [issuer, subject] = [keys(1), keys(2)];
    let raw = RawScore::of(&issuer, &subject);
    let again = |body: &[u8]| signed(Label::SCORE, &issuer, body);
    let body = raw.body();
    for (name, bytes) in [
        ("1001", again(&RawScore { score: 1001, ..raw.clone() }.body())),
        ("over u16", again(&RawScore { score: 65_536, ..raw.clone() }.body())),
        ("no issuer", again(&RawScore { issuer: String::new(), ..raw.clone() }.body())),
        ("no subject", again(&RawScore { subject: "alice".into(), ..raw.clone() }.body())),
        ("trailing byte", again(&[&body[..], &[0]].concat())),
        ("fifth field", again(&[&[0x85], &body[1..], &[0]].concat())),
        ("indefinite", again(&[&[0x9F], &body[1..], &[0xFF]].concat())),
        ("version 2", [&[2], &again(&body)[1..]].concat()),
        ("too long", vec![1; ScoreStatement::MAX_LEN + 1]),
    ] {
        assert!(matches!(judge(&bytes), Err(Error::Decode(_))), "{name}");
    }
    let good = again(&body);
    for cut in 0..good.len() {
        let Err(Error::Decode(error)) = judge(&good[..cut]) else { panic!("{cut}") };
        assert_eq!((error.what(), error.reason()), ("score", DecodeReason::Truncated), "{cut}");
    }
    let misuse = ScoreStatement::issue(&issuer, &id(&subject), 1001, NOW.plus(DAY));
    assert!(matches!(misuse, Err(Error::Misuse(_))));
    let best = ScoreStatement::issue(&issuer, &id(&subject), 1000, NOW.plus(DAY));
    let best = best.expect("the highest");
    assert_eq!(best.score(), 1000);
    assert_eq!(judge(best.as_bytes()), Ok(best));
}
