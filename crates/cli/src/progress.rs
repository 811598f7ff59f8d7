//! How much went each way, or how far a message or a file is, and a bar that shows it to who watches.

use std::{
    cell::Cell,
    fmt,
    fs::File,
    io::{self, IsTerminal, Seek},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::{driver, outgoing::Moved, output::Output, text::Plain};

/// Counts bytes of content.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    sent: Cell<u64>,
    received: Cell<u64>,
    /// The length of standard input, where it is a file.
    total: Option<u64>,
}

impl Progress {
    /// A bar on standard error, if a person watches it and data does not run through the same
    /// terminal.
    pub(crate) fn start(output: Output) -> Self {
        let typed = io::stdin().is_terminal() || io::stdout().is_terminal();
        let target = if output.is_watched() && !typed {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let total = stdin_len();
        let bar = bar(total, target);
        Self { bar, sent: Cell::new(0), received: Cell::new(0), total }
    }

    /// Counts bytes taken by the channel.
    pub(crate) fn sent(&self, bytes: usize) {
        add(&self.sent, bytes);
        self.draw();
    }

    /// Counts bytes that the channel gave.
    pub(crate) fn received(&self, bytes: usize) {
        add(&self.received, bytes);
        self.draw();
    }

    /// Takes the bar away and gives the bytes sent and received.
    pub(crate) fn finish(&self) -> (u64, u64) {
        self.bar.finish_and_clear();
        (self.sent.get(), self.received.get())
    }

    fn draw(&self) {
        if self.bar.is_hidden() {
            return;
        }
        let (sent, received) = (self.sent.get(), self.received.get());
        let moved = if self.total.is_some() { sent } else { sent.saturating_add(received) };
        self.bar.set_message(format!(
            "sent {}, received {}",
            BinaryBytes(sent),
            BinaryBytes(received)
        ));
        self.bar.set_position(moved);
    }
}

/// How often a program is told how far a message is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How far a message is that goes in parts.
#[derive(Clone, Debug)]
pub(crate) struct Moving {
    bar: ProgressBar,
    output: Output,
    last: Arc<Mutex<Last>>,
}

#[derive(Debug, Default)]
struct Last {
    waiting: Option<String>,
    told: Option<tokio::time::Instant>,
}

/// How far a message is, for programs; and for people who see no bar what it waits for.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told {
    Progress {
        message: String,
        bytes: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        length: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        waiting: Option<String>,
    },
}

impl Moving {
    /// Of so many bytes, where that is known.
    pub(crate) fn start(output: Output, length: Option<u64>) -> Self {
        let watched = output.is_watched();
        let target =
            if watched { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bar: bar(length, target), output, last: Arc::default() }
    }

    /// Shows how far a message is.
    pub(crate) fn tell(&self, now: &Moved) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = now.waiting != last.waiting;
        last.waiting.clone_from(&now.waiting);
        if self.output.is_watched() {
            self.bar.set_message(now.waiting.clone().unwrap_or_default());
            self.bar.set_position(now.bytes);
            return;
        }
        let due = last.told.is_none_or(|told| driver::now() - told >= TELL_EVERY);
        let whole = now.length == Some(now.bytes);
        if changed || (self.output.is_json() && (due || whole)) {
            last.told = Some(driver::now());
            let Moved { message, bytes, length, waiting } = now.clone();
            self.output.event(&Told::Progress { message, bytes, length, waiting });
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Progress { message: _, bytes, length: _, waiting } = self;
        let bytes = BinaryBytes(*bytes);
        match waiting {
            Some(reason) => write!(f, "{bytes}, and waiting: {}", Plain::new(reason)),
            None => write!(f, "{bytes}, and going on"),
        }
    }
}

/// How far a file is, for who watches.
#[derive(Debug)]
pub(crate) struct Transfer(ProgressBar);

impl Transfer {
    /// Of so many bytes, where that is known. `typed` says that the content itself runs through
    /// the terminal.
    pub(crate) fn start(output: Output, total: Option<u64>, typed: bool) -> Self {
        let target = match output.is_watched() && !typed {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = bar(total, target);
        if let Some(total) = total {
            bar.set_message(format!("{} in all", BinaryBytes(total)));
        }
        Self(bar)
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn bar(total: Option<u64>, target: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, target);
    let template = match total {
        Some(_) => "{wide_bar} {percent}% {binary_bytes_per_sec}, {msg}",
        None => "{spinner} {binary_bytes_per_sec}, {msg}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn add(counter: &Cell<u64>, bytes: usize) {
    counter.set(counter.get().saturating_add(bytes as u64));
}

/// What is left of standard input, where it is a regular file.
fn stdin_len() -> Option<u64> {
    let mut file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(metadata.len().saturating_sub(file.stream_position().ok()?))
}
