//! What `NoiseStream` holds back, hands on, and calls itself.

use sealwire_noise::{NoiseStream, record::CONTENT_LEN};
use tokio::io::{AsyncWriteExt, duplex};

use crate::{
    stream::sessions,
    transport::{Script, poll_once, ready},
};

#[test]
fn a_stream_carries_the_binding_of_its_session() {
    let (session, _) = sessions();
    let binding = *session.channel_binding();
    let stream = NoiseStream::new(Script::default(), session);
    assert_eq!(stream.channel_binding(), &binding);
}

#[test]
fn a_transport_that_takes_nothing_makes_writing_wait() {
    // attack T24
    let (stuck, _far_end) = duplex(1);
    let mut stream = NoiseStream::new(stuck, sessions().0);
    let content = vec![7; 5 * CONTENT_LEN];
    let mut taken = 0;
    while let Some(len) = poll_once(stream.write(&content)) {
        taken += len.expect("taken");
        assert!(taken < 100 * CONTENT_LEN, "writing never waits");
    }
    // Four records are taken at once, and nothing while they wait.
    assert_eq!(taken, 4 * CONTENT_LEN);
}

#[test]
fn a_flush_and_a_close_reach_the_transport() {
    let mut stream = NoiseStream::new(Script::default(), sessions().0);
    ready(stream.write_all(b"question")).expect("a write");
    assert_eq!(stream.get_ref().flushes, 0);
    ready(stream.flush()).expect("a flush");
    assert_eq!(stream.get_ref().flushes, 1);
    ready(stream.shutdown()).expect("a close");
    assert_eq!(stream.get_ref().shutdowns, 1);
}
