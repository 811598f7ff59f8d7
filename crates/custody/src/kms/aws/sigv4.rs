//! AWS Signature Version 4 of a POST to `/`, which is all that KMS is asked with.

use core::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sealwire_core::{Timestamp, kdf::sha256};
use sha2::Sha256;
use zeroize::Zeroizing;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
pub(super) struct Signer<'a> {
    pub(super) key_id: &'a str,
    pub(super) secret_key: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// What is signed: names in lowercase, values without spaces around them.
pub(super) struct Signed<'a> {
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

impl Signer<'_> {
    /// The value of the header `authorization`. The headers hold `host` and `x-amz-date`, the
    /// latter of `now`.
    // KMS-20
    pub(super) fn authorization(&self, signed: &Signed<'_>, now: Timestamp) -> String {
        let (canonical, names) = canonical_request(signed);
        let date = date(now);
        let day = date.get(..8).unwrap_or_default();
        let Self { key_id, region, service, .. } = self;
        let scope = format!("{day}/{region}/{service}/aws4_request");
        let digest = hex(&sha256(&[canonical.as_bytes()]));
        let to_sign = format!("{ALGORITHM}\n{date}\n{scope}\n{digest}");
        let signature = hex(&*self.sign(day, &to_sign));
        format!(
            "{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }

    fn sign(&self, day: &str, to_sign: &str) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new(Vec::with_capacity(4 + self.secret_key.len()));
        secret.extend_from_slice(b"AWS4");
        secret.extend_from_slice(self.secret_key.as_bytes());
        let first = hmac(&secret, day);
        let parts = [self.region, self.service, "aws4_request", to_sign];
        parts.iter().fold(first, |key, part| hmac(&*key, part))
    }
}

/// The request in its one form, and the names of its headers.
fn canonical_request(signed: &Signed<'_>) -> (String, String) {
    let mut headers = signed.headers.to_vec();
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    (format!("POST\n/\n\n{lines}\n{names}\n{}", hex(&sha256(&[signed.body]))), names)
}

fn hmac(key: &[u8], message: &str) -> Zeroizing<[u8; 32]> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Zeroizing::default() };
    mac.update(message.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As `20150830T123600Z`.
pub(super) fn date(time: Timestamp) -> String {
    let (days, secs) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Year, month and day of a number of days since 1970. Years begin with March here, so that a
/// leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    const FROM_YEAR_0: u64 = 719_468; // From the first of March of year 0 to 1970.
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days.saturating_add(FROM_YEAR_0);
    let (era, of_era) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let leap_days = of_era / 1460 + of_era / 146_096;
    let year_of_era = (of_era + of_era / 36_524 - leap_days) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealwire_testkit::vectors;
    use serde_json::Value;

    // KMS-20: AWS's own test suite, see tests/vectors/README.md.
    #[test]
    fn the_vectors_of_aws_sign_the_same() {
        let file = vectors::json(include_str!("../../../tests/vectors/sigv4.json"));
        let set = file["vectors"].as_array().expect("a list");
        for vector in set {
            let text = |value: &'_ Value| value.as_str().expect("a text").to_owned();
            let name = text(&vector["name"]);
            let headers: Vec<(String, String)> = vector["headers"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|header| (text(&header[0]), text(&header[1])))
                .collect();
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let body = text(&vector["body"]);
            let signed = Signed { headers: &headers, body: body.as_bytes() };
            assert_eq!(canonical_request(&signed).0, text(&vector["canonical_request"]), "{name}");
            let signer = Signer {
                key_id: "AKIDEXAMPLE",
                secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                region: "us-east-1",
                service: "service",
            };
            let now = Timestamp::from_secs(1_440_938_160); // 2015-08-30T12:36:00Z
            let authorization = signer.authorization(&signed, now);
            assert_eq!(authorization, text(&vector["authorization"]), "{name}");
        }
        vectors::passed("sigv4", set.len());
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (secs, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (1_767_225_599, "20251231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
            (253_402_300_799, "99991231T235959Z"),
        ] {
            assert_eq!(date(Timestamp::from_secs(secs)), text);
        }
        let _ = date(Timestamp::from_secs(u64::MAX));
    }
}
