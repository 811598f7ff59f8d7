//! A post office in a directory, for agents of several processes. It keeps every frame that it
//! was ever given.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sealwire::{
    core::{kdf, rng},
    custody::system_rng,
    delivery::{
        Address, Arrived, Claimed, ClaimedKey, Delivery, DeliveryError, Device, MailboxHandle,
        MailboxKind, MessageId, OpenedMailbox, Pending, PrekeyPage, Publication, Published, Watch,
    },
    ratchet::prekey::{Kind, Unclaimed},
};

/// One-time keys of a page that are handed out. A world is copied for each kill, and the others
/// would be most of it.
const KEPT: usize = 8;

#[derive(Debug)]
pub(crate) struct Office(PathBuf);

impl Office {
    pub(crate) fn new(root: &Path) -> Self {
        for name in ["shelf", "box", "wire"] {
            fs::create_dir_all(root.join(name)).expect("made");
        }
        Self(root.to_owned())
    }

    /// The frames that ever left, each with the id of its message; the same bytes once.
    pub(crate) fn wire(&self) -> Vec<(String, Vec<u8>)> {
        let names = names(&self.0.join("wire")).expect("a directory");
        let frame = |name: String| {
            let bytes = fs::read(self.0.join("wire").join(&name)).expect("there");
            (name.split_once('-').expect("an id and a hash").0.to_owned(), bytes)
        };
        // An empty file is a deposit whose process was killed before it wrote.
        names.into_iter().map(frame).filter(|(_, bytes)| !bytes.is_empty()).collect()
    }

    /// Files are touched by the thread that also does the work of the store, so that the system
    /// calls of both have one order.
    fn answer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Pending<'static, T> {
        let root = self.0.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&root)).await;
            done.expect("no panic").map_err(DeliveryError::Unreachable)
        })
    }
}

/// The names in a directory, in order.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let name =
        |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().expect("ASCII"));
    let mut names = fs::read_dir(directory)?.map(name).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn shelf(root: &Path, of: &Device) -> PathBuf {
    root.join("shelf").join(format!("{}-{}", of.agent, of.number))
}

/// The pages of a kind that a device has there.
fn pages(shelf: &Path, kind: Kind) -> io::Result<Vec<PathBuf>> {
    let kind = format!("{kind:?}-");
    let names = names(shelf)?.into_iter().filter(|name| name.starts_with(&kind));
    Ok(names.map(|name| shelf.join(name)).collect())
}

fn left(page: &Path) -> io::Result<Vec<String>> {
    Ok(names(page)?.into_iter().filter(|name| name.starts_with("key-")).collect())
}

/// The key that this nonce has claimed, or claims now.
fn take(shelf: &Path, kind: Kind, nonce: &str) -> io::Result<Option<ClaimedKey>> {
    let pages = pages(shelf, kind)?;
    if !pages.iter().any(|page| page.join(nonce).exists()) {
        for page in &pages {
            if let Some(first) = left(page)?.first() {
                fs::rename(page.join(first), page.join(nonce))?;
                break;
            }
        }
    }
    let Some(page) = pages.iter().find(|page| page.join(nonce).exists()) else { return Ok(None) };
    Ok(Some(ClaimedKey {
        header: fs::read(page.join("header"))?,
        key: fs::read(page.join(nonce))?,
    }))
}

fn path(root: &Path, mailbox: &[u8]) -> PathBuf {
    root.join("box").join(std::str::from_utf8(mailbox).expect("ASCII"))
}

impl Delivery for Office {
    fn publish<'a>(&'a self, of: &'a Device, publication: &'a Publication) -> Pending<'a, ()> {
        let (of, Publication { published, pages, .. }) = (of.clone(), publication.clone());
        self.answer(move |root| {
            let shelf = shelf(root, &of);
            fs::create_dir_all(&shelf)?;
            fs::write(shelf.join("card"), published.card)?;
            fs::write(shelf.join("bundle"), published.bundle)?;
            for PrekeyPage { kind, header, keys, .. } in pages {
                let hash = hex::encode(kdf::sha256(&[&header]));
                let page = shelf.join(format!("{kind:?}-{hash}"));
                fs::create_dir(&page)?;
                fs::write(page.join("header"), header)?;
                for (number, key) in keys.into_iter().take(KEPT).enumerate() {
                    fs::write(page.join(format!("key-{number:04}")), key)?;
                }
            }
            Ok(())
        })
    }

    fn bundle<'a>(&'a self, of: &'a Device) -> Pending<'a, Option<Published>> {
        let of = of.clone();
        self.answer(move |root| {
            let shelf = shelf(root, &of);
            let card = fs::read(shelf.join("card"))?;
            Ok(Some(Published { card, bundle: fs::read(shelf.join("bundle"))? }))
        })
    }

    fn claim<'a>(&'a self, of: &'a Device, nonce: [u8; 16]) -> Pending<'a, Claimed> {
        let of = of.clone();
        self.answer(move |root| {
            let (shelf, nonce) = (shelf(root, &of), hex::encode(nonce));
            let x25519 = take(&shelf, Kind::X25519, &nonce)?;
            Ok(Claimed { x25519, kem: take(&shelf, Kind::MlKem, &nonce)? })
        })
    }

    fn remaining<'a>(&'a self, of: &'a Device) -> Pending<'a, Unclaimed> {
        let of = of.clone();
        self.answer(move |root| {
            let count = |kind| {
                let pages = pages(&shelf(root, &of), kind).unwrap_or_default();
                let left = pages.iter().filter_map(|page| left(page).ok());
                u32::try_from(left.map(|left| left.len()).sum::<usize>()).expect("few")
            };
            Ok(Unclaimed { x25519: count(Kind::X25519), kem: count(Kind::MlKem) })
        })
    }

    fn open_mailbox(&self, _: MailboxKind) -> Pending<'_, OpenedMailbox> {
        self.answer(|root| {
            let id = hex::encode(rng::draw::<16>(&mut system_rng()).expect("randomness").expose());
            fs::create_dir(path(root, id.as_bytes()))?;
            let handle = MailboxHandle::new(id.clone().into_bytes().into()).expect("short");
            Ok(OpenedMailbox { handle, address: Address::new(id.as_bytes(), b"").expect("short") })
        })
    }

    fn close_mailbox<'a>(&'a self, mailbox: &'a MailboxHandle) -> Pending<'a, ()> {
        let mailbox = mailbox.as_bytes().to_vec();
        self.answer(move |root| fs::remove_dir_all(path(root, &mailbox)))
    }

    fn deposit<'a>(
        &'a self,
        to: &'a Address,
        message: MessageId,
        frame: &'a [u8],
    ) -> Pending<'a, ()> {
        let (mailbox, frame) = (to.mailbox().to_vec(), frame.to_vec());
        self.answer(move |root| {
            let hash = hex::encode(kdf::sha256(&[&frame]));
            fs::write(root.join("wire").join(format!("{message}-{hash}")), &frame)?;
            let mailbox = path(root, &mailbox);
            let known = names(&mailbox)?;
            if known.iter().any(|name| name.contains(&message.to_string())) {
                return Ok(());
            }
            let incoming = root.join(format!("incoming-{message}"));
            fs::write(&incoming, &frame)?;
            // A frame that was read keeps its place, so the numbers ascend.
            fs::rename(incoming, mailbox.join(format!("{:08}-{message}", known.len())))
        })
    }

    fn fetch<'a>(&'a self, from: &'a MailboxHandle, limit: usize) -> Pending<'a, Vec<Arrived>> {
        let mailbox = from.as_bytes().to_vec();
        self.answer(move |root| {
            let mailbox = path(root, &mailbox);
            let waiting = names(&mailbox)?.into_iter().filter(|name| !name.ends_with(".read"));
            let arrived = |name: String| {
                let (sequence, message) = name.split_once('-').expect("a number and an id");
                let id = hex::decode(message).expect("hex").try_into().expect("16 bytes");
                Ok(Arrived {
                    sequence: sequence.parse().expect("a number"),
                    message: MessageId::from_bytes(id),
                    frame: fs::read(mailbox.join(&name))?,
                })
            };
            waiting.take(limit).map(arrived).collect()
        })
    }

    fn ack<'a>(&'a self, from: &'a MailboxHandle, sequences: &'a [u64]) -> Pending<'a, ()> {
        let (mailbox, sequences) = (from.as_bytes().to_vec(), sequences.to_vec());
        self.answer(move |root| {
            let mailbox = path(root, &mailbox);
            for name in names(&mailbox)?.into_iter().filter(|name| !name.ends_with(".read")) {
                let number = name.split_once('-').and_then(|(number, _)| number.parse().ok());
                if number.is_some_and(|number: u64| sequences.contains(&number)) {
                    fs::rename(mailbox.join(&name), mailbox.join(format!("{name}.read")))?;
                }
            }
            Ok(())
        })
    }

    fn watch(&self, _: Vec<MailboxHandle>) -> Pending<'_, Box<dyn Watch>> {
        let refused = DeliveryError::Refused("a directory tells nothing");
        Box::pin(std::future::ready(Err(refused)))
    }
}
