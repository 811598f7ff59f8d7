//! Times of two kinds of inputs, compared with Welch's t-test as dudect does (Reparaz, Balasch
//! and Verbauwhede, "Dude, is my code constant time?", 2017). It prints and judges nothing: a
//! value far above 4.5 that grows with the number of measurements hints at a difference.

use std::hint::black_box;
use std::time::{Duration, Instant};

use sealwire_core::{
    aead::{AeadKey, Algorithm, TAG_LEN},
    kem::{KemCiphertext, KemSecret},
    secret::{self, Secret},
};

/// The first measurements fix the threshold above which all are dropped: interrupts.
const CALIBRATION: usize = 2000;

/// A name, and what measures for a while.
type Comparison = (&'static str, fn(Duration));

/// Measures every comparison for an equal share of `seconds`.
// attack T36: what memcheck does not see.
pub(crate) fn run(seconds: u64) {
    let comparisons: [Comparison; 5] = [
        ("control, stops early", |share| measure(share, 200, &tags(), leaky)),
        ("secret::equal", |share| {
            measure(share, 200, &tags(), |tag| secret::equal(tag, black_box(&TAG[..])))
        }),
        ("AES-256-GCM open, tag", |share| opening(share, Algorithm::Aes256Gcm)),
        ("ChaCha20-Poly1305 open, tag", |share| opening(share, Algorithm::ChaCha20Poly1305)),
        ("ML-KEM-768 decapsulation", decapsulation),
    ];
    let share = Duration::from_secs(seconds) / u32::try_from(comparisons.len()).unwrap_or(1);
    for (name, comparison) in comparisons {
        print!("{name:<34} ");
        comparison(share);
    }
}

const TAG: [u8; TAG_LEN] = [0xA5; TAG_LEN];

/// Two wrong tags: in the first byte, and in the last one.
fn tags() -> [[u8; TAG_LEN]; 2] {
    [0, TAG_LEN - 1].map(|index| {
        let mut tag = TAG;
        tag[index] ^= 1;
        tag
    })
}

fn leaky(tag: &[u8; TAG_LEN]) -> bool {
    tag.iter().zip(&TAG).all(|(a, b)| black_box(a) == b)
}

fn opening(share: Duration, algorithm: Algorithm) {
    let key = AeadKey::new(algorithm, &Secret::init_with(|key| key.fill(1))).expect("a key");
    let tag = key.seal_detached(&[2; 12], b"", &mut [0; 64]).expect("short");
    let wrong = [0, TAG_LEN - 1].map(|index| {
        let mut wrong = tag;
        wrong[index] ^= 1;
        wrong
    });
    measure(share, 20, &wrong, |tag| key.open_detached(&[2; 12], b"", &mut [0; 64], tag).is_ok());
}

/// A ciphertext for the key, and one that is rejected.
fn decapsulation(share: Duration) {
    let key = KemSecret::from_seed(&Secret::init_with(|seed| seed.fill(1)));
    let (valid, _) = key.public().encapsulate_with(Secret::init_with(|bytes| bytes.fill(2)));
    let mut invalid = *valid.as_bytes();
    invalid[0] ^= 1;
    let invalid = KemCiphertext::from_bytes(&invalid).expect("1,088 bytes");
    measure(share, 1, &[valid, invalid], |ciphertext| key.decapsulate(ciphertext));
}

/// Times `work`, `repeats` at a time, on one of two inputs, in an order that looks random.
fn measure<I: Clone, R>(share: Duration, repeats: u32, kinds: &[I; 2], work: impl Fn(&I) -> R) {
    let begun = Instant::now();
    let mut order = 0x9E37_79B9_7F4A_7C15u64;
    let mut calibration = Vec::with_capacity(CALIBRATION);
    let mut threshold = f64::INFINITY;
    let mut samples = [Sample::default(); 2];
    while begun.elapsed() < share {
        order ^= order << 13;
        order ^= order >> 7;
        order ^= order << 17;
        let kind = usize::from(order >> 63 == 1);
        let input = kinds[kind].clone();
        let start = Instant::now();
        for _ in 0..repeats {
            black_box(work(black_box(&input)));
        }
        let nanoseconds = start.elapsed().as_secs_f64() * 1e9;
        if calibration.len() < CALIBRATION {
            calibration.push(nanoseconds);
            if calibration.len() == CALIBRATION {
                calibration.sort_by(f64::total_cmp);
                threshold = calibration[CALIBRATION * 9 / 10];
            }
        } else if nanoseconds <= threshold {
            samples[kind].add(nanoseconds);
        }
    }
    let [first, second] = samples;
    let count = first.count + second.count;
    println!("t {:8.2}  of {count} measurements", first.welch(&second));
}

/// Count, mean and sum of squared deviations (Welford).
#[derive(Clone, Copy, Default)]
struct Sample {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Sample {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let deviation = value - self.mean;
        self.mean += deviation / self.count;
        self.squares += deviation * (value - self.mean);
    }

    fn welch(&self, other: &Self) -> f64 {
        let error = |sample: &Self| sample.squares / (sample.count - 1.0) / sample.count;
        (self.mean - other.mean) / (error(self) + error(other)).sqrt()
    }
}
