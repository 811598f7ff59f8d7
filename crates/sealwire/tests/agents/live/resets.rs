//! Connections that are reset, in every state.

use sealwire::Error;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
};

use crate::live::common::{acquainted, channels, id_of};

/// Forwards `count` bytes of the dialler, and whatever comes back meanwhile; then resets the
/// answerer.
async fn reset_after(count: u64, dialler: TcpStream, mut answerer: TcpStream) {
    let (mut from_dialler, mut to_dialler) = dialler.into_split();
    let (mut from_answerer, mut to_answerer) = answerer.split();
    let mut some = (&mut from_dialler).take(count);
    tokio::select! {
        _ = copy(&mut some, &mut to_answerer) => {}
        _ = copy(&mut from_answerer, &mut to_dialler) => {}
    }
    answerer.set_zero_linger().expect("linger");
}

// attack T24: a reset ends one connection, whichever state it is in, and is never a clean end.
#[tokio::test(start_paused = true)]
async fn a_reset_in_any_state_is_an_error_and_harms_nobody_else() {
    let (alice, bob) = acquainted();
    // From nothing through preamble, message 1 and the confirmation into the records.
    for count in (0..8_000).step_by(250).chain([1, 4, 5, 1132, 1133, 1134]) {
        let at_bob = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let in_the_middle = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let answer = async {
            let (stream, source) = at_bob.accept().await.expect("accept");
            let mut channel = bob.accept(stream, source).await?;
            let mut released = Vec::new();
            channel.read_to_end(&mut released).await?;
            Ok::<_, Error>(released)
        };
        let middle = async {
            let (dialler, _) = in_the_middle.accept().await.expect("accept");
            let address = at_bob.local_addr().expect("address");
            reset_after(count, dialler, TcpStream::connect(address).await.expect("dial")).await;
        };
        let dial = async {
            let address = in_the_middle.local_addr().expect("address");
            let stream = TcpStream::connect(address).await?;
            let mut channel = alice.connect(stream, id_of(&bob)).await?;
            channel.write_all(&[7; 100_000]).await?;
            channel.close().await?;
            Ok::<_, Error>(())
        };
        let (answered, (), _) = tokio::join!(answer, middle, dial);
        assert!(answered.is_err(), "reset after {count} bytes");
    }
    let _ = channels(&alice, id_of(&bob), &bob).await;
}
