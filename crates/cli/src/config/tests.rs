use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const PLACE: &str = "/etc/agent/sealwire.toml";

fn home() -> Home {
    Home::locate(Some(PathBuf::from("/home/agent"))).expect("a directory")
}

fn config(text: &str, environment: &[(&str, &str)]) -> Result<Config, Failure> {
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    Config::from_layers(Some((PathBuf::from(PLACE), text)), environment, &home())
}

fn origin(config: &Config, key: &str) -> Origin {
    let found = config.effective().iter().find(|value| value.key == key);
    found.expect(key).origin
}

#[test]
fn without_file_and_environment_the_defaults_stand() {
    let config = Config::from_layers(None, [], &home()).expect("the defaults");
    assert_eq!(config.agent.relay.to_string(), "http://127.0.0.1:7600");
    assert_eq!(config.relay.listen.to_string(), "127.0.0.1:7600");
    assert_eq!(config.relay.data, Path::new("/home/agent/relay"));
    assert_eq!(config.log.directory, Path::new("/home/agent/relay/log"));
    assert_eq!(config.log.retention_days.get(), 30);
    assert!(config.effective().iter().all(|value| value.origin == Origin::Default));
    assert_eq!(config.file(), None);
}

#[test]
fn an_anchor_is_a_file_or_a_value_of_vault() {
    let anchor = |text: &str| {
        config(&format!("[agent]\nanchor = \"{text}\"\n"), &[]).map(|config| config.agent.anchor)
    };
    let vault = |mount: &str, path: &str| AnchorPlace::Vault {
        mount: mount.to_owned(),
        path: path.to_owned(),
    };
    for (text, place) in [
        ("anchor", AnchorPlace::File("/etc/agent/anchor".into())),
        ("/mnt/other/vault:x", AnchorPlace::File("/mnt/other/vault:x".into())),
        ("vault:secret/alice", vault("secret", "alice")),
        ("vault:secret/agents/alice", vault("secret", "agents/alice")),
    ] {
        assert_eq!(anchor(text).expect(text), Some(place), "{text}");
    }
    for bad in
        ["vault:", "vault:secret", "vault:secret/", "vault:/alice", "vault:a//b", "vault:a/b?"]
    {
        assert!(anchor(bad).is_err(), "{bad}");
    }
    let config = config("[agent]\nstate_kms = \"file:kek\"\n", &[]).expect("a configuration");
    assert_eq!(config.agent.state_kms, Some(KeyName::File("/etc/agent/kek".into())));
}

#[test]
fn the_environment_stands_over_the_file_and_the_file_over_the_defaults() {
    let text = "\
        # A comment, and a line that is blank.\n\
        \n\
        [relay]\n\
        listen = \"0.0.0.0:443\"\n\
        data = \"spool\"\n\
        [log]\n\
        retention_days = 0x07\n";
    let environment = [
        ("SEALWIRE_RELAY_LISTEN", "[::1]:9"),
        ("SEALWIRE_RELAY_AUTHORITIES", "a.example, b.example:8443"),
        ("SEALWIRE_AGENT_ADMIT", "anyone"),
        ("SEALWIRE_AGENT_CA_FILE", "ca.pem"),
        ("SEALWIRE_RELAY_ADMIN", ""),
        ("SEALWIRE_PASSPHRASE", "of no concern"),
        ("SEALWIRE_HOME", "/nor/this"),
    ];
    let config = config(text, &environment).expect("a configuration");
    assert_eq!(config.relay.listen.to_string(), "[::1]:9");
    assert_eq!(origin(&config, "relay.listen"), Origin::Environment);
    assert_eq!(config.relay.admin, None);
    // A path in a file is relative to it, one in the environment to where the command runs.
    assert_eq!(config.relay.data, Path::new("/etc/agent/spool"));
    assert_eq!(origin(&config, "relay.data"), Origin::File { line: 5 });
    assert_eq!(config.log.directory, Path::new("/etc/agent/spool/log"));
    assert_eq!(config.log.retention_days.get(), 7);
    assert_eq!(origin(&config, "log.retention_days"), Origin::File { line: 7 });
    assert_eq!(config.agent.ca_file.as_deref(), Some(Path::new("ca.pem")));
    let names: Vec<&str> = config.relay.authorities.iter().map(Authority::as_str).collect();
    assert_eq!(names, ["a.example", "b.example:8443"]);
    assert_eq!(config.agent.admit, Admit::Anyone);
    assert_eq!(origin(&config, "agent.device"), Origin::Default);
    assert_eq!(config.file(), Some(Path::new(PLACE)));
}

/// That a file is refused, and what is said of it.
fn refused(text: &str, said: &str) {
    let failure = config(text, &[]).expect_err(text);
    assert!(failure.message().starts_with(said), "{text}\n{}\n{said}", failure.message());
    assert_eq!(failure.exit(), Exit::Usage, "{text}");
}

// attack T32
#[test]
fn what_is_unknown_is_named_with_its_line_and_the_nearest() {
    for (text, said) in [
        (
            "[relay]\nlisen = \"\"",
            "line 2 of /etc/agent/sealwire.toml: unknown key relay.lisen; did you mean relay.listen?",
        ),
        ("[relay]\nspeed = 3", "line 2 of /etc/agent/sealwire.toml: unknown key relay.speed"),
        ("[agent]\nlisten = \"\"", "line 2 of /etc/agent/sealwire.toml: unknown key agent.listen"),
        (
            "\n[realy]\n",
            "line 2 of /etc/agent/sealwire.toml: unknown section [realy]; did you mean [relay]?",
        ),
        ("listen = \"\"", "line 1 of /etc/agent/sealwire.toml: unknown section [listen]"),
        ("relay = 3", "line 1 of /etc/agent/sealwire.toml: relay is a section: write [relay]"),
        ("[[relay]]\n", "line 1 of /etc/agent/sealwire.toml: relay is a section: write [relay]"),
    ] {
        refused(text, said);
    }
}

// attack T32
#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (text, said) in [
        (
            "[relay]\n\nlisten = 7600",
            "line 3 of /etc/agent/sealwire.toml: relay.listen must be an IP address and a port, as",
        ),
        (
            "[relay]\nlisten = \"localhost:7600\"",
            "line 2 of /etc/agent/sealwire.toml: relay.listen must be an IP address and a port, as",
        ),
        (
            "[relay]\nplain_http_anywhere = 1",
            "line 2 of /etc/agent/sealwire.toml: relay.plain_http_anywhere must be true or false",
        ),
        (
            "[log]\nretention_days = 0",
            "line 2 of /etc/agent/sealwire.toml: log.retention_days must be a whole number from 1 to 3650",
        ),
        (
            "[log]\nretention_days = 3651",
            "line 2 of /etc/agent/sealwire.toml: log.retention_days must be a whole number from 1 to 3650",
        ),
        (
            "[log]\nretention_days = 99999999999999999999",
            "line 2 of /etc/agent/sealwire.toml: log.retention_days must be a whole number from 1 to 3650",
        ),
        (
            "[log]\nretention_days = 30.0",
            "line 2 of /etc/agent/sealwire.toml: log.retention_days must be a whole number from 1 to 3650",
        ),
        (
            "[log]\nretention_days = \"30\"",
            "line 2 of /etc/agent/sealwire.toml: log.retention_days must be a whole number from 1 to 3650",
        ),
        (
            "[log]\ndirectory = \"\"",
            "line 2 of /etc/agent/sealwire.toml: log.directory must be a path, relative to the directory of the file",
        ),
        (
            "[log]\ndirectory = \"a\\u0000b\"",
            "line 2 of /etc/agent/sealwire.toml: log.directory must be a path, relative to the directory of the file",
        ),
    ] {
        refused(text, said);
    }
}

// attack T32
#[test]
fn what_does_not_fit_together_is_named() {
    for (text, said) in [
        (
            "[agent]\nadmit = \"all\"",
            "line 2 of /etc/agent/sealwire.toml: agent.admit must be one of \"pinned\", \"anyone\"",
        ),
        (
            "[agent]\nsuite = \"\"",
            "line 2 of /etc/agent/sealwire.toml: agent.suite must be one of \"fastest\", \"aes-256-gcm\", \"chacha20-poly1305\"",
        ),
        (
            "[relay]\nauthorities = [1]",
            "line 2 of /etc/agent/sealwire.toml: relay.authorities must be a list, of which each item is a name as it stands in an address",
        ),
        (
            "[relay]\nauthorities = \"a.example\"",
            "line 2 of /etc/agent/sealwire.toml: relay.authorities must be a list, of which each item is a name as it stands in an address",
        ),
        (
            "[agent]\nrelay = \"http://relay.example\"",
            "http://relay.example is not on this machine",
        ),
        (
            "[agent]\nother_relays = [\"https://a.example\", \"http://b.example\"]",
            "http://b.example is not on this machine",
        ),
        (
            "[agent]\nother_relays = \"https://a.example\"",
            "line 2 of /etc/agent/sealwire.toml: agent.other_relays must be a list, of which each item is the address of a relay",
        ),
        (
            "[agent]\nrelay = \"https://me:word@relay.example\"",
            "line 2 of /etc/agent/sealwire.toml: agent.relay must be the address of a relay",
        ),
        ("[relay]\ntls_key = \"key.pem\"", "relay.tls_certificate and relay.tls_key go together"),
        ("[relay]\nlisten = \"\n", "line 2 of /etc/agent/sealwire.toml: this is not TOML: "),
        ("[relay]\n\nlisten\n", "line 3 of /etc/agent/sealwire.toml: this is not TOML: "),
        (
            "[relay]\ndata = \"a\"\ndata = \"b\"",
            "line 3 of /etc/agent/sealwire.toml: this is not TOML: ",
        ),
        ("\u{0}", "line 1 of /etc/agent/sealwire.toml: this is not TOML: "),
        (
            "[agent]\n\"\\u001b[2J\" = 1",
            "line 2 of /etc/agent/sealwire.toml: unknown key agent.\\u{1b}[2J",
        ),
    ] {
        refused(text, said);
    }
}

// attack T32
#[test]
fn what_is_wrong_in_the_environment_is_named_with_its_variable() {
    for (name, value, said) in [
        (
            "SEALWIRE_RELAY_LISEN",
            "x",
            "unknown variable SEALWIRE_RELAY_LISEN; did you mean SEALWIRE_RELAY_LISTEN?",
        ),
        ("SEALWIRE_LOG_XYZ", "x", "unknown variable SEALWIRE_LOG_XYZ"),
        (
            "SEALWIRE_LOG_RETENTION_DAYS",
            "+7",
            "SEALWIRE_LOG_RETENTION_DAYS must be a whole number from 1 to 3650",
        ),
        (
            "SEALWIRE_LOG_RETENTION_DAYS",
            "",
            "SEALWIRE_LOG_RETENTION_DAYS must be a whole number from 1 to 3650",
        ),
        (
            "SEALWIRE_LOG_RETENTION_DAYS",
            "seven",
            "SEALWIRE_LOG_RETENTION_DAYS must be a whole number from 1 to 3650",
        ),
        (
            "SEALWIRE_AGENT_PLAIN_HTTP_ANYWHERE",
            "yes",
            "SEALWIRE_AGENT_PLAIN_HTTP_ANYWHERE must be true or false",
        ),
        (
            "SEALWIRE_AGENT_RELAY",
            "https://me:hunter2@relay.example",
            "SEALWIRE_AGENT_RELAY must be the address of a relay",
        ),
    ] {
        // It stands over the file, right or wrong.
        let failure = config("[log]\nretention_days = 7", &[(name, value)]).expect_err(name);
        assert!(failure.message().starts_with(said), "{}", failure.message());
        // What was meant for another place may be a secret.
        assert!(!failure.message().contains("hunter2"));
    }
    use std::os::unix::ffi::OsStringExt;
    let bytes = OsString::from_vec(vec![0xff]);
    let failure = Config::from_layers(None, [("SEALWIRE_RELAY_DATA".into(), bytes)], &home());
    assert_eq!(failure.expect_err("bytes").message(), "SEALWIRE_RELAY_DATA is not text");
}

#[test]
fn every_key_has_a_variable_of_its_own_and_a_section_that_is_known() {
    let config = Config::from_layers(None, [], &home()).expect("the defaults");
    let variables: BTreeSet<String> = config.effective().iter().map(Effective::variable).collect();
    assert_eq!(variables.len(), config.effective().len());
    assert!(variables.contains("SEALWIRE_LOG_RETENTION_DAYS"));
    // Each of them reads what is shown of it.
    for value in config.effective() {
        let shown = value.value.trim_matches(['"', '[', ']']).to_owned();
        let environment = [(value.variable().into(), shown.into())];
        let again = Config::from_layers(None, environment, &home()).expect(value.key);
        let again = again.effective().iter().find(|again| again.key == value.key).expect("there");
        assert_eq!((&again.value, again.origin), (&value.value, Origin::Environment));
    }
}

#[test]
fn the_documentation_lists_every_key_with_its_default_and_no_other() {
    let page = include_str!("../../../../docs/configuration.md");
    let config = Config::from_layers(None, [], &home()).expect("the defaults");
    let mut listed = 0;
    for (number, section) in page.split("\n## ").skip(1).enumerate().take(4) {
        let name = ["agent", "relay", "log", "storage"][number];
        assert!(section.starts_with(&format!("`[{name}]`")), "{section}");
        for row in section.lines().filter(|row| row.starts_with("| `")) {
            let cells: Vec<&str> = row.split(" | ").collect();
            for key in cells[0].trim_matches(['|', ' ']).split(", ") {
                let key = format!("{name}.{}", key.trim_matches('`'));
                let value = config.effective().iter().find(|value| value.key == key);
                let value = &value.expect(&key).value;
                // Defaults that depend on the directory are told in words.
                let told = cells[1] == format!("`{value}`") || value.contains("/home/agent");
                assert!(told, "{key}: {} is not {value}", cells[1]);
                listed += 1;
            }
        }
    }
    assert_eq!(listed, config.effective().len());
}

/// What is in force, as a file.
fn shown(config: &Config) -> String {
    let line = |value: &Effective| format!("{} = {}\n", value.key, value.value);
    config.effective().iter().map(line).collect()
}

#[test]
fn what_is_shown_is_a_file_with_the_same_values() {
    let text = "[relay]\nauthorities = [\"a.example\", \"b.example\"]\n[agent]\nother_relays = [\"https://c.example\"]\nanchor = \"\u{e9} \\\"\\\\ \\u0007\"\n";
    let before = config(text, &[]).expect("a configuration");
    let after = config(&shown(&before), &[]).expect("what is shown is a file");
    assert_eq!(shown(&before), shown(&after));
    assert!(after.effective().iter().all(|value| matches!(value.origin, Origin::File { .. })));
}

// attack T32
proptest! {
    #[test]
    fn any_text_is_a_configuration_or_a_sentence(text in "\\PC{0,200}") {
        if let Err(failure) = config(&text, &[]) {
            prop_assert!(!failure.message().is_empty());
        }
    }

    #[test]
    fn any_lines_of_known_keys_are_a_configuration_or_a_sentence(
        lines in proptest::collection::vec(
            ("(relay|agent|log|storage)", "[a-z_]{1,12}|listen|data|relay|retention_days|kms|tenant", "[-0-9a-z\"\\[\\]{}., ]{0,20}"),
            0..6,
        )
    ) {
        let line = |(section, name, value): &(String, String, String)| format!("{section}.{name} = {value}\n");
        let text: String = lines.iter().map(line).collect();
        if let Ok(read) = config(&text, &[]) {
            let again = config(&shown(&read), &[]);
            prop_assert_eq!(shown(&again.expect("what is shown is a file")), shown(&read));
        }
    }
}
