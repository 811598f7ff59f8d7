use proptest::{prelude::*, sample::select};
use sealwire_core::{keys::SigningKey, secret::Secret};
use sealwire_identity::AgentId;
use sealwire_relay::{
    Device, Problem, ReceiveId, SendId, limits,
    wire::{Credential, Kind, Operation},
};

const DID: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
const ID: &str = "BwcHBwcHBwcHBwcHBwcHBw";

fn device(number: u32) -> Device {
    Device { agent: AgentId::parse(DID).expect("a DID"), number }
}

fn receive() -> ReceiveId {
    ReceiveId::from_bytes([7; 16])
}

/// The operations with their method and target, as the specification has them.
pub(super) fn all() -> Vec<(&'static str, String, Operation)> {
    let agent = |rest: &str| format!("/v1/agents/{DID}/devices/3/{rest}");
    let mailbox = |rest: &str| format!("/v1/mailboxes/{ID}{rest}");
    let of = || device(3);
    let fetch = Operation::Fetch { mailbox: receive(), after: 5, limit: 100, wait: 30 };
    vec![
        ("PUT", agent("bundle"), Operation::Publish(of())),
        ("GET", agent("bundle"), Operation::Published(of())),
        (
            "PUT",
            agent("pages/2/101"),
            Operation::AddPage { of: of(), kind: Kind::MlKem, base: 101 },
        ),
        ("GET", agent("prekeys"), Operation::Remaining(of())),
        ("POST", agent("claims"), Operation::Claim(of())),
        ("GET", agent("check"), Operation::Check(of())),
        ("PUT", mailbox(""), Operation::CreateMailbox(receive())),
        ("DELETE", mailbox(""), Operation::CloseMailbox(receive())),
        ("POST", mailbox("/tokens"), Operation::Revoke(receive())),
        ("POST", mailbox("/messages"), Operation::Deposit(SendId::from_bytes([7; 16]))),
        ("GET", mailbox("/messages?after=5&limit=100&wait=30"), fetch),
        ("POST", mailbox("/acks"), Operation::Ack(receive())),
        ("GET", mailbox("/stream"), Operation::Stream(receive())),
    ]
}

fn parse(method: &str, target: &str) -> Result<Operation, Problem> {
    match target.split_once('?') {
        Some((path, query)) => Operation::parse(method, path, Some(query)),
        None => Operation::parse(method, target, None),
    }
}

// REL-2
#[test]
fn thirteen_operations_have_their_methods_and_targets() {
    let all = all();
    assert_eq!(all.len(), 13);
    let mut names = Vec::new();
    for (method, target, operation) in all {
        assert_eq!((operation.method(), operation.target()), (method, target.clone()));
        assert_eq!(parse(method, &target), Ok(operation.clone()), "{method} {target}");
        let path = operation.path();
        let allow = Operation::allow(&path).expect("a path");
        let methods: Vec<&str> = allow.split(", ").collect();
        for other in ["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS", "get", ""] {
            let taken = parse(other, &target);
            assert_eq!(taken == Err(Problem::Method), !methods.contains(&other), "{other} {path}");
        }
        assert_eq!(operation.template().split('/').count(), path.split('/').count(), "{path}");
        assert!(!names.contains(&operation.name()));
        names.push(operation.name());
    }
}

// REL-3
#[test]
fn each_operation_has_its_credential() {
    let agent = device(0).agent;
    let mailbox = Credential::Mailbox(receive());
    let credentials = [
        Credential::Agent(&agent),
        Credential::Nothing,
        Credential::Agent(&agent),
        Credential::Agent(&agent),
        Credential::Caller,
        Credential::Nothing,
        mailbox,
        mailbox,
        mailbox,
        Credential::Capability(SendId::from_bytes([7; 16])),
        mailbox,
        mailbox,
        mailbox,
    ];
    for ((_, target, operation), credential) in all().iter().zip(credentials) {
        assert_eq!(operation.credential(), credential, "{target}");
        let sends = matches!(operation.method(), "PUT" | "POST");
        assert_eq!(operation.body().is_some(), sends, "{target}");
    }
}

// attack T32: paths that are nearly those of operations.
#[test]
fn another_spelling_of_a_path_names_nothing() {
    let agent = |rest: &str| format!("/v1/agents/{DID}/devices/{rest}");
    let escaped = DID.replace(':', "%3A");
    let lower = DID.replace("z6Mk", "z6mk");
    let named = [
        ("no path", String::new()),
        ("the root", "/".into()),
        ("no version", format!("/mailboxes/{ID}/acks")),
        ("another version", format!("/v2/mailboxes/{ID}/acks")),
        ("two slashes", format!("//v1/mailboxes/{ID}/acks")),
        ("a slash inside", format!("/v1//mailboxes/{ID}/acks")),
        ("a slash behind", format!("/v1/mailboxes/{ID}/acks/")),
        ("a step up", format!("/v1/mailboxes/../mailboxes/{ID}/acks")),
        ("capitals", format!("/V1/mailboxes/{ID}/acks")),
        ("no id", "/v1/mailboxes//acks".into()),
        ("a short id", "/v1/mailboxes/BwcHBwcHBwcHBwcHBwcHB/acks".into()),
        ("a long id", "/v1/mailboxes/BwcHBwcHBwcHBwcHBwcHBwc/acks".into()),
        ("a padded id", "/v1/mailboxes/BwcHBwcHBwcHBwcHBwcHBw==/acks".into()),
        ("an id with loose bits", "/v1/mailboxes/BwcHBwcHBwcHBwcHBwcHBx/acks".into()),
        ("an id of another alphabet", "/v1/mailboxes/++cHBwcHBwcHBwcHBwcHBw/acks".into()),
        ("an escaped id", "/v1/mailboxes/%42wcHBwcHBwcHBwcHBwcHBw/acks".into()),
        ("an operation that is none", format!("/v1/mailboxes/{ID}/nacks")),
        ("no DID", "/v1/agents//devices/0/claims".into()),
        ("another DID method", "/v1/agents/did:web:example.com/devices/0/claims".into()),
        (
            "a DID that is not resolved",
            "/v1/agents/did:webvh:Qm:example.com/devices/0/claims".into(),
        ),
        ("a DID of another key", format!("/v1/agents/{lower}/devices/0/claims")),
        ("an escaped DID", format!("/v1/agents/{escaped}/devices/0/claims")),
        ("a broken escape", format!("/v1/agents/{DID}%4/devices/0/claims")),
        ("an escape with a sign", format!("/v1/agents/{DID}%+4/devices/0/claims")),
        ("an escape that is no text", format!("/v1/agents/{DID}%FF/devices/0/claims")),
        ("a fragment", format!("/v1/agents/{DID}#key/devices/0/claims")),
        ("a device with a sign", agent("+1/claims")),
        ("a negative device", agent("-1/claims")),
        ("a device with zeros", agent("01/claims")),
        ("a device of 2^32", agent("4294967296/claims")),
        ("no device", agent("/claims")),
        ("page kind 0", agent("0/pages/0/1")),
        ("page kind 3", agent("0/pages/3/1")),
        ("page kind 257", agent("0/pages/257/1")),
        ("base 0", agent("0/pages/1/0")),
        ("base 2^32", agent("0/pages/1/4294967296")),
        ("no base", agent("0/pages/1")),
        ("a base too many", agent("0/pages/1/1/1")),
        ("a long path", format!("/v1/agents/{}/devices/0/claims", "a".repeat(100_000))),
        ("many segments", "/v1".repeat(10_000)),
    ];
    for (name, path) in named {
        for method in ["GET", "PUT", "POST", "DELETE"] {
            assert_eq!(Operation::parse(method, &path, None), Err(Problem::NotFound), "{name}");
        }
    }
}

#[test]
fn another_spelling_of_a_query_is_malformed() {
    let path = format!("/v1/mailboxes/{ID}/messages");
    for query in [
        "",
        "after=0",
        "after=0&limit=1",
        "after=0&limit=1&wait=",
        "after=0&wait=0&limit=1",
        "limit=1&after=0&wait=0",
        "after=0&limit=1&wait=0&",
        "after=0&limit=1&wait=0&more=1",
        "&after=0&limit=1&wait=0",
        "after=00&limit=1&wait=0",
        "after=+1&limit=1&wait=0",
        "after=-1&limit=1&wait=0",
        "after=%30&limit=1&wait=0",
        "after=0&limit=0&wait=0",
        "after=0&limit=101&wait=0",
        "after=0&limit=1&wait=61",
        "after=9223372036854775808&limit=1&wait=0",
        "after=18446744073709551616&limit=1&wait=0",
        "after=0;limit=1;wait=0",
        "After=0&limit=1&wait=0",
    ] {
        let found = Operation::parse("GET", &path, Some(query));
        assert_eq!(found, Err(Problem::Malformed), "{query}");
    }
    assert_eq!(Operation::parse("GET", &path, None), Err(Problem::Malformed));
    let most = "after=9223372036854775807&limit=100&wait=60";
    assert!(Operation::parse("GET", &path, Some(most)).is_ok());
    for (method, target, operation) in all() {
        if operation.query().is_none() {
            for query in ["", "a=b", "after=0&limit=1&wait=0"] {
                let found = Operation::parse(method, &target, Some(query));
                assert_eq!(found, Err(Problem::Malformed), "{method} {target}?{query}");
            }
        }
    }
}

proptest! {
    #[test]
    fn every_operation_is_read_as_what_was_written(
        index in 0..13_usize,
        (seed, number, id) in any::<([u8; 32], u32, [u8; 16])>(),
        kind in select(vec![Kind::X25519, Kind::MlKem]),
        base in 1..=u32::MAX,
        (after, limit, wait) in
            (0..=limits::MAX_NUMBER, 1..=limits::MAX_FETCH, 0..=limits::MAX_WAIT),
    ) {
        let key = SigningKey::from_seed(&Secret::from_slice(&seed).expect("32 bytes"));
        let of = Device { agent: AgentId::from_key(key.public()), number };
        let mailbox = ReceiveId::from_bytes(id);
        let operation = match index {
            0 => Operation::Publish(of),
            1 => Operation::Published(of),
            2 => Operation::AddPage { of, kind, base },
            3 => Operation::Remaining(of),
            4 => Operation::Claim(of),
            5 => Operation::Check(of),
            6 => Operation::CreateMailbox(mailbox),
            7 => Operation::CloseMailbox(mailbox),
            8 => Operation::Revoke(mailbox),
            9 => Operation::Deposit(SendId::from_bytes(id)),
            10 => Operation::Fetch { mailbox, after, limit, wait },
            11 => Operation::Ack(mailbox),
            _ => Operation::Stream(mailbox),
        };
        prop_assert_eq!(parse(operation.method(), &operation.target()), Ok(operation));
    }

    #[test]
    fn any_path_that_is_read_is_the_one_that_is_written(path in "(/|v1|agents|mailboxes|[!-~]){0,12}") {
        for method in ["GET", "PUT", "POST", "DELETE"] {
            if let Ok(operation) = Operation::parse(method, &path, None) {
                prop_assert_eq!(operation.target(), path.clone());
            }
        }
    }
}

// attack T34: operations stand in logs; whom they are about does not.
#[test]
fn no_operation_shows_whom_it_is_about() {
    for (_, target, operation) in all() {
        let shown = format!("{operation:?} {}", operation.name());
        assert!(!shown.contains("z6Mk") && !shown.contains("BwcH"), "{shown}");
        // The control: its target would.
        assert!(target.contains("z6Mk") || target.contains("BwcH"), "{target}");
    }
}
