//! No log of any dependency at its most talkative, and no error, shows a data key, a local key,
//! plaintext or a credential, whatever becomes of an object in a store.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use object_store::{ObjectStore, RetryConfig, aws::AmazonS3Builder};
use sealwire_envelope::{
    Dek, WrapBinding,
    kms::{KeyRef, KeyVersion, Kms, KmsError, Pending, Wrapped},
    local::{LocalKek, LocalKeys},
    store::{Access, Plan, Rewrap, Store},
};
use sealwire_testkit::{leak::shows, logs, rng::SeededRng};
use support::{NOW, context, tenant};

#[path = "api/support.rs"]
#[expect(dead_code, reason = "shared with the tests of the formats")]
mod support;

const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY";
const TOKEN: &str = "FwoGZXIvYXdzEJr0e8dc4bb2a9f";

/// A local key that remembers every data key it saw.
struct Watched {
    kek: LocalKek<SeededRng>,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Watched {
    fn new(versions: u64, seen: &Arc<Mutex<Vec<Vec<u8>>>>) -> Self {
        let mut rng = SeededRng::new(77);
        let mut keys = LocalKeys::generate("test", &mut rng).unwrap();
        (1..versions).for_each(|_| drop(keys.rotate(&mut rng).unwrap()));
        let bytes = keys.to_bytes();
        let mut known = seen.lock().unwrap();
        known.push(bytes[bytes.len() - 32..].to_vec());
        drop(known);
        Self { kek: LocalKek::new(Arc::new(keys), SeededRng::new(78)), seen: Arc::clone(seen) }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kek.fmt(f)
    }
}

impl Kms for Watched {
    fn key(&self) -> &KeyRef {
        self.kek.key()
    }

    fn version(&self) -> Pending<'_, KeyVersion> {
        self.kek.version()
    }

    fn wrap<'a>(&'a self, dek: &'a Dek, binding: &'a WrapBinding) -> Pending<'a, Wrapped> {
        self.seen.lock().unwrap().push(dek.expose().to_vec());
        self.kek.wrap(dek, binding)
    }

    fn unwrap<'a>(&'a self, wrapped: &'a Wrapped, binding: &'a WrapBinding) -> Pending<'a, Dek> {
        Box::pin(async {
            let dek = self.kek.unwrap(wrapped, binding).await?;
            self.seen.lock().unwrap().push(dek.expose().to_vec());
            Ok(dek)
        })
    }

    fn rewrap<'a>(
        &'a self,
        wraps: &'a [(Wrapped, WrapBinding)],
    ) -> Pending<'a, Vec<Result<Wrapped, KmsError>>> {
        self.kek.rewrap(wraps)
    }
}

/// S3, as far as small objects need it. It may refuse, and then quotes all that it was told.
#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Vec<u8>>,
    versions: u64,
    etags: BTreeMap<String, String>,
    refuse: Option<u16>,
}

impl Bucket {
    fn start() -> (String, Arc<Mutex<Self>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let bucket = Arc::new(Mutex::new(Self::default()));
        let own = Arc::clone(&bucket);
        let serve = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = own.lock().unwrap().serve(stream);
            }
        };
        thread::Builder::new().spawn(serve).unwrap();
        (address, bucket)
    }

    fn serve(&mut self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let (mut head, mut line) = (String::new(), String::new());
        while reader.read_line(&mut line)? > 2 {
            head.push_str(&std::mem::take(&mut line));
        }
        let header = |name: &str| {
            let found = head.lines().find(|line| {
                line.split_once(':').is_some_and(|(known, _)| known.eq_ignore_ascii_case(name))
            });
            found.and_then(|line| line.split_once(": ")).map(|(_, value)| value.to_owned())
        };
        let len = header("content-length").map_or(0, |len| len.parse().unwrap());
        let mut body = vec![0; len];
        reader.read_exact(&mut body)?;
        let (status, headers, answer) = match self.refuse {
            Some(status) => {
                let quoted = format!("<Error><Token-0>{head}{body:?}</Token-0></Error>");
                (status, String::new(), quoted.into_bytes())
            }
            None => self.answer(&head, &header, body),
        };
        let text = format!(
            "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\
             Last-Modified: Fri, 01 Jan 2027 00:00:00 GMT\r\n{headers}\r\n",
            answer.len()
        );
        let mut stream = reader.into_inner();
        stream.write_all(text.as_bytes())?;
        if !head.starts_with("HEAD") {
            stream.write_all(&answer)?;
        }
        Ok(())
    }

    fn answer(
        &mut self,
        head: &str,
        header: &dyn Fn(&str) -> Option<String>,
        body: Vec<u8>,
    ) -> (u16, String, Vec<u8>) {
        let mut words = head.split(' ');
        let (method, url) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let key = path.trim_start_matches("/bucket").trim_start_matches('/').to_owned();
        let none = String::new();
        match method {
            "PUT" => {
                let etag = self.etags.get(&key);
                let taken = header("if-none-match").is_some() && etag.is_some();
                if taken || header("if-match").is_some_and(|wanted| Some(&wanted) != etag) {
                    return (412, none, Vec::new());
                }
                self.versions += 1;
                let etag = format!("\"{}\"", self.versions);
                self.etags.insert(key.clone(), etag.clone());
                self.objects.insert(key, body);
                (200, format!("ETag: {etag}\r\n"), Vec::new())
            }
            "POST" => {
                let body = String::from_utf8(body).unwrap();
                let key = body.split("<Key>").nth(1).unwrap().split('<').next().unwrap();
                self.etags.remove(key);
                self.objects.remove(key);
                let deleted = format!("<Deleted><Key>{key}</Key></Deleted>");
                (200, none, format!("<DeleteResult>{deleted}</DeleteResult>").into_bytes())
            }
            "GET" if query.contains("list-type=2") => (200, none, self.list(query).into_bytes()),
            _ => {
                let Some(object) = self.objects.get(&key) else { return (404, none, Vec::new()) };
                let etag = format!("ETag: {}\r\n", self.etags[&key]);
                let Some(range) = header("range") else { return (200, etag, object.clone()) };
                let (from, to) = range.trim_start_matches("bytes=").split_once('-').unwrap();
                let from: usize = from.parse().unwrap();
                let to = to.parse::<usize>().unwrap().min(object.len() - 1);
                let range = format!("{etag}Content-Range: bytes {from}-{to}/{}\r\n", object.len());
                (206, range, object[from..=to].to_vec())
            }
        }
    }

    fn list(&self, query: &str) -> String {
        let value = |name: &str| {
            let found = query.split('&').find_map(|pair| pair.strip_prefix(name));
            found.unwrap_or_default().replace("%2F", "/")
        };
        let (prefix, delimited) = (value("prefix="), query.contains("delimiter="));
        let mut listed = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
        let mut folders = std::collections::BTreeSet::new();
        for (key, object) in self.objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            if let Some((folder, _)) = key[prefix.len()..].split_once('/').filter(|_| delimited) {
                folders.insert(format!("{prefix}{folder}/"));
                continue;
            }
            let (len, etag) = (object.len(), &self.etags[key]);
            write!(
                listed,
                "<Contents><Key>{key}</Key><LastModified>2027-01-01T00:00:00.000Z</LastModified>\
                 <ETag>{etag}</ETag><Size>{len}</Size></Contents>"
            )
            .unwrap();
        }
        for folder in folders {
            write!(listed, "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>").unwrap();
        }
        listed + "</ListBucketResult>"
    }
}

fn s3(address: &str) -> Arc<dyn ObjectStore> {
    let retry = RetryConfig { max_retries: 1, ..RetryConfig::default() };
    let s3 = AmazonS3Builder::new()
        .with_endpoint(address)
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name("bucket")
        .with_access_key_id("AKIDEXAMPLE")
        .with_secret_access_key(SECRET_KEY)
        .with_token(TOKEN)
        .with_retry(retry);
    Arc::new(s3.build().unwrap())
}

/// Content that no chance spells.
fn content() -> Vec<u8> {
    (0..20_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

/// Everything that is done with objects; says what went wrong.
async fn live(store: &Store, [first, second]: [&Watched; 2], seed: u64) -> Vec<String> {
    let mut said = Vec::new();
    let (required, context) = (tenant("acme"), context());
    let rng = &mut SeededRng::new(seed);
    let plan = Plan::new(&context).kms(first);
    said.push(format!("{:?}", store.seal("a", &plan, &content(), NOW, rng).await));
    said.push(format!("{:?}", store.seal("a", &plan, &content(), NOW, rng).await));
    for required in [&required, &tenant("other")] {
        match store.open("a", &Access::kms(first, required)).await {
            Ok(object) => {
                said.push(format!("{:?}", object.read().await.map(|all| *all == content())));
                let part = object.read_range(10..17_000).await;
                said.push(format!("{:?}", part.map(|part| part.len())));
            }
            Err(error) => said.push(format!("{error} {error:?}")),
        }
    }
    let run = Rewrap::new(second).verified();
    said.push(format!("{run:?} {:?}", store.rewrap_all(&run, None, NOW, &mut ()).await));
    let plan = Plan::new(&context).kms(second);
    let access = Access::kms(second, &required);
    said.push(format!("{plan:?} {access:?}"));
    said.push(format!("{:?}", store.reseal("a", &access, &plan, NOW, rng).await));
    said.push(format!("{:?} {:?}", store.census(NOW).await, store.orphans().await));
    said
}

// attack T34
#[tokio::test]
async fn no_log_and_no_error_shows_what_is_secret() {
    logs::keep();

    let seen = Arc::default();
    let keys = [&Watched::new(1, &seen), &Watched::new(2, &seen)];
    let folder = tempfile::tempdir().unwrap();
    let (address, bucket) = Bucket::start();
    let cloud = Store::new(s3(&address), "t").unwrap();
    let stores = [Store::local(folder.path(), "t").unwrap(), cloud.clone()];
    let mut said = Vec::new();
    for (seed, store) in (1..).zip(&stores) {
        let done = live(store, keys, seed).await;
        assert!(done[2].contains("true") && done[3].contains("16990"), "{done:#?}");
        assert!(done.iter().any(|line| line.contains("rewrapped: 1")), "{done:#?}");
        assert!(done.iter().any(|line| line.contains("Resealed")), "{done:#?}");
        said.extend(done);
    }
    for status in [400, 403, 404, 409, 412, 500, 503] {
        bucket.lock().unwrap().refuse = Some(status);
        said.extend(live(&cloud, keys, 10).await);
    }
    bucket.lock().unwrap().refuse = None;
    // What stands there is changed, and then erased.
    for object in bucket.lock().unwrap().objects.values_mut() {
        let last = object.len() - 1;
        object[last] ^= 1;
    }
    said.extend(live(&cloud, keys, 20).await);
    for store in &stores {
        said.push(format!("{:?}", store.erase("a").await));
        said.extend(live(store, keys, 30).await);
    }

    assert!(said.iter().any(|line| line.contains("403 Forbidden")), "{said:#?}");
    let log = logs::kept();
    for target in ["hyper", "reqwest", "object_store"] {
        assert!(log.contains(target), "nothing was logged by {target}");
    }
    let all = log + &said.join("\n");
    let seen = seen.lock().unwrap().clone();
    assert!(seen.len() > 10, "{} keys", seen.len());
    for key in &seen {
        assert!(!shows(&all, key), "a key is shown");
    }
    for start in [0, 5_000, 16_380] {
        assert!(!shows(&all, &content()[start..start + 40]), "plaintext is shown");
    }
    for credential in [TOKEN, SECRET_KEY] {
        let at = all.find(credential).map(|at| &all[at.saturating_sub(300)..at + 40]);
        assert!(at.is_none(), "{credential} in: {at:?}");
        assert!(!shows(&all, credential.as_bytes()), "{credential}");
    }
    // The control: what is logged is found.
    tracing::trace!(key = ?seen[0]);
    assert!(shows(&logs::kept(), &seen[0]));
}
