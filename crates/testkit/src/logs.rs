//! All that a process logs, at its most talkative, through `log` and through `tracing`.

use std::{
    fmt::{self, Write},
    sync::{Mutex, MutexGuard, OnceLock},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// From now on everything that is logged in this process is kept.
///
/// # Panics
/// When it was called before, or another logger stands: it would miss what came before.
pub fn keep() {
    tracing::subscriber::set_global_default(Everything).expect("the first");
    log::set_logger(&Everything).expect("the first");
    log::set_max_level(log::LevelFilter::Trace);
}

/// What was logged since [`keep`].
///
/// # Panics
/// When a thread panicked while it logged.
pub fn kept() -> String {
    all().clone()
}

fn all() -> MutexGuard<'static, String> {
    static ALL: OnceLock<Mutex<String>> = OnceLock::new();
    ALL.get_or_init(Mutex::default).lock().expect("nobody panics here")
}

struct Everything;

impl log::Log for Everything {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}\n", record.target(), record.args());
        all().push_str(&line);
    }

    fn flush(&self) {}
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        let mut line = Line::of(span.metadata());
        span.record(&mut line);
        line.end();
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        line.end();
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::of(event.metadata());
        event.record(&mut line);
        line.end();
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The fields of a span or of an event. It is put together apart: what a field prints may log.
struct Line(String);

impl Line {
    fn of(metadata: &Metadata<'_>) -> Self {
        Self(format!("{} ", metadata.target()))
    }

    fn end(mut self) {
        self.0.push('\n');
        all().push_str(&self.0);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{field}={value:?} ").expect("a text");
    }
}
