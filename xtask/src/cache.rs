//! Where tools are kept between runs: outside the checkout, each whole or not there at all.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::job::{JobResult, Stop};

/// `$SEALWIRE_CACHE`, else the user's cache folder.
pub(crate) fn folder() -> Result<PathBuf, Stop> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("SEALWIRE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("sealwire")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/sealwire")))
        .ok_or_else(|| {
            Stop::skip("there is no HOME to keep tools in", "export SEALWIRE_CACHE=DIR")
        })?;
    fs::create_dir_all(&folder).map_err(Stop::io(folder.display()))?;
    fs::canonicalize(&folder).map_err(Stop::io(folder.display()))
}

/// Has `fill` make the folder `place`: beside its final place and moved there whole, so that
/// neither a failed install nor a second run ever shows a half one. One that no longer `works` is
/// made anew.
pub(crate) fn make(
    place: &Path,
    works: impl Fn(&Path) -> bool,
    fill: impl FnOnce(&Path) -> JobResult,
) -> JobResult {
    if place.exists() {
        if works(place) {
            return Ok(());
        }
        remove(place)?;
    }
    let build = place.with_extension(format!("{}.tmp", std::process::id()));
    remove(&build)?;
    let made = fill(&build).and_then(|()| {
        match fs::rename(&build, place) {
            Err(_) if works(place) => Ok(()), // Another run was faster.
            moved => moved.map_err(Stop::io(place.display())),
        }
    });
    remove(&build)?;
    made
}

/// Removes a folder, if it is there.
pub(crate) fn remove(folder: &Path) -> JobResult {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Stop::fail(format!("{}: {error}", folder.display())))
        }
        _ => Ok(()),
    }
}

/// FNV-1a over what installs and what is installed: a name for a folder, nothing that security
/// rests on.
pub(crate) fn key(version: &str, requirements: &[&str]) -> u64 {
    let words = std::iter::once(version).chain(requirements.iter().copied());
    let bytes = words.flat_map(|word| word.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_and_the_version_make_the_key() {
        let base = key("Python 3.11.7", &["a==1", "b==2"]);
        assert_eq!(base, key("Python 3.11.7", &["a==1", "b==2"]));
        assert_ne!(base, key("Python 3.12.0", &["a==1", "b==2"]));
        assert_ne!(base, key("Python 3.11.7", &["a==1", "b==3"]));
        assert_ne!(base, key("Python 3.11.7", &["a==1b==2"]));
    }

    #[test]
    fn a_folder_is_whole_or_not_there() {
        let place = env::temp_dir().join(format!("sealwire-cache-{}", std::process::id()));
        let works = |folder: &Path| folder.join("done").exists();
        let half = |build: &Path| {
            fs::create_dir(build).map_err(Stop::io("make"))?;
            Err(Stop::fail("the network is gone"))
        };
        assert!(make(&place, works, half).is_err() && !place.exists());
        let whole = |build: &Path| {
            fs::create_dir(build).map_err(Stop::io("make"))?;
            fs::write(build.join("done"), "").map_err(Stop::io("write"))
        };
        assert_eq!(make(&place, works, whole), Ok(()));
        assert_eq!(make(&place, works, |_| Err(Stop::fail("made twice"))), Ok(()));
        assert_eq!(
            make(
                &place,
                |folder| folder.join("new").exists(),
                |build| { fs::create_dir(build).map_err(Stop::io("make")) }
            ),
            Ok(())
        );
        assert!(!place.join("done").exists(), "made anew");
        assert_eq!(remove(&place), Ok(()));
    }
}
