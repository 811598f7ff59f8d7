//! What holds in every store, against real servers: `cargo xtask ci --only services`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

#[path = "../store/conformance.rs"]
mod conformance;
#[path = "../api/support.rs"]
#[expect(dead_code, reason = "shared with the tests of the formats")]
mod support;

use std::sync::Arc;

use object_store::{ObjectStore, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder};
use sealwire_envelope::store::Store;
use sealwire_testkit::services::{
    AZURITE, AZURITE_ACCOUNT, AZURITE_ACCOUNT_KEY, MOTO, SEAWEEDFS, address, azurite_container,
    bucket,
};

/// What S3 asks of all parts but the last.
const PART_LEN: usize = 5 * 1024 * 1024;

async fn conforms(objects: impl ObjectStore) {
    let store = Store::new(Arc::new(objects), "tenants/acme").unwrap();
    conformance::conforms(&store, PART_LEN).await;
}

async fn s3_conforms(variable: &str) {
    let s3 = AmazonS3Builder::new()
        .with_endpoint(address(variable))
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(bucket(variable))
        .with_access_key_id("AKIDEXAMPLE")
        .with_secret_access_key("secret");
    conforms(s3.build().expect("settings")).await;
}

#[tokio::test]
async fn moto_conforms() {
    s3_conforms(MOTO).await;
}

#[tokio::test]
async fn seaweedfs_conforms() {
    s3_conforms(SEAWEEDFS).await;
}

#[tokio::test]
async fn azurite_conforms() {
    let azure = MicrosoftAzureBuilder::new()
        .with_account(AZURITE_ACCOUNT)
        .with_access_key(AZURITE_ACCOUNT_KEY)
        .with_endpoint(format!("{}/{AZURITE_ACCOUNT}", address(AZURITE)))
        .with_allow_http(true)
        .with_container_name(azurite_container());
    conforms(azure.build().expect("settings")).await;
}
