//! Where programs keep the files that they seal and open: in memory where there is room.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use crate::job::{Context, JobResult, Stop};
use crate::process::{command, output};

/// A file system in memory, as every Linux has it.
const MEMORY: &str = "/dev/shm";

/// A folder that goes away with this value, and all that is in it.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A folder with room for two files of `bytes`, which is what a program has at once, and a
    /// quarter more for what else the machine does.
    pub(super) fn new(context: &Context, bytes: u64) -> Result<Self, Stop> {
        let need = bytes.saturating_mul(2).saturating_add(bytes / 2);
        let memory = Path::new(MEMORY);
        let roomy = room(context, memory) >= need && available_memory() >= need;
        let (root, what) = if roomy {
            (memory.to_owned(), "memory")
        } else {
            (std::env::temp_dir(), "no memory for them")
        };
        let folder = root.join(format!("sealwire-bench-{}", process::id()));
        eprintln!("files stand in {} ({what})", root.display());
        let scratch = Self(folder);
        scratch.clear()?;
        Ok(scratch)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// An empty folder.
    pub(super) fn clear(&self) -> JobResult {
        let Self(folder) = self;
        if folder.exists() {
            fs::remove_dir_all(folder).map_err(Stop::io(folder.display()))?;
        }
        fs::create_dir(folder).map_err(Stop::io(folder.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in a folder for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes that `folder` has room for; none where it is not there.
fn room(context: &Context, folder: &Path) -> u64 {
    let mut df = command(context, "df");
    df.args(["--block-size=1", "--output=avail"]).arg(folder);
    output(&mut df).ok().and_then(|text| parse_room(&text)).unwrap_or(0)
}

/// A heading and a number.
fn parse_room(text: &str) -> Option<u64> {
    text.lines().nth(1)?.trim().parse().ok()
}

/// Bytes of memory that programs could have: a file system in memory promises more than there is.
fn available_memory() -> u64 {
    fs::read_to_string("/proc/meminfo").ok().and_then(|text| parse_memory(&text)).unwrap_or(0)
}

fn parse_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_what_df_says() {
        assert_eq!(parse_room("      Avail\n25769803776\n"), Some(25_769_803_776));
        for text in ["", "Avail\n", "Avail\n-\n", "Avail\n1G\n"] {
            assert_eq!(parse_room(text), None, "{text}");
        }
    }

    #[test]
    fn memory_is_what_the_kernel_says_is_available() {
        let text = "MemTotal:       24117248 kB\nMemFree:  1024 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(parse_memory(text), Some(2 << 20));
        for text in ["", "MemFree: 1 kB\n", "MemAvailable: 1\n", "MemAvailable: x kB\n"] {
            assert_eq!(parse_memory(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_program_leaves_behind_goes_with_the_folder() {
        let scratch = Scratch::new(&Context::new().unwrap(), 0).unwrap();
        let left = scratch.path().join("sealed");
        fs::write(&left, b"x").unwrap();
        scratch.clear().unwrap();
        assert!(!left.exists());
        fs::write(&left, b"x").unwrap();
        let folder = scratch.path().to_owned();
        drop(scratch);
        assert!(!folder.exists());
    }
}
