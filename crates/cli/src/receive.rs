//! Receiving: from the relay to the inbox, and from the inbox to where messages go.

mod event;
mod hand_over;
mod sink;
mod stage;

use std::{collections::HashSet, convert::Infallible, time::Duration};

use sealwire::{
    Listener,
    delivery::{Device, MessageId},
};

pub(crate) use self::{
    event::Event,
    sink::{About, Outlet, Sink},
};
use crate::{control::Control, driver, error::Failure, mail::Mail, patience::Patience};

/// How long to wait before a command is given a message again that it did not take.
const AGAIN: Duration = Duration::from_secs(5);

/// How long to wait at most before looking again: signed prekeys come of age without anyone
/// telling.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// How long one agent runs before it is built anew, which signs the card that is due.
const RENEW: Duration = Duration::from_secs(24 * 60 * 60);

/// Receives for one agent.
pub(crate) struct Receiver<'a> {
    mail: Mail,
    outlet: Outlet<'a>,
    /// Its relay, as it is shown.
    relay: String,
    state: State,
    /// Long messages of which it was told that there is no place for them.
    told: HashSet<MessageId>,
}

/// What was told of how it goes.
#[derive(Debug, PartialEq, Eq)]
enum State {
    New,
    InOrder,
    InTrouble(String),
}

/// What a round left.
#[derive(Debug, Default)]
struct Left {
    /// Messages, and pieces of long ones, that were taken.
    taken: usize,
    /// Whose messages were not taken, and are tried again.
    kept: HashSet<Device>,
    /// Why, the first time.
    failure: Option<Failure>,
}

/// Why waiting came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody asked for it.
    Stopped,
    /// The agent has to be built anew.
    Renew,
}

impl<'a> Receiver<'a> {
    pub(crate) fn new(mail: Mail, relay: String, outlet: Outlet<'a>) -> Self {
        Self { mail, outlet, relay, state: State::New, told: HashSet::new() }
    }

    /// Takes what is there.
    pub(crate) async fn once(&mut self, control: Option<&Control>) -> Result<(), Failure> {
        let mail = self.mail.clone();
        let take = async {
            let taken = self.take_all().await;
            if let Some(control) = control {
                control.is_idle().await;
            }
            taken
        };
        tokio::select! {
            taken = take => taken,
            never = serve(control, &mail) => match never {},
        }
    }

    async fn take_all(&mut self) -> Result<(), Failure> {
        self.clean().await?;
        loop {
            // What is in the inbox is handed over, whether or not the relay can be reached.
            let synced = self.sync().await;
            let left = self.hand_over().await?;
            synced?;
            match left.failure {
                Some(failure) => return Err(failure),
                // There was no more room than for these, perhaps.
                None if left.taken > 0 => {}
                None => return self.tell_incomplete().await,
            }
        }
    }

    /// Tells of messages of which only a part is here.
    async fn tell_incomplete(&self) -> Result<(), Failure> {
        // Where there is no place for them, that was told.
        if self.outlet.directory().is_some() {
            for large in self.mail.agent.inbox()?.large().await? {
                let (message, from) = (large.id().to_string(), large.from().agent.to_string());
                let (bytes, length) = (large.taken(), large.length());
                self.tell(Event::Incomplete { message, from, bytes, length });
            }
        }
        Ok(())
    }

    /// Takes what is there and what comes, until somebody asks for an end.
    pub(crate) async fn wait(&mut self, control: Option<&Control>) -> Result<End, Failure> {
        let mut stop = driver::Stop::new()?;
        let mail = self.mail.clone();
        tokio::select! {
            ended = self.go_on(control) => ended,
            never = serve(control, &mail) => match never {},
            () = stop.asked() => {
                mail.output.event(&Event::Stopped);
                Ok(End::Stopped)
            }
        }
    }

    /// Ends when it is time to build the agent anew, or a hangup asks for that, and no command is
    /// being served.
    async fn go_on(&mut self, control: Option<&Control>) -> Result<End, Failure> {
        let mut again = driver::Again::new()?;
        self.clean().await?;
        let mut until = driver::now() + RENEW;
        let mut patience = Patience::endless();
        let mut listener: Option<Listener> = None;
        while driver::now() < until || control.is_some_and(Control::is_serving) {
            let synced = self.listen_and_sync(&mut listener).await;
            let left = self.hand_over().await?;
            let ends = driver::now() >= until;
            let pause = match synced {
                Ok(()) => {
                    patience.renew();
                    self.is_in_order();
                    if left.kept.is_empty() && !ends { LOOK_AGAIN } else { AGAIN }
                }
                Err(failure) => {
                    self.is_in_trouble(&failure);
                    patience.pause(failure)?
                }
            };
            tokio::select! {
                () = hear(listener.as_mut(), pause) => {}
                () = again.asked() => until = driver::now(),
            }
        }
        Ok(End::Renew)
    }

    /// Listens before the first look, so that nothing is missed between the two.
    async fn listen_and_sync(&self, listener: &mut Option<Listener>) -> Result<(), Failure> {
        if listener.is_none() {
            *listener = Some(self.mail.agent.listen().await?);
        }
        self.sync().await
    }

    /// Publishes prekeys where they are due, and fetches what there is.
    async fn sync(&self) -> Result<(), Failure> {
        // Who has no prekeys at the relay may have messages there all the same.
        let published = self.mail.publish().await;
        self.mail.sync().await?;
        published?;
        self.mail.publish().await
    }

    /// Tells once that messages are waited for.
    fn is_in_order(&mut self) {
        if self.state != State::InOrder {
            self.state = State::InOrder;
            let id = self.mail.agent.id().to_string();
            self.tell(Event::Waiting { id, relay: self.relay.clone() });
        }
    }

    /// Tells once what keeps messages from coming. The cause behind the colon may change from one
    /// attempt to the next.
    fn is_in_trouble(&mut self, failure: &Failure) {
        let what = failure.message().split(": ").next().unwrap_or_default();
        let trouble = State::InTrouble(what.to_owned());
        if self.state != trouble {
            self.state = trouble;
            self.tell(Event::Warning { message: failure.message().to_owned() });
        }
    }

    fn tell(&self, event: Event) {
        self.mail.output.event(&event);
    }
}

/// Serves other commands, if they can find the way.
async fn serve(control: Option<&Control>, mail: &Mail) -> Infallible {
    match control {
        Some(control) => control.serve(mail).await,
        None => std::future::pending().await,
    }
}

/// Waits for news, but no longer than for a pause.
async fn hear(listener: Option<&mut Listener>, pause: Duration) {
    let silence = tokio::time::sleep(pause);
    let Some(listener) = listener else { return silence.await };
    tokio::select! {
        heard = listener.changed() => if heard.is_err() {
            // The next look shows what is wrong.
            tokio::time::sleep(pause.min(AGAIN)).await;
        },
        () = silence => {}
    }
}
