//! Where an object is: a file, or a name in a bucket.

use std::{
    fmt, io,
    path::{Component, Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use object_store::{ObjectStore, local::LocalFileSystem};
use sealwire_envelope::store::Store;

use super::service::{self, Service};
use crate::{
    config::StorageConfig,
    error::{Exit, Failure},
    text::Plain,
};

/// The part of a name that no object has.
const KEY_RECORDS: &str = ".keys";

/// Where an object is, or where a store begins.
///
/// What comes before `below` is where the key records are: the folder of a file, and all before
/// the last slash in a bucket, unless [`Place::within`] says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    root: Root,
    /// From the root to the object, with slashes; empty where the root itself is meant.
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Root {
    Folder(PathBuf),
    Bucket { service: Service, bucket: String, prefix: String },
}

impl Place {
    /// How a place is written.
    const FORMS: &str = "a path, file:///PATH, s3://BUCKET/NAME, gs://BUCKET/NAME or \
                         az://CONTAINER/NAME";

    /// Reads a place.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if text == "-" {
            return Err(usage(
                "standard output cannot take an object: it is two, the object and its key record",
            )
            .hint("name a file or an object in a bucket; a file of that name is ./-"));
        }
        if text.is_empty() || text.contains('\0') {
            return Err(usage(format!("a place is {}", Self::FORMS)));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::local(Path::new(text));
        };
        refuse_parts(rest)?;
        if scheme == "file" {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if !path.starts_with('/') {
                return Err(usage("behind file:// stands an absolute path: file:///var/archive/x"));
            }
            return Self::local(Path::new(path));
        }
        match Service::from_scheme(scheme) {
            Some(service) => Self::bucket(service, rest),
            None => {
                let scheme = Plain::new(scheme);
                Err(usage(format!("{scheme}:// is no kind of place; one is {}", Self::FORMS)))
            }
        }
    }

    fn local(path: &Path) -> Result<Self, Failure> {
        let is_folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let last = path.components().next_back();
        let (folder, name) = match (last, path.parent()) {
            (Some(Component::Normal(name)), Some(folder)) if !is_folder => (folder, name),
            _ => return Ok(Self { root: Root::Folder(path.to_owned()), name: String::new() }),
        };
        let name = name.to_str().ok_or_else(|| usage("the name of an object is UTF-8"))?;
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Ok(Self { root: Root::Folder(folder.to_owned()), name: name.to_owned() })
    }

    fn bucket(service: Service, rest: &str) -> Result<Self, Failure> {
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.$".contains(&byte);
        if bucket.is_empty()
            || !bucket.bytes().all(is_plain)
            || bucket.bytes().all(|byte| byte == b'.')
        {
            return Err(usage(format!("{} is no name of a bucket", Plain::new(bucket))));
        }
        let (prefix, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Ok(Self { root: Root::Bucket { service, bucket, prefix }, name: name.to_owned() })
    }

    /// An object, in the store that it is said to be in.
    pub(crate) fn object(&self, store: Option<&Self>) -> Result<Self, Failure> {
        let place = match store {
            Some(store) => self.within(store)?,
            None => self.clone(),
        };
        if place.name.is_empty() {
            return Err(usage(format!("{place} is where objects lie; the name of one is missing")));
        }
        if place.name.split('/').any(|part| part == KEY_RECORDS) {
            return Err(usage(format!("{place} is in {KEY_RECORDS}, where key records stand")));
        }
        Ok(place)
    }

    /// The same object in a store that begins at `store`, in which its key record is then.
    pub(crate) fn within(&self, store: &Self) -> Result<Self, Failure> {
        let outside = || {
            usage(format!("{self} is not below {store}, where --store says that the store begins"))
        };
        let root = store.whole_root();
        let name = match (&self.root, &root) {
            (Root::Folder(folder), Root::Folder(begin)) => {
                below(&folder.join(&self.name), begin).ok_or_else(outside)?
            }
            (
                Root::Bucket { service, bucket, prefix },
                Root::Bucket { service: other, bucket: same, prefix: begin },
            ) if service == other && bucket == same => {
                let path = join(prefix, &self.name);
                let rest = match begin.is_empty() {
                    true => Some(path.as_str()),
                    false => path.strip_prefix(begin.as_str()).and_then(|it| it.strip_prefix('/')),
                };
                rest.ok_or_else(outside)?.to_owned()
            }
            _ => return Err(outside()),
        };
        Ok(Self { root, name })
    }

    /// The store, and the object's name in it, which is empty where the place ends with a slash.
    /// A folder that is not there is not made.
    pub(crate) fn store(&self, config: &StorageConfig) -> Result<(Store, String), Failure> {
        Ok((open(&self.root, false, config)?, self.name.clone()))
    }

    /// As [`Place::store`], for whoever writes: a folder is made if it is not there.
    pub(crate) fn store_to_write(
        &self,
        config: &StorageConfig,
    ) -> Result<(Store, String), Failure> {
        Ok((open(&self.root, true, config)?, self.name.clone()))
    }

    /// The store that begins at this place, with a slash at its end or without.
    pub(crate) fn store_here(&self, config: &StorageConfig) -> Result<Store, Failure> {
        open(&self.whole_root(), false, config)
    }

    /// The store that begins at this place, as the place of all that is in it.
    pub(crate) fn here(&self) -> Self {
        Self { root: self.whole_root(), name: String::new() }
    }

    /// What the objects of a store lie in, and the prefix of the store in it.
    pub(crate) fn objects(
        &self,
        config: &StorageConfig,
    ) -> Result<(Arc<dyn ObjectStore>, String), Failure> {
        match &self.root {
            Root::Folder(folder) => {
                let objects = LocalFileSystem::new_with_prefix(existing(folder)?);
                let objects = objects.map_err(sealwire_envelope::Error::from)?;
                Ok((Arc::new(objects), String::new()))
            }
            Root::Bucket { service, bucket, prefix } => {
                Ok((service::connect(*service, bucket, config)?, prefix.clone()))
            }
        }
    }

    /// The object's name in its store; empty where the place ends with a slash.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The root that begins where the place ends.
    fn whole_root(&self) -> Root {
        match &self.root {
            Root::Folder(folder) => match self.name.is_empty() {
                true => Root::Folder(folder.clone()),
                false => Root::Folder(folder.join(&self.name)),
            },
            Root::Bucket { service, bucket, prefix } => Root::Bucket {
                service: *service,
                bucket: bucket.clone(),
                prefix: join(prefix, &self.name),
            },
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|failure| match failure.hint_text() {
            Some(hint) => format!("{}; {hint}", failure.message()),
            None => failure.message().to_owned(),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.whole_root() {
            Root::Folder(path) => Plain::path(&path).fmt(f),
            Root::Bucket { service, bucket, prefix } => {
                write!(f, "{}://{bucket}/{}", service.scheme(), Plain::new(&prefix))
            }
        }
    }
}

fn open(root: &Root, make: bool, config: &StorageConfig) -> Result<Store, Failure> {
    Ok(match root {
        Root::Folder(folder) if make => Store::local(folder, "")?,
        Root::Folder(folder) => Store::local(existing(folder)?, "")?,
        Root::Bucket { service, bucket, prefix } => {
            Store::new(service::connect(*service, bucket, config)?, prefix)?
        }
    })
}

fn existing(folder: &Path) -> Result<&Path, Failure> {
    match folder.metadata() {
        Ok(found) if found.is_dir() => Ok(folder),
        Ok(_) => Err(Failure::other(format!("{} is no folder", Plain::path(folder)))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::file("look into", folder, &error)
                .hint("look whether it is spelled right, and mounted if it is on another machine"))
        }
        Err(error) => Err(Failure::file("look into", folder, &error)),
    }
}

/// From one folder to a path below it.
fn below(path: &Path, begin: &Path) -> Option<String> {
    let [path, begin] = [path, begin].map(std::path::absolute);
    let rest = path.ok()?.strip_prefix(begin.ok()?).ok()?.to_owned();
    let part = |component: Component<'_>| match component {
        Component::Normal(part) => part.to_str().map(str::to_owned),
        _ => None,
    };
    let parts: Option<Vec<String>> = rest.components().map(part).collect();
    Some(parts?.join("/"))
}

fn join(prefix: &str, name: &str) -> String {
    match (prefix, name) {
        ("", name) => name.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, name) => format!("{prefix}/{name}"),
    }
}

/// Parts of a URL that no place has. They are not shown: they may be secrets.
fn refuse_parts(rest: &str) -> Result<(), Failure> {
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err(usage("a place names no user and no password")
            .hint("credentials are read of the environment: AWS_…, GOOGLE_…, AZURE_…"));
    }
    if rest.contains(['?', '#']) {
        return Err(usage("a place has no query and no fragment: no ? and no #")
            .hint("credentials are read of the environment: AWS_…, GOOGLE_…, AZURE_…"));
    }
    Ok(())
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> (String, String) {
        let place = Place::parse(text).expect(text);
        let root = match &place.root {
            Root::Folder(folder) => folder.display().to_string(),
            Root::Bucket { service, bucket, prefix } => {
                format!("{}|{bucket}|{prefix}", service.scheme())
            }
        };
        (root, place.name)
    }

    #[test]
    fn a_place_is_a_store_and_a_name() {
        for (text, root, name) in [
            ("report.txt", ".", "report.txt"),
            ("a/b/report.txt", "a/b", "report.txt"),
            ("../report.txt", "..", "report.txt"),
            ("/report.txt", "/", "report.txt"),
            ("/a/report.txt", "/a", "report.txt"),
            ("./-", ".", "-"),
            ("a?b#c@d", ".", "a?b#c@d"),
            ("a/", "a/", ""),
            ("..", "..", ""),
            ("/", "/", ""),
            ("file:///a/report.txt", "/a", "report.txt"),
            ("file://localhost/a/report.txt", "/a", "report.txt"),
            ("s3://acme/report.txt", "s3|acme|", "report.txt"),
            ("s3://acme/2026/may/report.txt", "s3|acme|2026/may", "report.txt"),
            ("gs://acme/2026/", "gs|acme|2026", ""),
            ("az://acme", "az|acme|", ""),
            ("az://$web/x", "az|$web|", "x"),
        ] {
            assert_eq!(shown(text), (root.to_owned(), name.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_without_its_secrets() {
        for (text, said) in [
            ("-", "standard output cannot take an object"),
            ("", "a place is a path"),
            ("a\0b", "a place is a path"),
            ("http://x/y", "http:// is no kind of place"),
            ("S3://acme/x", "S3:// is no kind of place"),
            ("file://a/b", "behind file:// stands an absolute path"),
            ("s3://", "no name of a bucket"),
            ("s3:///x", "no name of a bucket"),
            ("s3://a b/x", "no name of a bucket"),
            ("s3://../x", "no name of a bucket"),
            ("s3://a%2fb/x", "no name of a bucket"),
            ("s3://key:hunter2@acme/x", "names no user"),
            ("s3://acme/x?token=hunter2", "no query"),
            ("s3://acme/x#hunter2", "no query and no fragment"),
        ] {
            let failure = Place::parse(text).expect_err(text);
            assert!(failure.message().contains(said), "{text}: {}", failure.message());
            assert_eq!(failure.exit(), Exit::Usage, "{text}");
            assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        }
    }

    #[test]
    fn a_store_begins_where_it_is_told() {
        for (text, store, name) in [
            ("a/b/c/report.txt", "a/b", Some("c/report.txt")),
            ("a/b/report.txt", "a/b/", Some("report.txt")),
            ("a/b/report.txt", ".", Some("a/b/report.txt")),
            ("a/b", "a/b/c", None),
            ("a/bc/x", "a/b", None),
            ("a/b/../../x", "a/b", None),
            ("s3://acme/2026/may/x", "s3://acme/2026", Some("may/x")),
            ("s3://acme/2026/may/x", "s3://acme", Some("2026/may/x")),
            ("s3://acme/2026/may/x", "s3://acme/20", None),
            ("s3://acme/x", "s3://other", None),
            ("s3://acme/x", "gs://acme", None),
            ("s3://acme/x", "acme", None),
        ] {
            let (place, begin) =
                (Place::parse(text).expect(text), Place::parse(store).expect(store));
            let within = place.within(&begin);
            match name {
                Some(name) => {
                    let within = within.expect(text);
                    assert_eq!(within.name(), name, "{text}");
                    assert_eq!(within.root, begin.whole_root());
                }
                None => {
                    let failure = within.expect_err(text);
                    assert!(failure.message().contains("is not below"), "{}", failure.message());
                }
            }
        }
    }
}
