//! How much went each way, and a bar that shows it to who watches.

use std::{
    cell::Cell,
    fs::File,
    io::{self, IsTerminal, Seek},
    os::fd::AsFd,
};

use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

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
        let bar = ProgressBar::with_draw_target(total, target);
        let template = match total {
            Some(_) => "{wide_bar} {percent}% {binary_bytes_per_sec}, {msg}",
            None => "{spinner} {binary_bytes_per_sec}, {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
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

fn add(counter: &Cell<u64>, bytes: usize) {
    counter.set(counter.get().saturating_add(bytes as u64));
}

/// What is left of standard input, where it is a regular file.
fn stdin_len() -> Option<u64> {
    let mut file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(metadata.len().saturating_sub(file.stream_position().ok()?))
}
