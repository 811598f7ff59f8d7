//! A stand-in for Google Cloud Storage: its XML API as we read the documentation of it
//! (<https://cloud.google.com/storage/docs/xml-api/reference-methods>), as far as objects need it.
//! It was never compared with the service.
//!
//! Each request is held against the form that is documented for its kind. What does not fit is
//! refused, and remembered. Two things are asked for that Google does not: the conditions on which
//! the store relies. One is not asked for: `Date`, which the documentation lists and object_store
//! does not send.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use base64ct::{Base64, Encoding};

pub(crate) const BUCKET: &str = "acme-archive";
pub(crate) const TOKEN: &str = "ya29.a0AfB_byC-example";
/// All parts but the last have at least so many bytes.
pub(crate) const PART_LEN: usize = 5 * 1024 * 1024;

/// So many names are in one answer, that lists have several: fewer than asked for are allowed.
const PAGE: usize = 3;
/// Generations are numbers of this size.
const GENERATION: u64 = 1_700_000_000_000_000;

/// What a kind of request must have, and may.
struct Form {
    kind: &'static str,
    method: &'static str,
    of_object: bool,
    query: &'static [&'static str],
    query_may: &'static [&'static str],
    headers: &'static [&'static str],
    headers_may: &'static [&'static str],
}

/// What every request has, and may.
const HEADERS: [&str; 2] = ["authorization", "host"];
const HEADERS_MAY: [&str; 4] = ["accept", "content-length", "content-type", "user-agent"];

/// Of two that fit, the first one counts.
const FORMS: [Form; 9] = [
    Form {
        kind: "List Objects",
        method: "GET",
        of_object: false,
        query: &["list-type"],
        query_may: &["continuation-token", "delimiter", "max-keys", "prefix", "start-after"],
        headers: &[],
        headers_may: &[],
    },
    Form { headers_may: &["if-match", "range"], ..object("GET Object", "GET") },
    Form { headers_may: &["if-match", "range"], ..object("HEAD Object", "HEAD") },
    Form {
        query: &["partNumber", "uploadId"],
        headers: &["content-length"],
        ..object("Upload Part", "PUT")
    },
    // The store writes no object without its condition.
    Form {
        headers: &["content-length", "x-goog-if-generation-match"],
        ..object("PUT Object", "PUT")
    },
    Form { query: &["uploads"], headers: &["content-length"], ..object("Initiate Upload", "POST") },
    Form {
        query: &["uploadId"],
        headers: &["content-length"],
        ..object("Complete Upload", "POST")
    },
    Form { query: &["uploadId"], headers: &["content-length"], ..object("Abort Upload", "DELETE") },
    object("DELETE Object", "DELETE"),
];

const fn object(kind: &'static str, method: &'static str) -> Form {
    let none: &[&str] = &[];
    Form {
        kind,
        method,
        of_object: true,
        query: none,
        query_may: none,
        headers: none,
        headers_may: none,
    }
}

type Pairs = BTreeMap<String, String>;

struct Request {
    method: String,
    bucket: String,
    key: String,
    query: Pairs,
    headers: Pairs,
    body: Vec<u8>,
}

/// A request that does not fit: the status that says so, and what is wrong.
struct Misfit(u16, String);

fn misfit<T>(what: impl Into<String>) -> Result<T, Misfit> {
    Err(Misfit(400, what.into()))
}

impl Request {
    fn read(reader: &mut impl BufRead) -> std::io::Result<Result<Self, Misfit>> {
        let (mut head, mut line) = (Vec::new(), String::new());
        while reader.read_line(&mut line)? > 2 {
            head.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        let headers = pairs(head.iter().skip(1).map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        }));
        let len = headers.as_ref().ok().and_then(|headers| headers.get("content-length"));
        let mut body = vec![0; len.map_or(0, |len| len.parse().unwrap_or(0))];
        reader.read_exact(&mut body)?;
        let first = head.first().map_or("", String::as_str);
        Ok(headers.and_then(|headers| Self::parse(first, headers, body)))
    }

    fn parse(first: &str, headers: Pairs, body: Vec<u8>) -> Result<Self, Misfit> {
        let [method, url, "HTTP/1.1"] = first.split(' ').collect::<Vec<_>>()[..] else {
            return misfit(format!("no request line: {first}"));
        };
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let path = path.strip_prefix('/').unwrap_or_default();
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let mut queries = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            queries.push((decoded(name)?, decoded(&value.replace('+', " "))?));
        }
        Ok(Self {
            method: method.to_owned(),
            bucket: decoded(bucket)?,
            key: decoded(key)?,
            query: pairs(queries.into_iter())?,
            headers,
            body,
        })
    }

    /// The form of this request, if it has that form.
    fn form(&self) -> Result<&'static Form, Misfit> {
        let form = FORMS.iter().find(|form| {
            form.method == self.method
                && form.of_object != self.key.is_empty()
                && form.query.iter().all(|name| self.query.contains_key(*name))
        });
        let Some(form) = form else {
            return misfit(format!("{} of `{}`: no such request", self.method, self.key));
        };
        let kind = form.kind;
        let authorization = self.headers.get("authorization");
        if authorization.is_none_or(|found| *found != format!("Bearer {TOKEN}")) {
            return Err(Misfit(401, format!("{kind}: not authorized")));
        }
        if self.bucket != BUCKET {
            return misfit(format!("{kind}: bucket `{}`", self.bucket));
        }
        for name in self.query.keys().map(String::as_str) {
            if !form.query.contains(&name) && !form.query_may.contains(&name) {
                return misfit(format!("{kind}: query `{name}`"));
            }
        }
        let may = [&HEADERS[..], &HEADERS_MAY, form.headers, form.headers_may].concat();
        if let Some(name) = self.headers.keys().find(|name| !may.contains(&name.as_str())) {
            return misfit(format!("{kind}: header `{name}`"));
        }
        let must = HEADERS.iter().chain(form.headers);
        match must.copied().find(|name| !self.headers.contains_key(*name)) {
            Some(name) => misfit(format!("{kind}: no header `{name}`")),
            None => Ok(form),
        }
    }

    fn number(&self, kind: &str, value: &str) -> Result<u64, Misfit> {
        match value.parse::<u64>() {
            Ok(number) if number.to_string() == value => Ok(number),
            _ => misfit(format!("{kind}: `{value}` of `{}` is no number", self.key)),
        }
    }
}

/// By their names, of which none may come twice.
fn pairs(pairs: impl Iterator<Item = (String, String)>) -> Result<Pairs, Misfit> {
    let mut found = Pairs::new();
    for (name, value) in pairs {
        if found.insert(name.clone(), value).is_some() {
            return misfit(format!("`{name}` twice"));
        }
    }
    Ok(found)
}

fn decoded(text: &str) -> Result<String, Misfit> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                match hex::decode(digits).as_deref() {
                    Ok(&[byte]) => byte,
                    _ => return misfit(format!("`{text}` is not percent-encoded")),
                }
            }
            other => other,
        });
    }
    String::from_utf8(bytes).or_else(|_| misfit(format!("`{text}` is not UTF-8")))
}

/// What an answer has beside its status.
#[derive(Default)]
struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    fn xml(body: &str) -> Self {
        let text = format!("<?xml version='1.0' encoding='UTF-8'?>{body}");
        let headers = "Content-Type: application/xml; charset=UTF-8\r\n".to_owned();
        Self { status: 200, headers, body: text.into_bytes() }
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Self { status, ..Self::xml(&body) }
    }

    /// As of what stands there now.
    fn with(mut self, object: &Object) -> Self {
        let Object { generation, .. } = object;
        let tag = object.tag();
        write!(self.headers, "ETag: {tag}\r\nx-goog-generation: {generation}\r\n").unwrap();
        self
    }
}

struct Object {
    generation: u64,
    content: Vec<u8>,
}

impl Object {
    fn tag(&self) -> String {
        format!("\"{:032x}\"", self.generation)
    }
}

struct Upload {
    key: String,
    parts: BTreeMap<u64, Vec<u8>>,
    /// Whether it was asked what stands at its name since the last part came.
    asked: bool,
}

impl Upload {
    fn tag(number: u64, part: &[u8]) -> String {
        format!("\"{number:016x}{:016x}\"", part.len())
    }
}

/// What stands in the bucket, and what was asked of it.
#[derive(Default)]
pub(crate) struct State {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    writes: u64,
    /// Where a name has this in it, another client writes there a moment before the next one.
    pub(crate) rival: Option<&'static str>,
    /// What did not fit.
    pub(crate) misfits: Vec<String>,
    /// The kinds of request, and what was answered.
    pub(crate) answered: BTreeSet<(&'static str, u16)>,
}

impl State {
    pub(crate) fn uploads(&self) -> usize {
        self.uploads.len()
    }

    fn answer(&mut self, request: Result<Request, Misfit>) -> Answer {
        let answered = request.and_then(|request| {
            let kind = request.form()?.kind;
            let answer = self.answer_kind(kind, request)?;
            self.answered.insert((kind, answer.status));
            Ok(answer)
        });
        answered.unwrap_or_else(|Misfit(status, what)| {
            let answer = Answer::error(status, "InvalidArgument", &what);
            self.misfits.push(what);
            answer
        })
    }

    fn answer_kind(&mut self, kind: &'static str, request: Request) -> Result<Answer, Misfit> {
        match kind {
            "List Objects" => self.list(&request),
            "GET Object" => self.get(&request),
            "HEAD Object" => {
                let of_key = self.uploads.values_mut().filter(|upload| upload.key == request.key);
                of_key.for_each(|upload| upload.asked = true);
                self.get(&request)
            }
            "PUT Object" => self.put(request),
            "DELETE Object" => Ok(match self.objects.remove(&request.key) {
                Some(_) => Answer::new(204),
                None => Answer::error(404, "NoSuchKey", "there is none"),
            }),
            "Initiate Upload" => self.initiate(request),
            "Upload Part" => self.part(request),
            "Complete Upload" => self.complete(&request),
            _ => Ok(if self.upload(&request).is_some() {
                self.uploads.remove(&request.query["uploadId"]);
                Answer::new(204)
            } else {
                Answer::error(404, "NoSuchUpload", "there is none")
            }),
        }
    }

    fn write(&mut self, key: String, content: Vec<u8>) -> &Object {
        self.writes += 1;
        let object = Object { generation: GENERATION + self.writes, content };
        self.objects.insert(key.clone(), object);
        &self.objects[&key]
    }

    /// Another client writes what stands there again, or something else.
    fn rival(&mut self, key: &str) {
        if self.rival.is_some_and(|part| key.contains(part)) {
            self.rival = None;
            let there = self.objects.get(key).map(|object| object.content.clone());
            self.write(key.to_owned(), there.unwrap_or_else(|| b"of another".to_vec()));
        }
    }

    fn get(&self, request: &Request) -> Result<Answer, Misfit> {
        let Some(object) = self.objects.get(&request.key) else {
            return Ok(Answer::error(404, "NoSuchKey", "there is none"));
        };
        if let Some(wanted) = request.headers.get("if-match") {
            let quoted = wanted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            if quoted.is_none_or(|tag| tag.contains('"')) {
                return misfit(format!("GET Object: if-match `{wanted}`"));
            }
            if *wanted != object.tag() {
                return Ok(Answer::error(412, "PreconditionFailed", "another version"));
            }
        }
        let answer = Answer::new(200).with(object);
        let Some(range) = request.headers.get("range") else {
            return Ok(Answer { body: object.content.clone(), ..answer });
        };
        let ends = range.strip_prefix("bytes=").and_then(|ends| ends.split_once('-'));
        let Some((from, to)) = ends else { return misfit(format!("GET Object: range `{range}`")) };
        let (from, to) = (request.number("range", from)?, request.number("range", to)?);
        let len = object.content.len() as u64;
        if from > to {
            return misfit(format!("GET Object: range `{range}`"));
        }
        if from >= len {
            return Ok(Answer::error(416, "InvalidRange", "there are fewer bytes"));
        }
        let to = to.min(len - 1);
        let body =
            object.content[usize::try_from(from).unwrap()..=usize::try_from(to).unwrap()].to_vec();
        let headers = format!("{}Content-Range: bytes {from}-{to}/{len}\r\n", answer.headers);
        Ok(Answer { status: 206, headers, body })
    }

    fn put(&mut self, request: Request) -> Result<Answer, Misfit> {
        let wanted =
            request.number("PUT Object", &request.headers["x-goog-if-generation-match"])?;
        self.rival(&request.key);
        // Zero where there must be none.
        let there = self.objects.get(&request.key).map_or(0, |object| object.generation);
        if wanted != there {
            return Ok(Answer::error(412, "PreconditionFailed", "another generation"));
        }
        Ok(Answer::new(200).with(self.write(request.key, request.body)))
    }

    fn initiate(&mut self, request: Request) -> Result<Answer, Misfit> {
        if !request.body.is_empty() || !request.query["uploads"].is_empty() {
            return misfit("Initiate Upload: with a body or a value");
        }
        self.writes += 1;
        let id = format!("ABPnzm7-{}", self.writes);
        let body = format!(
            "<InitiateMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{}</Key>\
             <UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
            request.key
        );
        let upload = Upload { key: request.key, parts: BTreeMap::new(), asked: false };
        self.uploads.insert(id, upload);
        Ok(Answer::xml(&body))
    }

    fn upload(&mut self, request: &Request) -> Option<&mut Upload> {
        let upload = self.uploads.get_mut(&request.query["uploadId"]);
        upload.filter(|upload| upload.key == request.key)
    }

    fn part(&mut self, request: Request) -> Result<Answer, Misfit> {
        self.rival(&request.key);
        let number = request.number("Upload Part", &request.query["partNumber"])?;
        if !(1..=10_000).contains(&number) {
            return misfit(format!("Upload Part: number {number}"));
        }
        let Some(upload) = self.upload(&request) else {
            return Ok(Answer::error(404, "NoSuchUpload", "there is none"));
        };
        let headers = format!("ETag: {}\r\n", Upload::tag(number, &request.body));
        upload.asked = false;
        upload.parts.insert(number, request.body);
        Ok(Answer { status: 200, headers, body: Vec::new() })
    }

    fn complete(&mut self, request: &Request) -> Result<Answer, Misfit> {
        let listed = listed_parts(&request.body)?;
        let Some(upload) = self.upload(request) else {
            return Ok(Answer::error(404, "NoSuchUpload", "there is none"));
        };
        // It takes no condition: what stands there is all that the store can ask for.
        if !upload.asked {
            return misfit("Complete Upload: nobody asked what stands there");
        }
        let (mut content, mut last) = (Vec::new(), 0);
        for (i, (number, tag)) in listed.iter().enumerate() {
            let part = upload.parts.get(number).filter(|part| Upload::tag(*number, part) == *tag);
            let Some(part) = part.filter(|_| *number > last) else {
                return misfit(format!("Complete Upload: part {number}"));
            };
            if part.len() < PART_LEN && i + 1 < listed.len() {
                return misfit(format!("Complete Upload: part {number} is too small"));
            }
            last = *number;
            content.extend_from_slice(part);
        }
        self.uploads.remove(&request.query["uploadId"]);
        let object = self.write(request.key.clone(), content);
        let body = format!(
            "<CompleteMultipartUploadResult><Bucket>{BUCKET}</Bucket><Key>{}</Key>\
             <ETag>{}</ETag></CompleteMultipartUploadResult>",
            request.key,
            object.tag()
        );
        let headers = format!("x-goog-generation: {}\r\n", object.generation);
        let answer = Answer::xml(&body);
        Ok(Answer { headers: answer.headers + &headers, ..answer })
    }

    fn list(&self, request: &Request) -> Result<Answer, Misfit> {
        let query = |name| request.query.get(name).map(String::as_str);
        if query("list-type") != Some("2") {
            return misfit("List Objects: `list-type` is not 2");
        }
        let most =
            query("max-keys").map(|most| request.number("List Objects", most)).transpose()?;
        let most = most.map_or(PAGE, |most| usize::try_from(most).unwrap().min(PAGE));
        let mut after = query("start-after").unwrap_or_default().to_owned();
        if let Some(token) = query("continuation-token") {
            let name = Base64::decode_vec(token).ok().and_then(|name| String::from_utf8(name).ok());
            after = name.map_or_else(|| misfit("List Objects: a token of its own"), Ok)?;
        }
        let prefix = query("prefix").unwrap_or_default();
        let mut entries = BTreeMap::new();
        for (key, object) in self.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
            let folded = query("delimiter").and_then(|delimiter| {
                let at = key[prefix.len()..].find(delimiter)?;
                Some(&key[..prefix.len() + at + delimiter.len()])
            });
            entries.insert(folded.unwrap_or(key), folded.is_none().then_some(object));
        }
        entries.retain(|name, _| **name > *after);
        Ok(Answer::xml(&listing(&entries, most)))
    }
}

/// The first `most` of them.
fn listing(entries: &BTreeMap<&str, Option<&Object>>, most: usize) -> String {
    let truncated = entries.len() > most;
    let mut xml = format!(
        "<ListBucketResult xmlns='http://doc.s3.amazonaws.com/2006-03-01'><Name>{BUCKET}</Name>\
         <IsTruncated>{truncated}</IsTruncated>"
    );
    for (name, object) in entries.iter().take(most) {
        let Some(object) = object else {
            write!(xml, "<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>").unwrap();
            continue;
        };
        let (generation, tag, len) = (object.generation, object.tag(), object.content.len());
        write!(
            xml,
            "<Contents><Key>{name}</Key><Generation>{generation}</Generation>\
             <MetaGeneration>1</MetaGeneration><LastModified>2027-01-01T00:00:00.000Z</LastModified>\
             <ETag>{tag}</ETag><Size>{len}</Size></Contents>"
        )
        .unwrap();
    }
    if truncated {
        let last = entries.keys().take(most).next_back().copied().unwrap_or_default();
        let token = Base64::encode_string(last.as_bytes());
        write!(xml, "<NextContinuationToken>{token}</NextContinuationToken>").unwrap();
    }
    xml + "</ListBucketResult>"
}

/// The numbers and tags of the parts that make an object.
fn listed_parts(body: &[u8]) -> Result<Vec<(u64, String)>, Misfit> {
    let wrong = || misfit(format!("Complete Upload: body {}", String::from_utf8_lossy(body)));
    let text = std::str::from_utf8(body).unwrap_or_default();
    let parts = text.strip_prefix("<CompleteMultipartUpload>");
    let Some(parts) = parts.and_then(|parts| parts.strip_suffix("</CompleteMultipartUpload>"))
    else {
        return wrong();
    };
    let mut listed = Vec::new();
    for part in parts.split_inclusive("</Part>") {
        let value = |name: &str| {
            let (_, rest) = part.split_once(&format!("<{name}>"))?;
            Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
        };
        let (Some(number), Some(tag)) = (value("PartNumber"), value("ETag")) else {
            return wrong();
        };
        let (a, b) = (format!("<ETag>{tag}</ETag>"), format!("<PartNumber>{number}</PartNumber>"));
        let orders = [format!("<Part>{a}{b}</Part>"), format!("<Part>{b}{a}</Part>")];
        match number.parse() {
            Ok(number) if orders.iter().any(|order| order == part) => listed.push((number, tag)),
            _ => return wrong(),
        }
    }
    if listed.is_empty() { wrong() } else { Ok(listed) }
}

/// A server on this machine.
pub(crate) struct Google {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Google {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let own = Arc::clone(&state);
        let serve = move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that went away.
                let _ = serve(&own, stream);
            }
        };
        thread::Builder::new().spawn(serve).unwrap();
        Self { address, state }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn serve(state: &Mutex<State>, stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let request = Request::read(&mut reader)?;
    let is_head = request.as_ref().is_ok_and(|request| request.method == "HEAD");
    let Answer { status, headers, body } = state.lock().unwrap().answer(request);
    let len = body.len();
    let mut stream = reader.into_inner();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {len}\r\n\
         Last-Modified: Fri, 01 Jan 2027 00:00:00 GMT\r\n{headers}\r\n"
    )?;
    stream.write_all(if is_head { &[] } else { &body })
}
