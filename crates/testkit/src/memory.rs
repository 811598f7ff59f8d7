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
        for window in secret.windows(len) {
            assert!(window.iter().any(|byte| *byte != window[0]), "too plain to be searched for");
            let (start, rest) = window.split_first_chunk().expect("eight bytes");
            let run = Run { note: self.names.len(), rest: rest.to_vec() };
            self.runs.entry(*start).or_default().push(run);
        }
        self.names.push(name.into());
    }

    fn search(&self, memory: &[u8], mut found: impl FnMut(&str, usize)) {
        // Almost no place begins a run: two of its bytes tell, without the map.
        let mut starts = vec![false; 1 << 16];
        for start in self.runs.keys() {
            starts[usize::from(u16::from_le_bytes([start[0], start[1]]))] = true;
        }
        for (offset, window) in memory.windows(8).enumerate() {
            if !starts[usize::from(u16::from_le_bytes([window[0], window[1]]))] {
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
    const OVERLAP: usize = 15;
    (start..end).step_by(PIECE).filter_map(move |address| {
        let left = usize::try_from(end - address).expect("64 bits");
        let mut bytes = vec![0; left.min(PIECE + OVERLAP)];
        memory.read_exact_at(&mut bytes, address).expect("what is mapped can be read");
        bytes.iter().any(|byte| *byte != 0).then_some((address, bytes))
    })
}

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
