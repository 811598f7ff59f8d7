//! What becomes of messages: they are printed, written to files, or given to a command.

use std::{
    fmt,
    fs::File,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::Stdio,
};

use base64ct::{Base64, Encoding};
use sealwire::{
    core::Timestamp,
    delivery::{Device, MessageId},
};
use serde::Serialize;
use tokio::{io::AsyncWriteExt, process::Command};
use zeroize::Zeroizing;

use super::{
    event::Event,
    stage::{self, Part},
};
use crate::{
    driver,
    error::{Exit, Failure},
    home::Home,
    output::Output,
    text::Plain,
};

/// Where messages go.
#[derive(Debug)]
pub(crate) enum Sink {
    /// To standard output.
    Print,
    /// Each to a file of its own.
    Files(PathBuf),
    /// Each to the standard input of a command.
    Command(String),
}

/// What is known of a message beside its content.
#[derive(Debug)]
pub(crate) struct About<'a> {
    pub(crate) id: MessageId,
    pub(crate) from: &'a Device,
    pub(crate) received: Timestamp,
}

impl About<'_> {
    /// The message and its sender, as they are shown.
    pub(crate) fn names(&self) -> (String, String) {
        (self.id.to_string(), self.from.agent.to_string())
    }
}

/// The sink, and what it needs.
#[derive(Debug)]
pub(crate) struct Outlet<'a> {
    pub(crate) sink: &'a Sink,
    pub(crate) home: &'a Home,
    pub(crate) output: Output,
}

/// A message, for programs that read standard output.
#[derive(Serialize)]
struct Printed {
    message: String,
    from: String,
    received: u64,
    bytes: u64,
    #[serde(flatten)]
    content: Content,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Text(String),
    Base64(String),
    File(String),
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::File(path) => write!(f, "{}", Plain::new(path)),
            Content::Text(text) => f.write_str(text),
            Content::Base64(text) => f.write_str(text),
        }
    }
}

impl Outlet<'_> {
    /// Hands over a message that is in memory. When it returns, the application is done with it.
    pub(crate) async fn take(&self, about: &About<'_>, payload: &[u8]) -> Result<(), Failure> {
        match self.sink {
            Sink::Print => self.print(about, payload).await,
            Sink::Files(directory) => {
                let name = stage::name(about.from, about.id);
                let part = Part::open(directory, &name, 0)?;
                let part =
                    part.ok_or_else(|| Failure::other("internal error: a new file is old"))?;
                part.write(0, payload)?;
                let place = part.publish()?;
                part.remove()?;
                self.file(about, payload.len() as u64, &place).await
            }
            Sink::Command(command) => {
                let mut child = self.start(command, about, Stdio::piped())?;
                let stdin = child.stdin.take();
                let (fed, ended) = tokio::join!(feed(stdin, payload), child.wait());
                self.judge(command, about, payload.len() as u64, fed.and(ended))
            }
        }
    }

    /// Where the parts of a long message are put together. `None` when messages go where one
    /// of many parts would be of no use.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        match self.sink {
            Sink::Files(directory) => Some(directory.clone()),
            Sink::Command(_) => Some(self.home.incoming()),
            Sink::Print if self.output.is_json() || io::stdout().is_terminal() => None,
            Sink::Print => Some(self.home.incoming()),
        }
    }

    /// Hands over a message that is in a file, which stays. When it returns, the application is
    /// done with it.
    pub(crate) async fn take_file(
        &self,
        about: &About<'_>,
        bytes: u64,
        part: &Part,
    ) -> Result<(), Failure> {
        match self.sink {
            Sink::Files(_) => self.file(about, bytes, &part.publish()?).await,
            Sink::Print => {
                self.output.event(&Event::message(about, bytes));
                let (output, path) = (self.output, part.path());
                driver::blocking(move || output.file(&path)).await
            }
            Sink::Command(command) => {
                let path = part.path();
                let file =
                    File::open(&path).map_err(|error| Failure::file("read", &path, &error))?;
                let mut child = self.start(command, about, Stdio::from(file))?;
                self.judge(command, about, bytes, child.wait().await)
            }
        }
    }

    /// On a thread of its own: whoever reads may be slow, and may wait for this process.
    async fn print(&self, about: &About<'_>, payload: &[u8]) -> Result<(), Failure> {
        let (output, bytes) = (self.output, payload.len() as u64);
        if output.is_json() {
            let content = match std::str::from_utf8(payload) {
                Ok(text) => Content::Text(text.to_owned()),
                Err(_) => Content::Base64(Base64::encode_string(payload)),
            };
            let printed = Printed::new(about, bytes, content);
            return driver::blocking(move || output.result(&printed)).await;
        }
        output.event(&Event::message(about, bytes));
        let payload = Zeroizing::new(payload.to_vec());
        driver::blocking(move || output.content(&payload)).await
    }

    async fn file(&self, about: &About<'_>, bytes: u64, path: &Path) -> Result<(), Failure> {
        let output = self.output;
        if !output.is_json() {
            output.event(&Event::message(about, bytes));
        }
        let content = Content::File(path.to_string_lossy().into_owned());
        let printed = Printed::new(about, bytes, content);
        driver::blocking(move || output.result(&printed)).await
    }

    fn start(
        &self,
        command: &str,
        about: &About<'_>,
        stdin: Stdio,
    ) -> Result<tokio::process::Child, Failure> {
        let started = Command::new("/bin/sh")
            .args(["-c", command])
            .env("SEALWIRE_HOME", self.home.path())
            .env("SEALWIRE_FROM", about.from.agent.as_str())
            .env("SEALWIRE_MESSAGE_ID", about.id.to_string())
            // It works on what others wrote, and has no need of it.
            .env_remove("SEALWIRE_PASSPHRASE")
            .stdin(stdin)
            .kill_on_drop(true)
            .spawn();
        started.map_err(|error| Failure::other(format!("cannot start /bin/sh: {error}")))
    }

    fn judge(
        &self,
        command: &str,
        about: &About<'_>,
        bytes: u64,
        ended: io::Result<std::process::ExitStatus>,
    ) -> Result<(), Failure> {
        let command = Plain::new(command);
        let status = ended.map_err(|error| Failure::other(format!("{command}: {error}")))?;
        if !status.success() {
            let message = format!("message {} is kept: {command} ended with {status}", about.id);
            return Err(Failure::new(Exit::Failed, message));
        }
        self.output.event(&Event::handled(about, bytes));
        Ok(())
    }
}

impl Printed {
    fn new(about: &About<'_>, bytes: u64, content: Content) -> Self {
        let (message, from) = about.names();
        Self { message, from, received: about.received.as_secs(), bytes, content }
    }
}

/// Writes to a command, as much as it wants to read.
async fn feed(stdin: Option<tokio::process::ChildStdin>, payload: &[u8]) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    let written = match stdin.write_all(payload).await {
        Ok(()) => stdin.shutdown().await,
        failed => failed,
    };
    match written {
        // Its exit code says what it thinks of what it did not read.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
