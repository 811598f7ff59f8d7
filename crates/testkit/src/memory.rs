//! A search of a process's memory for secrets that should be gone.
//!
//! The process that is searched is a test of the same file, run again as a child which stops
//! where it is told to. It knows nothing of the search. Its parent knows the secrets, which
//! both make from the same [`Drawn`] bytes, and reads `/proc/PID/mem` at each stop: every
//! mapping that can be written, free heap and unused stack included. What a kernel or a
//! register holds is not seen.

use core::convert::Infallible;
use std::{
    collections::{BTreeMap, HashMap},
    env, fs,
    io::{self, BufRead, BufReader, Write},
    ops::Range,
    os::unix::fs::FileExt,
    process::{self, ChildStdin, ChildStdout, Command, Stdio},
};

use rand_core::{TryCryptoRng, TryRng};

/// What the child is to do, in its environment.
const VARIABLE: &str = "SEALWIRE_MEMORY_CHILD";

/// Begins each line by which a child says where it stops. A test runner prints lines too.
const STOP: &str = "memory stop: ";

/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// Bytes that are passed over where all are zero. Most of a stack is.
const PAGE: usize = 4096;

/// What a child was started with; `None` in a process that is none.
pub fn argument() -> Option<String> {
    env::var(VARIABLE).ok()
}

/// In a child: says that it has come to `place`, and waits until it is told to go on.
pub fn stop(place: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "\n{STOP}{place}").and_then(|()| out.flush()).expect("the parent reads");
    io::stdin().lock().read_line(&mut String::new()).expect("the parent writes");
}

/// A reproducible generator that leaves nothing behind of what it gave. For tests only.
#[derive(Clone, Debug)]
pub struct Drawn(u64);

impl Drawn {
    /// The generator of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed << 32)
    }

    /// The next 32 bytes, on the heap.
    pub fn block(&mut self) -> Vec<u8> {
        let mut block = vec![0; 32];
        let Ok(()) = self.try_fill_bytes(&mut block);
        block
    }
}

impl TryRng for Drawn {
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
        // SplitMix64 (Steele et al., 2014), of which each step gives one byte: no word of what
        // is drawn is ever on the stack.
        for byte in out {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            *byte = (mixed >> 56).to_le_bytes()[0];
        }
        Ok(())
    }
}

impl TryCryptoRng for Drawn {}

/// Secrets to search for, each under a name.
#[derive(Debug, Default)]
pub struct Notes {
    names: Vec<String>,
    /// Eight bytes in a row of a secret, and what must follow them.
    runs: HashMap<[u8; 8], Vec<Run>>,
    /// Whether a run has this [`start()`]. Almost no place begins a run, and without the map it
    /// is told from those that do.
    starts: Vec<bool>,
}

/// How many bits of a run [`Notes::starts`] goes by.
const START_BITS: u32 = 20;

fn start(run: &[u8]) -> usize {
    let start = u32::from_le_bytes([run[0], run[1], run[2], run[3]]) & ((1 << START_BITS) - 1);
    usize::try_from(start).expect("20 bits")
}

#[derive(Debug)]
struct Run {
    note: usize,
    rest: Vec<u8>,
}

impl Notes {
    /// Adds a secret. Eight bytes of it in a row are a finding, since an allocator overwrites
    /// the start of what is freed, and X25519 clamps the first and the last byte. Of a secret
    /// over 64 bytes it takes 16: those are lists of small numbers.
    ///
    /// # Panics
    /// When a run of `secret` is nothing but one byte: it would be found anywhere.
    pub fn add(&mut self, name: impl Into<String>, secret: &[u8]) {
        let len = if secret.len() > 64 { 16 } else { 8 };
        self.starts.resize(1 << START_BITS, false);
        for window in secret.windows(len) {
            assert!(window.iter().any(|byte| *byte != window[0]), "too plain to be searched for");
            let (first, rest) = window.split_first_chunk().expect("eight bytes");
            let run = Run { note: self.names.len(), rest: rest.to_vec() };
            self.runs.entry(*first).or_default().push(run);
            self.starts[start(window)] = true;
        }
        self.names.push(name.into());
    }

    fn search(&self, memory: &[u8], mut found: impl FnMut(&str, usize)) {
        for (offset, window) in memory.windows(8).enumerate() {
            if !self.starts.get(start(window)).is_some_and(|starts| *starts) {
                continue;
            }
            let Some(runs) = self.runs.get(window) else { continue };
            let after = &memory[offset + 8..];
            for run in runs.iter().filter(|run| after.starts_with(&run.rest)) {
                found(&self.names[run.note], offset);
            }
        }
    }
}

/// Secrets, each with the places at which it is held: there it must be found, and nowhere else.
#[derive(Debug, Default)]
pub struct Fates {
    notes: Notes,
    held: Vec<(String, &'static [&'static str])>,
    secrets: usize,
}

/// What HMAC adds to each byte of a key (RFC 2104 section 2): with them it is as good as the key.
const PADS: [u8; 2] = [0x36, 0x5C];

impl Fates {
    /// Adds a secret that is found at the places `held`. What HMAC makes of it, if it is as long
    /// as our keys are, is never found.
    pub fn held(&mut self, name: impl Into<String>, secret: &[u8], held: &'static [&'static str]) {
        let name = name.into();
        for pad in PADS.into_iter().filter(|_| secret.len() == 32) {
            let block: Vec<u8> = secret.iter().map(|byte| byte ^ pad).collect();
            self.note(format!("{name}, as HMAC has it"), &block, &[]);
        }
        self.note(name, secret, held);
        self.secrets += 1;
    }

    fn note(&mut self, name: String, secret: &[u8], held: &'static [&'static str]) {
        self.notes.add(&*name, secret);
        self.held.push((name, held));
    }

    /// Adds a secret that lives within one call: no place sees it.
    pub fn passing(&mut self, name: impl Into<String>, secret: &[u8]) {
        self.held(name, secret, &[]);
    }

    /// How many secrets there are.
    pub fn count(&self) -> usize {
        self.secrets
    }

    /// Searches `child`, which stands at `place`. Gives a sentence for each secret that is found
    /// and not held there, or held and not found.
    pub fn differing(&self, child: &Child, place: &str) -> Vec<String> {
        let found = child.search(&self.notes);
        let differs = self.held.iter().filter_map(|(name, held)| {
            match (found.get(name), held.contains(&place)) {
                (None, true) => Some(format!("{name} is not found at `{place}`")),
                (Some(at), false) => {
                    Some(format!("{name} is found at `{place}`: {} times, {}", at.len(), at[0]))
                }
                _ => None,
            }
        });
        differs.collect()
    }
}

/// The forms in which backends keep the secret vector s of the ML-KEM-768 key of this seed
/// d || z: as FIPS 203 encodes it, and as numbers of 16 bits.
///
/// # Panics
/// When the seed is not 64 bytes long.
pub fn kem_vectors(seed: &[u8]) -> [Vec<u8>; 2] {
    let seed = seed.try_into().expect("64 bytes");
    let key = ml_kem::DecapsulationKey::<ml_kem::MlKem768>::from_seed(seed);
    #[expect(deprecated, reason = "it is what libcrux keeps")]
    let expanded = ml_kem::ExpandedKeyEncoding::to_expanded_bytes(&key);
    let encoded = &expanded[..1152];
    let numbers = encoded.as_chunks::<3>().0.iter().flat_map(|[a, b, c]| {
        let (a, b, c) = (u16::from(*a), u16::from(*b), u16::from(*c));
        [a | (b & 0x0F) << 8, b >> 4 | c << 4].map(u16::to_le_bytes)
    });
    [encoded.to_vec(), numbers.flatten().collect()]
}

/// Where secrets were found: the mappings and addresses by the name of the secret.
pub type Findings = BTreeMap<String, Vec<String>>;

/// A test of this file in a process of its own.
#[derive(Debug)]
pub struct Child {
    process: process::Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Child {
    /// Starts the test with this full name, which asks for its [`argument()`].
    pub fn start(test: &str, argument: &str) -> Self {
        let mut command = Command::new(env::current_exe().expect("this test"));
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(VARIABLE, argument);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a child");
        let input = process.stdin.take().expect("a pipe");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        Self { process, input, output }
    }

    /// Waits until it stops at `place`, lets `look` look, and lets it go on.
    ///
    /// # Panics
    /// When it stops elsewhere or ends.
    pub fn at<T>(&mut self, place: &str, look: impl FnOnce(&Self) -> T) -> T {
        let stop = loop {
            let mut line = String::new();
            let len = self.output.read_line(&mut line).expect("text");
            assert_ne!(len, 0, "it ended before {place}");
            if let Some(stop) = line.strip_prefix(STOP) {
                break stop.trim_end().to_owned();
            }
        };
        assert_eq!(stop, place, "the places come in order");
        let looked = look(self);
        self.input.write_all(b"\n").expect("it waits");
        looked
    }

    /// Searches every mapping that can be written.
    pub fn search(&self, notes: &Notes) -> Findings {
        let folder = format!("/proc/{}", self.process.id());
        let maps = fs::read_to_string(format!("{folder}/maps")).expect("it runs");
        let memory = fs::File::open(format!("{folder}/mem")).expect("a parent may look");
        let mut findings = Findings::new();
        for map in maps.lines().filter(|line| line.contains(" rw")) {
            let (range, about) = map.split_once(' ').expect("a range");
            let (start, end) = range.split_once('-').expect("a range");
            let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).expect("hex"));
            let about = about.rsplit(' ').next().unwrap_or_default();
            for (address, bytes) in pieces(&memory, start, end) {
                notes.search(&bytes, |name, offset| {
                    let place = address + u64::try_from(offset).expect("small");
                    let place = format!("{place:x} {about}");
                    findings.entry(name.to_owned()).or_default().push(place);
                });
            }
        }
        findings
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it failed.
    pub fn end(mut self) {
        drop(self.input);
        let status = io::copy(&mut self.output, &mut io::sink()).and(self.process.wait());
        assert!(status.expect("it ends").success(), "the child passes too");
    }
}

/// The memory from `start` to `end` in pieces that overlap, but for pages of zeros.
fn pieces(
    memory: &fs::File,
    start: u64,
    end: u64,
) -> impl Iterator<Item = (u64, Vec<u8>)> + use<'_> {
    (start..end).step_by(PIECE).flat_map(move |address| {
        let left = usize::try_from(end - address).expect("64 bits");
        let mut bytes = vec![0; left.min(PIECE + OVERLAP)];
        memory.read_exact_at(&mut bytes, address).expect("what is mapped can be read");
        let written = runs_of_pages(&bytes).into_iter();
        written.map(move |run| {
            let start = address + u64::try_from(run.start).expect("small");
            (start, bytes[run].to_vec())
        })
    })
}

/// How far a run goes into what is behind it: a secret may begin at its end.
const OVERLAP: usize = 15;

/// Where `bytes` has runs of pages with anything in them.
fn runs_of_pages(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (page, content) in bytes.chunks(PAGE).enumerate() {
        if *content == ZEROS[..content.len()] {
            continue;
        }
        let (start, end) = (page * PAGE, page * PAGE + content.len());
        match runs.last_mut() {
            Some(run) if run.end >= start => run.end = end,
            _ => runs.push(start..end),
        }
    }
    for run in &mut runs {
        run.end = bytes.len().min(run.end + OVERLAP);
    }
    runs
}

const ZEROS: [u8; PAGE] = [0; PAGE];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_secret_is_found_at_its_place() {
        let secret = Drawn::new(1).block();
        let mut notes = Notes::default();
        notes.add("other", &Drawn::new(2).block());
        notes.add("secret", &secret);
        let find = |memory: &[u8]| {
            let mut found = Vec::new();
            notes.search(memory, |name, offset| found.push((name.to_owned(), offset)));
            found
        };
        assert_eq!(find(&[&[7; 100], &secret[24..]].concat()), [("secret".to_owned(), 100)]);
        assert_eq!(find(&[&[7; 100], &secret[25..]].concat()), []);
        assert_eq!(find(&secret).len(), 25);
    }

    #[test]
    fn only_pages_of_zeros_are_passed_over() {
        let mut memory = vec![0; 6 * PAGE + OVERLAP];
        assert!(runs_of_pages(&memory).is_empty());
        for (at, pages) in [(0, 0..1), (PAGE - 1, 0..1), (PAGE, 1..2), (6 * PAGE - 1, 5..6)] {
            memory[at] = 1;
            let [run] = &runs_of_pages(&memory)[..] else { panic!("{at}") };
            assert_eq!(*run, pages.start * PAGE..pages.end * PAGE + OVERLAP, "{at}");
            memory[at] = 0;
        }
        memory[PAGE] = 1;
        memory[2 * PAGE] = 1;
        memory[5 * PAGE] = 1;
        let runs = [PAGE..3 * PAGE + OVERLAP, 5 * PAGE..6 * PAGE + OVERLAP];
        assert_eq!(runs_of_pages(&memory), runs);
    }

    #[test]
    fn a_vector_of_ml_kem_is_the_same_in_both_forms() {
        let seed = [Drawn::new(1).block(), Drawn::new(2).block()].concat();
        let [encoded, numbers] = kem_vectors(&seed);
        assert_eq!((encoded.len(), numbers.len()), (1152, 1536));
        // FIPS 203, algorithm 5: twelve bits a number, the lowest first.
        let bit = |bytes: &[u8], at: usize| bytes[at / 8] >> (at % 8) & 1;
        for number in 0..768 {
            for place in 0..16 {
                let expected = if place < 12 { bit(&encoded, 12 * number + place) } else { 0 };
                assert_eq!(bit(&numbers, 16 * number + place), expected, "{number}");
            }
        }
    }

    #[test]
    fn of_a_long_secret_it_takes_sixteen_bytes() {
        let secret = [Drawn::new(1).block(), Drawn::new(2).block(), Drawn::new(3).block()].concat();
        let mut notes = Notes::default();
        notes.add("long", &secret);
        for (len, times) in [(15, 0), (16, 1), (17, 2), (96, 81)] {
            let mut found = 0;
            notes.search(&secret[..len], |_, _| found += 1);
            assert_eq!(found, times, "{len}");
        }
    }
}
