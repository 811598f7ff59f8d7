//! A folder that is read over HTTP as a bucket of S3 is, by a server that may stop half way.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use crate::common::{PATIENCE, Sealwire, background};

/// A server that ends with the process.
pub(crate) struct Bucket {
    address: SocketAddr,
    stall_after: Arc<AtomicUsize>,
    stalls: Receiver<()>,
}

impl Bucket {
    /// Serves the files of a folder as those of the bucket `acme`.
    pub(crate) fn serve(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let stall_after = Arc::new(AtomicUsize::new(usize::MAX));
        let (sender, stalls) = mpsc::channel();
        let after = Arc::clone(&stall_after);
        background(move || {
            for stream in listener.incoming().flatten() {
                let (folder, after, sender) = (folder.clone(), Arc::clone(&after), sender.clone());
                background(move || answer_all(&stream, &folder, &after, &sender));
            }
        });
        Self { address, stall_after, stalls }
    }

    /// An answer that is longer stops after so many bytes, and never goes on.
    pub(crate) fn stall_after(&self, bytes: usize) {
        self.stall_after.store(bytes, Ordering::SeqCst);
    }

    /// Waits until an answer has stopped.
    pub(crate) fn wait_for_stall(&self) {
        self.stalls.recv_timeout(PATIENCE).expect("an answer stops");
    }

    /// The command, with what makes it look here for buckets.
    pub(crate) fn access(&self, command: Sealwire) -> Sealwire {
        command
            .env("AWS_ENDPOINT_URL", &format!("http://{}", self.address))
            .env("AWS_SKIP_SIGNATURE", "true")
    }
}

fn answer_all(stream: &TcpStream, folder: &Path, stall_after: &AtomicUsize, stalls: &Sender<()>) {
    let mut reader = BufReader::new(stream);
    while let Some((path, range)) = request(&mut reader) {
        let name = path.strip_prefix("/acme/").unwrap_or("none");
        let content = fs::read(folder.join(name)).ok();
        let (head, body) = answer(content.as_deref(), range);
        let mut stream = stream;
        let stall = stall_after.load(Ordering::SeqCst);
        if body.len() <= stall {
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
            continue;
        }
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..stall]));
        let _ = stalls.send(());
        thread::park();
    }
}

/// The path of a request, and the range that it asks for.
fn request(reader: &mut impl BufRead) -> Option<(String, Option<(usize, usize)>)> {
    let mut lines = reader.lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let range = headers.iter().find_map(|line| {
        let line = line.to_ascii_lowercase();
        let (start, end) = line.strip_prefix("range: bytes=")?.split_once('-')?;
        Some((start.parse().ok()?, end.parse().ok()?))
    });
    Some((path, range))
}

fn answer(content: Option<&[u8]>, range: Option<(usize, usize)>) -> (String, &[u8]) {
    let Some(content) = content else {
        return ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), &[]);
    };
    let whole = content.len();
    let (status, range_line, body) = match range {
        Some((start, end)) => {
            let end = (end + 1).min(whole);
            let line = format!("Content-Range: bytes {start}-{}/{whole}\r\n", end - 1);
            ("206 Partial Content", line, &content[start..end])
        }
        None => ("200 OK", String::new(), content),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\n{range_line}Content-Length: {}\r\nETag: \"1\"\r\n\
         Last-Modified: Fri, 01 Jan 2027 00:00:00 GMT\r\n\r\n",
        body.len()
    );
    (head, body)
}
