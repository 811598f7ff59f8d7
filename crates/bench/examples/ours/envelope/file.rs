//! Objects in a folder: how fast they are sealed and opened, and in how much memory.

use std::{
    fs::File,
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll},
};

use sealwire::custody::system_rng;
use sealwire_bench::{Failure, Request, files};
use sealwire_envelope::{
    Error,
    store::{Access, Plan, Store},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::{Builder, Runtime},
};

use super::{Owner, ready};
use crate::{memory, side::NOW};

/// The only object of the store.
const NAME: &str = "object";

pub(super) fn measure(request: &Request) -> Result<f64, Failure> {
    let (name, threads) = match request.name.strip_suffix(", 2 threads") {
        // What is set beside it.
        Some(name) if request.peer == "1 thread" => (name, 1),
        Some(name) => (name, 2),
        None => (request.name.as_str(), 1),
    };
    let work = match name {
        "seal 4GiB file" | "seal 4GiB memory" => Scene::seal,
        "open 4GiB file" | "open 4GiB memory" => Scene::open,
        _ => return Err(request.unknown()),
    };
    let root = request.folder.join("store");
    let scene = Scene {
        request,
        owner: Owner::new()?,
        store: Store::local(&root, "acme")?.with_threads(threads),
        runtime: (threads > 1).then(|| Builder::new_current_thread().build()).transpose()?,
        weigh: name.ends_with("memory"),
    };
    let figure = work(&scene)?;
    files::remove(&root)?;
    Ok(figure)
}

struct Scene<'a> {
    request: &'a Request,
    owner: Owner,
    store: Store,
    /// None where one thread does everything.
    runtime: Option<Runtime>,
    /// Whether memory is what counts, and not time.
    weigh: bool,
}

impl Scene<'_> {
    /// From one file to another.
    fn seal(&self) -> Result<f64, Failure> {
        let plain = files::plain(&self.request.folder, self.request.bytes)?;
        self.figure(|| self.wait(self.write(File::open(plain)?)))
    }

    fn open(&self) -> Result<f64, Failure> {
        self.wait(self.write(files::source(self.request.bytes)))?;
        let opened = self.request.folder.join("opened");
        let figure = self.figure(|| self.wait(self.read(File::create(&opened)?)));
        files::remove(&opened)?;
        figure
    }

    async fn write(&self, content: impl Read + Send + Unpin) -> Result<u64, Error> {
        let plan = Plan::new(&self.owner.context).kms(&*self.owner.kek);
        let mut writer = self.store.writer(NAME, &plan, NOW, &mut system_rng()).await?;
        let copied = writer.copy_from(&mut AtOnce(content)).await?;
        writer.finish().await?;
        Ok(copied)
    }

    async fn read(&self, out: impl Write + Send + Unpin) -> Result<u64, Error> {
        let access = Access::kms(&*self.owner.kek, &self.owner.required);
        let object = self.store.open(NAME, &access).await?;
        object.content().copy_to(&mut AtOnce(out)).await
    }

    fn wait<T>(&self, future: impl Future<Output = Result<T, Error>>) -> Result<T, Failure> {
        match &self.runtime {
            Some(runtime) => Ok(runtime.block_on(future)?),
            None => ready(future),
        }
    }

    fn figure(&self, work: impl FnOnce() -> Result<u64, Failure>) -> Result<f64, Failure> {
        if self.weigh { memory::peak(work) } else { files::throughput(self.request, work) }
    }
}

/// A file in memory, which nobody waits for.
struct AtOnce<T>(T);

impl<T: Read + Unpin> AsyncRead for AtOnce<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.0.read(buffer.initialize_unfilled());
        Poll::Ready(read.map(|len| buffer.advance(len)))
    }
}

impl<T: Write + Unpin> AsyncWrite for AtOnce<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(buffer))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
