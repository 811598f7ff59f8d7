//! How much memory this process has.

use sealwire_bench::Failure;

/// Resident memory, in KiB.
pub(crate) fn resident() -> Result<u32, Failure> {
    status("VmRSS:")
}

/// The most resident memory, in bytes, that the process has had at once while it did `work`.
pub(crate) fn peak<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<f64, Failure> {
    // proc(5): "5: Reset the peak resident set size".
    std::fs::write("/proc/self/clear_refs", "5")?;
    work()?;
    Ok(f64::from(status("VmHWM:")?) * 1024.0)
}

fn status(field: &str) -> Result<u32, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib =
        line.and_then(|line| line.split_whitespace().next()).ok_or("a field of its status")?;
    Ok(kib.parse()?)
}
