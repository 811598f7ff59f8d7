//! What the operator sees, and that it names nobody.

use sealwire_relay::{
    Problem,
    server::{Certificate, Log, NoLog, Relay, StartError},
    store::MemoryStore,
    wire::{Kind, MailboxKind, Operation},
};
use sealwire_testkit::leak::shows;

use crate::{
    http::{Ask, Http},
    people::{Agent, add_page, claim, deposit, page},
    rig::{Rig, TestClock, frame, settings},
    streams::Stream,
};
use sealwire_relay::wire::Body as _;

fn text(answer: &crate::http::Answer) -> String {
    String::from_utf8(answer.is(200).body.clone()).expect("text")
}

// REL-33, attack T34: of everybody who was served, nothing stands in metrics, pages or logs.
#[tokio::test]
async fn what_the_operator_sees_names_nobody() {
    let rig = Rig::start().await;
    let (alice, bob) = (Agent::new(), rig.agent().await);
    let owner = rig.owner(MailboxKind::Contact).await;
    rig.publish(&bob, &bob.publish(2, rig.now(), Some(owner.send))).await.is(204);
    let body = page(1, 3, rig.now()).to_bytes();
    rig.ask_signed(&bob, &add_page(&bob, Kind::X25519, 1), &body).await.is(201);
    rig.claim(&alice, &bob, &claim()).await;
    let capability = owner.capability(1, rig.now());
    let ask = deposit(owner.send, &capability, &vec![0x42; 65_536]);
    rig.ask(&ask.clone().with("x-forwarded-for", "192.0.2.77")).await.is(202);
    rig.ask(&Ask { body: frame(1), ..ask.clone() }.without("content-type")).await;
    let stream = Stream::open(&rig, &owner).await;
    rig.fetch(&owner, 0, 1).await;
    rig.ask(&Ask { target: "/v1/secret-path".to_owned(), ..ask.clone() }).await;
    let mut seen = String::new();
    for path in ["/", "/status", "/metrics", "/healthz", "/readyz", "/nothing"] {
        let answer = rig.operator(path).await;
        seen += &format!("{answer:?}{}", String::from_utf8_lossy(&answer.body));
    }
    drop(stream);
    for event in rig.events() {
        seen += &format!("{event:?}{}", event.to_json());
    }
    seen += &format!("{:?}", rig.relay).replace(&rig.host, "its own address");
    let message_id = &ask.headers.iter().find(|(name, _)| name == "sealwire-message-id");
    let names = [
        alice.device.agent.as_str().to_owned(),
        bob.device.agent.as_str().to_owned(),
        owner.receive.to_string(),
        owner.send.to_string(),
        message_id.expect("an id").1.clone(),
        capability,
        "192.0.2.77".to_owned(),
        "127.0.0.1".to_owned(),
        "65536".to_owned(),
        "secret-path".to_owned(),
    ];
    for name in names {
        assert!(!seen.contains(&name), "{name}");
    }
    for bytes in [owner.receive.as_bytes(), owner.send.as_bytes()] {
        assert!(!shows(&seen, bytes));
    }
    assert!(!shows(&seen, owner.secret.expose()));
}

#[tokio::test]
async fn metrics_count_what_was_done() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    for byte in 0..3 {
        rig.deposit(&owner, &frame(byte)).await.is(202);
    }
    assert_eq!(rig.deposit(&owner, &[1]).await.problem(), Problem::FrameSize);
    let answer = rig.operator("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let metrics = text(&answer);
    for line in [
        "sealwire_requests_total{operation=\"deposit\",outcome=\"ok\"} 3",
        "sealwire_requests_total{operation=\"deposit\",outcome=\"frame-size\"} 1",
        "sealwire_requests_total{operation=\"create-mailbox\",outcome=\"ok\"} 1",
        "sealwire_request_seconds_count{operation=\"deposit\"} 4",
        "sealwire_deposits_batched_total 3",
        "sealwire_mailboxes 1",
        "sealwire_messages 3",
        "sealwire_ready 1",
        "sealwire_waiting_deposits 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} in {metrics}");
    }
    // Each metric is explained, typed, and has one form.
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
        let name = name.split('{').next().expect("a name");
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end).filter(|it| it.ends_with("seconds")))
            .unwrap_or(name);
        for word in ["HELP", "TYPE"] {
            assert!(metrics.contains(&format!("# {word} {family} ")), "{word} of {name}");
        }
    }
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let rig = Rig::start().await;
    rig.agent().await;
    let answer = rig.operator("/").await;
    let page = text(&answer);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(answer.header("content-security-policy").is_some_and(|it| it.contains("'none'")));
    assert!(page.contains("ready") && page.contains("<td>publish<td>") || page.contains("publish"));
    for word in ["http:", "https:", "src=", "href=", "<script", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
    let status = rig.operator("/status").await;
    assert_eq!(status.header("content-type"), Some("application/json"));
    let status: serde_json::Value = serde_json::from_slice(&status.body).expect("JSON");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["requests"]["publish"], 1);
    assert_eq!(status["now"]["devices"], 1);
    assert_eq!(status["limits"]["claims_per_caller_and_minute"], serde_json::Value::Null);
    assert_eq!(status["limits"]["messages_per_mailbox"], 1000);
}

#[tokio::test]
async fn agents_do_not_get_the_operators_pages_nor_the_operator_their_operations() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    for path in ["/", "/status", "/healthz", "/readyz", "/metrics"] {
        let ask = Ask {
            method: "GET".to_owned(),
            target: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        assert_eq!(rig.ask(&ask).await.problem(), Problem::NotFound, "{path}");
    }
    let admin = rig.relay.admin_address().expect("an address");
    let ask = rig.signed(&owner, &Operation::CloseMailbox(owner.receive), &[]);
    assert_eq!(Http::connect(admin).await.ask(&ask).await.status, 404);
}

#[tokio::test]
async fn a_relay_that_cannot_start_says_why() {
    let start = async |change: &dyn Fn(&mut sealwire_relay::server::Settings)| {
        let mut settings = settings();
        change(&mut settings);
        let store = std::sync::Arc::new(MemoryStore::new());
        let log: std::sync::Arc<dyn Log> = std::sync::Arc::new(NoLog);
        Relay::start(store, settings, TestClock::at(1), log).await
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address");
    let listening = start(&|settings| settings.listen = taken).await;
    assert!(matches!(listening, Err(StartError::Listen(address, _)) if address == taken));
    let admin = start(&|settings| settings.admin = Some(taken)).await;
    assert!(matches!(admin, Err(StartError::Listen(address, _)) if address == taken));
    let everywhere = start(&|settings| settings.listen.set_ip([0, 0, 0, 0].into())).await;
    assert!(matches!(everywhere, Err(StartError::PlainHttp(_))));
    let tls = start(&|settings| {
        settings.tls = Some(Certificate { chain: Vec::new(), key: Vec::new().into() });
    });
    assert!(matches!(tls.await, Err(StartError::Tls(_))));
    let alone = start(&|settings| settings.admin = None).await.expect("a relay");
    assert_eq!(alone.admin_address(), None);
    alone.shutdown().await;
}
