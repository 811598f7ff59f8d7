//! OpenBao, whose transit engine is that of Vault.

use sealwire_custody::kms::{VaultCell, VaultKms, VaultSettings, VaultToken};
use sealwire_envelope::kms::{Kms, KmsError};
use sealwire_testkit::services::{OPENBAO, address, unique};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::{
    ask,
    contract::{Service, dek, kms_contract, w},
};

/// As docs/kms.md has it, for one key.
const POLICY: &str = r#"
path "MOUNT/keys/agents" { capabilities = ["read"] }
path "MOUNT/encrypt/agents" { capabilities = ["update"] }
path "MOUNT/decrypt/agents" { capabilities = ["update"] }
path "MOUNT/rewrap/agents" { capabilities = ["update"] }
"#;

/// A transit engine of its own, and who administers it.
struct Engine {
    address: String,
    mount: String,
    client: reqwest::Client,
}

impl Engine {
    async fn new() -> Self {
        let client = reqwest::Client::new();
        let address = address(OPENBAO);
        let engine = Self { address, mount: unique("transit"), client };
        engine.root(&format!("sys/mounts/{}", engine.mount), json!({"type": "transit"})).await;
        engine
    }

    async fn root(&self, path: &str, body: Value) -> Value {
        let request = self.client.post(format!("{}/v1/{path}", self.address));
        ask(request.header("x-vault-token", "root").body(body.to_string())).await
    }

    async fn administer(&self, path: &str, body: Value) {
        self.root(&format!("{}/{path}", self.mount), body).await;
    }

    /// As a caller with no more rights than it needs.
    async fn connect(&self) -> Result<VaultKms, KmsError> {
        let policy = POLICY.replace("MOUNT", &self.mount);
        let path = format!("sys/policies/acl/{}", self.mount);
        self.root(&path, json!({"policy": policy})).await;
        let made = self.root("auth/token/create", json!({"policies": [self.mount]})).await;
        let token = made["auth"]["client_token"].as_str().expect("a token").to_owned();
        let token = VaultToken::Fixed(Zeroizing::new(token));
        let mut settings = VaultSettings::new(&self.address, "agents", token);
        settings.mount = self.mount.clone();
        VaultKms::connect(settings).await
    }
}

/// One key.
struct OpenBao {
    engine: Engine,
    kms: VaultKms,
}

async fn openbao() -> OpenBao {
    let engine = Engine::new().await;
    engine.administer("keys/agents", json!({"derived": true})).await;
    let kms = engine.connect().await.expect("connects");
    OpenBao { engine, kms }
}

impl Service for OpenBao {
    fn kms(&self) -> &dyn Kms {
        &self.kms
    }

    async fn rotate(&mut self) {
        self.engine.administer("keys/agents/rotate", json!({})).await;
    }

    async fn retire(&mut self) {
        let newest = self.kms.version().await.expect("a version");
        let newest: u32 = newest.as_str().parse().expect("a number");
        let config = json!({"min_decryption_version": newest});
        self.engine.administer("keys/agents/config", config).await;
    }

    async fn disable(&mut self) {
        let Engine { address, mount, client } = &self.engine;
        let request = client.delete(format!("{address}/v1/{mount}/keys/agents/soft-delete"));
        ask(request.header("x-vault-token", "root")).await;
    }
}

kms_contract!(openbao:
    comes_back a_wrapped_key_comes_back,
    bound a_wrap_opens_with_its_binding_alone,
    changed a_changed_wrap_is_refused,
    another_key another_key_is_never_used,
    rewraps wraps_are_rewrapped_in_order,
    rotates old_wraps_survive_a_rotation,
    versions_agree a_wrap_under_another_version_is_refused,
    retires a_retired_version_is_named,
    disabled a_disabled_key_is_named,
);

// KMS-11
#[tokio::test]
async fn keys_that_bind_nothing_are_refused() {
    for made in
        [json!({}), json!({"type": "rsa-2048"}), json!({"type": "ed25519", "derived": true})]
    {
        let engine = Engine::new().await;
        engine.administer("keys/agents", made.clone()).await;
        let refused = engine.connect().await.expect_err("refused");
        assert!(matches!(refused, KmsError::Settings(_)), "{made}: {refused}");
    }
}

// KMS-8: a caller with the rights of the guide makes no key by asking for one.
#[tokio::test]
async fn a_missing_key_is_named_and_not_made() {
    let engine = Engine::new().await;
    let refused = engine.connect().await.expect_err("refused");
    assert_eq!(refused, KmsError::NotFound(format!("{}/agents", engine.mount)));

    let service = openbao().await;
    let wrapped = service.kms.wrap(&dek(7), &w()).await.expect("wraps");
    service.engine.administer("keys/agents/config", json!({"deletion_allowed": true})).await;
    let Engine { address, mount, client } = &service.engine;
    let request = client.delete(format!("{address}/v1/{mount}/keys/agents"));
    ask(request.header("x-vault-token", "root")).await;
    let missing = service.kms.wrap(&dek(7), &w()).await.expect_err("refused");
    assert!(matches!(missing, KmsError::NotFound(_) | KmsError::Denied(_)), "{missing}");
    let missing = service.kms.unwrap(&wrapped, &w()).await.err().expect("refused");
    assert!(matches!(missing, KmsError::NotFound(_)), "{missing}");
}

#[tokio::test]
async fn a_token_without_rights_is_refused() {
    let OpenBao { engine, kms } = openbao().await;
    let path = format!("sys/policies/acl/{}", engine.mount);
    engine.root(&path, json!({"policy": "path \"none\" { capabilities = [\"read\"] }"})).await;
    assert!(matches!(kms.version().await, Err(KmsError::Denied(_))));
    assert!(matches!(kms.wrap(&dek(7), &w()).await, Err(KmsError::Denied(_))));
}

/// As docs/kms.md has it, for the anchor of one agent.
const ANCHOR_POLICY: &str = r#"
path "secret/data/PATH" { capabilities = ["create", "read", "update"] }
"#;

/// A value of the KV engine that a server for development has, and a token for it alone.
async fn cell() -> VaultCell {
    let engine = Engine::new().await;
    let path = unique("agents");
    let policy = ANCHOR_POLICY.replace("PATH", &format!("{path}/anchor"));
    engine.root(&format!("sys/policies/acl/{path}"), json!({"policy": policy})).await;
    let made = engine.root("auth/token/create", json!({"policies": [path]})).await;
    let token = made["auth"]["client_token"].as_str().expect("a token").to_owned();
    let token = VaultToken::Fixed(Zeroizing::new(token));
    let mut settings = VaultSettings::new(&engine.address, &format!("{path}/anchor"), token);
    settings.mount = "secret".to_owned();
    VaultCell::new(settings).expect("settings")
}

// KMS-30, KMS-31
#[tokio::test]
async fn a_value_changes_from_what_it_is_and_from_nothing_else() {
    let cell = cell().await;
    assert_eq!(cell.read().await, Ok((0, None)));
    assert_eq!(cell.write(1, b"too far").await, Ok(false));
    assert_eq!(cell.write(0, b"one").await, Ok(true));
    assert_eq!(cell.read().await, Ok((1, Some(b"one".to_vec()))));
    for version in [0, 2, u64::MAX] {
        let refused = cell.write(version, b"two").await;
        assert!(matches!(refused, Ok(false) | Err(KmsError::Answer(_))), "{version}: {refused:?}");
    }
    assert_eq!(cell.read().await, Ok((1, Some(b"one".to_vec()))));

    // Of several at a time one is the next.
    let (a, b, c) = tokio::join!(cell.write(1, b"a"), cell.write(1, b"b"), cell.write(1, b"c"));
    let winners = [a, b, c].map(|written| written.expect("an answer"));
    assert_eq!(winners.into_iter().filter(|written| *written).count(), 1);
    assert_eq!(cell.read().await.expect("reads").0, 2);
}

// KMS-30
#[tokio::test]
async fn a_value_that_was_deleted_does_not_begin_anew() {
    let engine = Engine::new().await;
    let token = VaultToken::Fixed(Zeroizing::new("root".to_owned()));
    let path = unique("anchor");
    let mut settings = VaultSettings::new(&engine.address, &path, token);
    settings.mount = "secret".to_owned();
    let cell = VaultCell::new(settings).expect("settings");
    assert_eq!(cell.write(0, b"one").await, Ok(true));
    let Engine { address, client, .. } = &engine;
    let request = client.delete(format!("{address}/v1/secret/data/{path}"));
    ask(request.header("x-vault-token", "root")).await;
    let deleted = cell.read().await.expect_err("deleted");
    assert!(deleted.to_string().contains("was deleted; undelete it"), "{deleted}");
    assert_eq!(cell.write(0, b"one").await, Ok(false));
}
