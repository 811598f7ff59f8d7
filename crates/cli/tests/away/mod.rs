//! Stores and key services that are not there, that never answer, and that have no time.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use crate::{
    Archive,
    common::{Running, Sealwire, background},
};

const ARN: &str = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab";

/// What it is that does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    /// Nobody listens.
    Closed,
    /// Takes what is asked, and never answers.
    Silent,
    /// Says that it has no time.
    Busy,
}

/// A command, and what it is to name.
const COMMANDS: [(&[&str], &str); 13] = [
    (&["open", "s3://acme/report"], "s3://acme/report"),
    (&["open", "gs://acme/report"], "gs://acme/report"),
    (&["open", "az://acme/report"], "az://acme/report"),
    (&["inspect", "s3://acme/report"], "s3://acme/report"),
    (&["seal", "-", "s3://acme/report"], "s3://acme/report"),
    (&["erase", "s3://acme/report"], "s3://acme/report"),
    (&["keyring", "status", "s3://acme/store"], "s3://acme/store"),
    (&["keyring", "sweep", "s3://acme/store"], "s3://acme/store"),
    (&["keyring", "rewrap", "s3://acme/store"], "s3://acme/store"),
    (&["seal", "-", "new", "--kms", "vault:agents"], "vault:agents"),
    (&["seal", "-", "new", "--kms", ARN], ARN),
    (&["open", "REPORT", "--kms", "vault:agents"], "vault:agents"),
    (&["keyring", "init", ARN], ARN),
];

/// Of them, those that are tried with everything: the others ask in the same way.
const EACH: [usize; 5] = [0, 3, 7, 9, 10];

fn access(command: Sealwire, address: SocketAddr) -> Sealwire {
    let url = format!("http://{address}");
    let settings = [
        ("SEALWIRE_STORAGE_PATIENCE_SECONDS", "1"),
        ("SEALWIRE_STORAGE_VAULT_ADDRESS", &*url),
        ("VAULT_TOKEN", "hvs.hunter2"),
        ("SEALWIRE_STORAGE_AWS_ENDPOINT", &url),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ENDPOINT_URL", &url),
        ("AZURE_STORAGE_ENDPOINT", &url),
        ("AZURE_STORAGE_ACCOUNT_NAME", "acme"),
        ("AZURE_SKIP_SIGNATURE", "true"),
        ("GOOGLE_BASE_URL", &url),
        ("GOOGLE_SKIP_SIGNATURE", "true"),
    ];
    settings.into_iter().fold(command, |command, (name, value)| command.env(name, value))
}

/// Whoever connects stays connected as long as the listener is there.
fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

fn busy(listener: TcpListener) {
    background(move || {
        for stream in listener.incoming().flatten() {
            background(move || drop(answer_busy(&stream)));
        }
    });
}

fn answer_busy(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next().transpose()? {
        if line.is_empty() {
            let body = "{\"errors\":[\"hunter2\"]}";
            let len = body.len();
            write!(stream, "HTTP/1.1 503 Busy\r\ncontent-length: {len}\r\n\r\n{body}")?;
        }
    }
    Ok(())
}

#[test]
fn what_is_away_is_named_and_may_be_tried_again() {
    let archive = Archive::new();
    let report = archive.seal("report", b"all is well");
    let new = archive.text("new");
    let key = format!("file:{}", archive.text("kek"));
    assert_eq!(archive.run(&["keyring", "init", &key]).code, 0);
    let ((_silent, silent), (other, closed), (third, slow)) = (listen(), listen(), listen());
    drop(other);
    busy(third);
    // All at once: they wait, and do not work.
    let mut running: Vec<(String, &str, SocketAddr, Running)> = Vec::new();
    for (away, address) in [(Away::Closed, closed), (Away::Silent, silent), (Away::Busy, slow)] {
        for (number, (args, named)) in COMMANDS.iter().enumerate() {
            if away != Away::Closed && !EACH.contains(&number) {
                continue;
            }
            let args: Vec<&str> = args
                .iter()
                .map(|arg| match *arg {
                    "REPORT" => report.as_str(),
                    "new" => new.as_str(),
                    other => other,
                })
                .collect();
            let started = access(archive.command(&args), address).start(Some(b"all is well"));
            running.push((format!("{away:?}: {args:?}"), named, address, started));
        }
    }
    for (name, named, address, running) in running {
        let done = running.wait();
        assert_eq!(done.code, 6, "{name}: {}", done.stderr);
        assert!(done.stderr.contains(&format!("{named}: ")), "{name}: {}", done.stderr);
        let is_told = ["try again", "the same command goes on", "inspect"];
        let is_told = is_told.iter().any(|todo| done.stderr.contains(todo));
        assert!(is_told, "{name}: {}", done.stderr);
        let is_told = done.stderr.contains(&address.to_string()) || name.starts_with("Busy");
        assert!(is_told, "{name}: {}", done.stderr);
        assert!(!done.stderr.contains("hunter2") && done.stdout.is_empty(), "{name}");
    }
    assert!(!archive.path("new").exists() && !archive.path(".keys").exists());
    assert_eq!(archive.run(&["open", &report]).stdout, b"all is well");
}

#[test]
fn a_folder_that_is_not_there_is_another_failure() {
    let archive = Archive::new();
    let (gone, object) = (archive.text("gone"), archive.text("gone/report"));
    for args in [
        &["open", &object][..],
        &["erase", &object],
        &["reseal", &object],
        &["keyring", "sweep", &gone],
        &["keyring", "status", &gone],
    ] {
        let done = archive.run(args);
        done.assert_failed(1, &format!("cannot look into {gone}"));
        done.assert_failed(1, "look whether it is spelled right");
    }
    assert!(!archive.path("gone").exists());
}
