//! The files that checks read.

use std::fs;
use std::path::{Path, PathBuf};

use crate::job::Stop;

/// A text file of the checkout.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// From the root, with `/` between folders.
    pub(crate) path: String,
    /// The whole text.
    pub(crate) text: String,
}

/// All files under `folder` whose name ends in `.extension`, in order of path;
/// none if there is no such folder. Build output and hidden folders are left out.
pub(crate) fn read(root: &Path, folder: &str, extension: &str) -> Result<Vec<SourceFile>, Stop> {
    let mut found = Vec::new();
    if root.join(folder).is_dir() {
        walk(&root.join(folder), extension, &mut found)?;
    }
    found.sort();
    found.into_iter().map(|file| read_one(root, &file)).collect()
}

fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<(), Stop> {
    let entries = fs::read_dir(folder).map_err(Stop::io(folder.display()))?;
    for entry in entries {
        let path = entry.map_err(Stop::io(folder.display()))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                walk(&path, extension, found)?;
            }
        } else if path.extension().is_some_and(|end| end == extension) {
            found.push(path);
        }
    }
    Ok(())
}

fn read_one(root: &Path, file: &Path) -> Result<SourceFile, Stop> {
    let text = fs::read_to_string(file).map_err(Stop::io(file.display()))?;
    let parts = file.strip_prefix(root).unwrap_or(file).components();
    let parts: Vec<_> = parts.map(|part| part.as_os_str().to_string_lossy()).collect();
    Ok(SourceFile { path: parts.join("/"), text })
}

/// The comment on a line of Rust, without its slashes. A line of a string that
/// holds `//` is taken for a comment too, unless it stands in an address.
pub(crate) fn comment(line: &str) -> Option<&str> {
    let (before, comment) = line.split_once("//")?;
    (!before.ends_with(':')).then(|| comment.trim_start_matches(['/', '!']).trim_start())
}
