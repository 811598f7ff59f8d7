//! The owner of a mailbox: reads over a stream, handles each message, acknowledges it.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use sealwire_bench::{Failure, now};
use sealwire_relay::{
    limits::MAX_FETCH,
    wire::{Acks, FromClient, FromServer, Message, Operation},
};
use tokio::{net::TcpStream, time::sleep};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, client::IntoClientRequest as _, http::HeaderValue, protocol::WebSocketConfig,
    },
};

use crate::{
    messages::{Accounts, Messages},
    people::Owner,
};

/// How long a reader tries to come back to a server that is away.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it waits before each try.
const PAUSE: Duration = Duration::from_millis(50);

/// A stream of one mailbox.
pub(crate) struct Stream {
    socket: WebSocketStream<TcpStream>,
    /// Something arrived since the last fetch.
    arrived: bool,
}

impl Stream {
    /// Opens it, and waits until it stands.
    pub(crate) async fn open(
        address: SocketAddr,
        owner: &Owner,
        nonce: [u8; 16],
    ) -> Result<Self, Failure> {
        let host = address.to_string();
        let operation = Operation::Stream(owner.receive);
        let mut request = format!("ws://{host}{}", operation.target()).into_client_request()?;
        for (name, value) in owner.key.sign(&host, &operation, &[], nonce)? {
            request.headers_mut().insert(name, HeaderValue::try_from(value)?);
        }
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let config = WebSocketConfig::default().read_buffer_size(2 * 1024).write_buffer_size(0);
        let (socket, _) = client_async_with_config(request, tcp, Some(config)).await?;
        let mut stream = Self { socket, arrived: false };
        match stream.next().await? {
            FromServer::Ready => Ok(stream),
            _ => Err("a stream did not begin".into()),
        }
    }

    /// Waits until it ends, which it should not.
    pub(crate) async fn hold(mut self) -> Failure {
        loop {
            if let Err(error) = self.next().await {
                return error;
            }
        }
    }

    async fn next(&mut self) -> Result<FromServer, Failure> {
        loop {
            match self.socket.next().await.ok_or("a stream ended")?? {
                tungstenite::Message::Binary(bytes) => return Ok(FromServer::from_bytes(&bytes)?),
                tungstenite::Message::Close(_) => return Err("a stream was closed".into()),
                // The socket answers a ping by itself.
                _ => {}
            }
        }
    }

    /// Asks, and waits for the answer.
    async fn ask(&mut self, request: &FromClient) -> Result<FromServer, Failure> {
        self.socket.send(tungstenite::Message::Binary(request.to_bytes().into())).await?;
        loop {
            match self.next().await? {
                FromServer::Arrived => self.arrived = true,
                FromServer::PrekeysLow | FromServer::Ready => {}
                FromServer::Problem(problem) => return Err(format!("{problem:?}").into()),
                answer => return Ok(answer),
            }
        }
    }

    /// Reads what there is. What was acknowledged must not come again, so it begins at the
    /// oldest each time.
    async fn empty(&mut self, mailbox: u32, accounts: &Accounts) -> Result<(), Failure> {
        loop {
            self.arrived = false;
            let fetch = FromClient::Fetch { after: 0, limit: MAX_FETCH };
            let FromServer::Messages { messages, more } = self.ask(&fetch).await? else {
                return Err("another answer than to a fetch".into());
            };
            for Message { id, frame, .. } in &messages {
                accounts.delivered(mailbox, id.as_bytes(), frame);
            }
            if !messages.is_empty() {
                self.acknowledge(&messages, accounts).await?;
            }
            if !more && !self.arrived {
                return Ok(());
            }
        }
    }

    async fn acknowledge(
        &mut self,
        messages: &[Message],
        accounts: &Accounts,
    ) -> Result<(), Failure> {
        let sequences = messages.iter().map(|message| message.sequence).collect();
        let FromServer::Acked { .. } = self.ask(&FromClient::Ack(Acks { sequences })).await? else {
            return Err("another answer than to an acknowledgement".into());
        };
        let mut ledger = accounts.ledger.borrow_mut();
        for message in messages {
            ledger.acknowledged(message.id.as_bytes());
        }
        Ok(())
    }

    /// Reads whatever comes, until all senders are done and nothing is left.
    async fn read(
        &mut self,
        mailbox: u32,
        messages: &Messages,
        accounts: &Accounts,
    ) -> Result<(), Failure> {
        loop {
            let over = messages.over.notified();
            let was_over = accounts.is_over.get();
            self.empty(mailbox, accounts).await?;
            if was_over {
                return Ok(());
            }
            tokio::select! {
                news = self.next() => drop(news?),
                () = over => {}
            }
        }
    }
}

/// Reads a mailbox until all senders are done, also from a server that is away for a while.
pub(crate) async fn read(messages: Rc<Messages>, owner: Owner) -> Result<(), Failure> {
    let accounts = messages.accounts.as_ref().ok_or("nobody keeps accounts")?;
    let mut away = None;
    loop {
        let nonce = messages.name();
        let failed = match Stream::open(messages.address, &owner, nonce).await {
            Ok(mut stream) => {
                away = None;
                match stream.read(owner.number, &messages, accounts).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        if away.get_or_insert_with(now).elapsed() > PATIENCE {
            return Err(failed);
        }
        sleep(PAUSE).await;
    }
}
