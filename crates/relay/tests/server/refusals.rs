//! What a relay refuses, and by which problem: a table of bad input.

use sealwire_core::pad::FRAME_CLASSES;
use sealwire_relay::{
    Device, MessageId, Problem, limits,
    wire::{Body, CAPABILITY, CBOR, FRAME, Kind, MESSAGE_ID, MailboxKind, Operation},
};

use crate::{
    connections::until,
    http::{Ask, Http},
    people::{Agent, Owner, Signs, add_page, claim, deposit, page},
    rig::{Rig, frame},
};

// REL-6, attack T24: whatever has another size than the four is not stored.
#[tokio::test]
async fn frames_of_any_other_size_are_refused() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let capability = owner.capability(1, rig.now());
    let mut connection = rig.connect().await;
    let near = FRAME_CLASSES.into_iter().flat_map(|class| [class - 1, class + 1]);
    for length in [0, 1, 1000, 8192].into_iter().chain(near) {
        let problem = match length {
            65_537 => Problem::TooLarge,
            _ => Problem::FrameSize,
        };
        let ask = deposit(owner.send, &capability, &vec![1; length]);
        let answer = match problem {
            // The rest of such a body is not read: the connection ends.
            Problem::TooLarge => rig.ask(&ask).await,
            _ => connection.ask(&ask).await,
        };
        assert_eq!(answer.problem(), problem, "{length}");
    }
    assert_eq!(rig.fetch(&owner, 0, 1).await.messages.len(), 0);
}

// REL-7, attack T24: a length that is declared is believed to be at least as bad as it says.
#[tokio::test]
async fn a_body_is_refused_by_its_length_before_it_is_read() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let (agent, capability) = (rig.agent().await, owner.capability(1, rig.now()));
    let publish = Operation::Publish(agent.device.clone());
    let acks = Operation::Ack(owner.receive);
    for ask in [
        deposit(owner.send, &capability, &[]),
        Ask::new(&publish, &[]),
        Ask::new(&add_page(&agent, Kind::MlKem, 1), &[]),
        Ask::new(&agent.claim(), &[]),
        Ask::new(&Operation::CreateMailbox(owner.receive), &[]),
        Ask::new(&Operation::Revoke(owner.receive), &[]),
        Ask::new(&acks, &[]),
        // These take no body at all.
        Ask::new(&owner.fetch(0, 1, 0), &[]).with("content-length", "1"),
        Ask::new(&Operation::CloseMailbox(owner.receive), &[]),
        Ask::new(&Operation::Stream(owner.receive), &[]),
    ] {
        for length in ["4294967295", "9223372036854775807"] {
            let ask = ask.clone().without("content-length").with("content-length", length);
            // Nothing of the body is sent, and the answer comes.
            assert_eq!(rig.ask(&ask).await.problem(), Problem::TooLarge, "{}", ask.target);
        }
    }
}

#[tokio::test]
async fn a_body_without_a_declared_length_is_read_up_to_its_bound() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let capability = owner.capability(1, rig.now());
    let ask = |body: Vec<u8>| {
        let mut ask = deposit(owner.send, &capability, &[]).with("transfer-encoding", "chunked");
        ask.body = body;
        ask
    };
    let chunk =
        |length: usize| [format!("{length:x}\r\n").as_bytes(), &vec![5; length], b"\r\n"].concat();
    let end = b"0\r\n\r\n".to_vec();
    let whole = [chunk(1000), chunk(1048), end.clone()].concat();
    rig.ask(&ask(whole)).await.is(202);
    let short = [chunk(1000), chunk(1047), end].concat();
    assert_eq!(rig.ask(&ask(short)).await.problem(), Problem::FrameSize);
    let endless: Vec<u8> = (0..17).flat_map(|_| chunk(4096)).collect();
    assert_eq!(rig.ask(&ask(endless)).await.problem(), Problem::TooLarge);
    let messages = rig.fetch(&owner, 0, 10).await.messages;
    assert_eq!((messages.len(), &messages[0].frame), (1, &frame(5)));
}

#[tokio::test]
async fn bodies_have_the_media_type_of_their_operation() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let capability = owner.capability(1, rig.now());
    let good = deposit(owner.send, &capability, &frame(1));
    for (name, ask, problem) in [
        ("none", good.clone().without("content-type"), Some(Problem::MediaType)),
        (
            "that of bodies",
            good.clone().without("content-type").with("content-type", CBOR),
            Some(Problem::MediaType),
        ),
        ("twice", good.clone().with("content-type", FRAME), Some(Problem::MediaType)),
        (
            "with a parameter",
            good.clone().without("content-type").with("content-type", &format!("{FRAME}; a=b")),
            Some(Problem::MediaType),
        ),
        ("compressed", good.clone().with("content-encoding", "gzip"), Some(Problem::MediaType)),
        (
            "in capitals",
            good.without("content-type").with("content-type", &FRAME.to_uppercase()),
            None,
        ),
    ] {
        let answer = rig.ask(&ask).await;
        match problem {
            Some(problem) => assert_eq!(answer.problem(), problem, "{name}"),
            None => assert_eq!(answer.status, 202, "{name}"),
        }
    }
    let agent = Agent::new();
    let operation = Operation::Publish(agent.device.clone());
    let body = agent.publish(1, rig.now(), None).to_bytes();
    let ask = rig.signed(&agent, &operation, &body).without("content-type");
    let ask = ask.with("content-type", "application/json");
    assert_eq!(rig.ask(&ask).await.problem(), Problem::MediaType);
}

#[tokio::test]
async fn bodies_that_are_not_what_the_operation_takes_are_refused() {
    let rig = Rig::start().await;
    let owner = Owner::new(MailboxKind::Pairwise);
    let (agent, stranger) = (rig.agent().await, Agent::new());
    let publish = Operation::Publish(agent.device.clone());
    let published = |agent: &Agent, sequence| agent.publish(sequence, rig.now(), None);
    let mut truncated = published(&agent, 2).to_bytes();
    truncated.pop();
    let longer = [published(&agent, 2).to_bytes(), vec![0]].concat();
    let mut unknown = published(&agent, 2).to_bytes();
    assert_eq!(unknown[0] >> 5, 4, "an array");
    unknown[0] += 1;
    unknown.push(0);
    let mut forged = published(&agent, 2);
    let last = forged.published.card.last_mut().expect("a card");
    *last ^= 1;
    let mut rubbish = published(&agent, 2);
    rubbish.published.card = b"card".to_vec();
    let mut expired = published(&agent, 2);
    let weeks_ago = sealwire_core::Timestamp::from_secs(rig.now().as_secs() - 60 * 24 * 60 * 60);
    expired.published.card = agent.card(2, weeks_ago);
    let mut early = published(&agent, 2);
    early.published.card = agent.card(2, rig.now().plus(24 * 60 * 60));
    for (name, body) in [
        ("empty", Vec::new()),
        ("truncated", truncated),
        ("with more behind it", longer),
        ("with an unknown field", unknown),
        ("another body", claim()),
        ("no CBOR", vec![0xFF; 50]),
        ("a card with a wrong signature", forged.to_bytes()),
        ("no card", rubbish.to_bytes()),
        ("a card that has expired", expired.to_bytes()),
        ("a card of the future", early.to_bytes()),
        ("the card of another", published(&stranger, 2).to_bytes()),
    ] {
        let answer = rig.ask_signed(&agent, &publish, &body).await;
        assert_eq!(answer.problem(), Problem::Malformed, "{name}");
    }
    for (name, who, operation, body) in [
        ("a page", &agent as &dyn Asks, add_page(&agent, Kind::X25519, 1), claim()),
        ("a claim", &agent, agent.claim(), Vec::new()),
        ("a mailbox", &owner, Operation::CreateMailbox(owner.receive), vec![1]),
        ("a revocation", &owner, Operation::Revoke(owner.receive), vec![2]),
        ("acknowledgements", &owner, Operation::Ack(owner.receive), vec![3]),
    ] {
        let answer = rig.ask(&who.signed(&rig, &operation, &body)).await;
        assert_eq!(answer.problem(), Problem::Malformed, "{name}");
    }
}

/// [`Signs`], without its type.
trait Asks {
    fn signed(&self, rig: &Rig, operation: &Operation, body: &[u8]) -> Ask;
}

impl<T: Signs> Asks for T {
    fn signed(&self, rig: &Rig, operation: &Operation, body: &[u8]) -> Ask {
        rig.signed(self, operation, body)
    }
}

#[tokio::test]
async fn deposits_name_their_message_once_and_well() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let good = deposit(owner.send, &owner.capability(1, rig.now()), &frame(1));
    let id = MessageId::from_bytes([1; 16]).to_string();
    for (name, ask) in [
        ("none", good.clone().without(MESSAGE_ID)),
        ("two", good.clone().with(MESSAGE_ID, &id)),
        ("short", good.clone().without(MESSAGE_ID).with(MESSAGE_ID, &id[1..])),
        ("padded", good.clone().without(MESSAGE_ID).with(MESSAGE_ID, &format!("{id}=="))),
    ] {
        assert_eq!(rig.ask(&ask).await.problem(), Problem::Malformed, "{name}");
    }
    let two = good.with(CAPABILITY, &owner.capability(2, rig.now()));
    assert_eq!(rig.ask(&two).await.problem(), Problem::NotFound);
}

#[tokio::test]
async fn what_is_no_operation_is_told_by_path_and_method() {
    let rig = Rig::start().await;
    let agent = rig.agent().await;
    let path = Operation::Published(agent.device.clone()).path();
    let ask = |method: &str, target: &str| Ask {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    for (method, target, problem, allow) in [
        ("GET", "/", Problem::NotFound, None),
        ("GET", "/v1", Problem::NotFound, None),
        ("GET", "/v2/agents", Problem::NotFound, None),
        ("GET", "/metrics", Problem::NotFound, None),
        ("GET", "/healthz", Problem::NotFound, None),
        ("POST", path.as_str(), Problem::Method, Some("GET, PUT")),
        ("HEAD", &path, Problem::Method, Some("GET, PUT")),
        ("GET", &format!("{path}?"), Problem::Malformed, None),
        ("GET", &format!("{path}?a=b"), Problem::Malformed, None),
        ("GET", &format!("{path}/"), Problem::NotFound, None),
        ("GET", &path.replace("devices/0", "devices/00"), Problem::NotFound, None),
        ("GET", &path.replace("devices/0", "devices/4294967296"), Problem::NotFound, None),
        ("GET", &path.replace("did:", "did%3A"), Problem::NotFound, None),
        ("GET", "/v1/agents/../agents", Problem::NotFound, None),
        ("OPTIONS", "*", Problem::NotFound, None),
    ] {
        if method == "HEAD" {
            // Its answer has no body to look at.
            let mut connection = rig.connect().await;
            connection.write(&ask(method, target).to_bytes(&rig.host)).await;
            continue;
        }
        let answer = rig.ask(&ask(method, target)).await;
        assert_eq!(answer.problem(), problem, "{method} {target}");
        assert_eq!(answer.header("allow"), allow, "{method} {target}");
    }
    let unknown = Device { agent: agent.device.agent.clone(), number: 1 };
    let answer = rig.ask(&Ask::new(&Operation::Published(unknown), &[])).await;
    assert_eq!(answer.problem(), Problem::NotFound);
}

#[tokio::test]
async fn what_is_not_http_gets_no_answer_of_ours_and_harms_nobody() {
    let rig = Rig::start().await;
    let endless = [b"GET / HTTP/1.1\r\nhost: a\r\nx: ".as_slice(), &[b'a'; 100_000]].concat();
    let many = [b"GET / HTTP/1.1\r\n".as_slice(), &b"a: b\r\n".repeat(200), b"\r\n"].concat();
    for (name, bytes) in [
        ("zeros", vec![0; 100]),
        ("TLS", [0x16, 3, 1, 2, 0, 1].repeat(40)),
        ("an endless header", endless),
        ("many headers", many),
        ("a length and chunks", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()),
        ("two lengths", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n".to_vec()),
        ("half a preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec()),
    ] {
        let mut connection = rig.connect().await;
        // The relay may close before all is written.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut connection.stream, &bytes).await;
        let answer = connection.answer().await;
        assert!(answer.is_err() || answer.is_ok_and(|it| (400..500).contains(&it.status)), "{name}");
    }
    rig.agent().await;
}

#[tokio::test]
async fn a_head_may_be_split_at_any_byte() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let capability = owner.capability(1, rig.now());
    let bytes = deposit(owner.send, &capability, &frame(1)).to_bytes(&rig.host);
    let head = bytes.len() - 2048;
    // Both ends, where the version is told, and some in between.
    for cut in (1..30).chain((30..head).step_by(41)).chain([head - 1, head, head + 1]) {
        let mut connection = Http::connect(rig.address).await;
        connection.write(&bytes[..cut]).await;
        tokio::task::yield_now().await;
        connection.write(&bytes[cut..]).await;
        connection.answer().await.expect("an answer").is(202);
    }
    assert_eq!(rig.fetch(&owner, 0, 100).await.messages.len(), 1);
}

#[tokio::test]
async fn there_are_as_many_pages_and_readers_as_are_kept() {
    let rig = Rig::with(|settings| settings.bounds.waiting_readers = 2).await;
    let agent = rig.agent().await;
    for number in 0..=limits::MAX_PAGES {
        let base = u32::try_from(number * 2 + 1).expect("small");
        let body = page(base, 1, rig.now()).to_bytes();
        let answer = rig.ask_signed(&agent, &add_page(&agent, Kind::X25519, base), &body).await;
        if number < limits::MAX_PAGES {
            answer.is(201);
        } else {
            assert_eq!(answer.problem(), Problem::Quota);
            assert_eq!(answer.header("retry-after"), Some("60"));
        }
    }
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut reader = rig.connect().await;
        reader.write(&rig.signed(&owner, &owner.fetch(0, 1, 60), &[]).to_bytes(&rig.host)).await;
        waiting.push(reader);
    }
    until(&rig, "readers", 2).await;
    let third = rig.ask_signed(&owner, &owner.fetch(0, 1, 60), &[]).await;
    assert_eq!(third.problem(), Problem::Quota);
}
