//! Operations as methods, paths and queries.

use core::{
    fmt::{self, Display, Write},
    str::FromStr,
};

use sealwire_core::pad::FRAME_CLASSES;
use sealwire_identity::AgentId;

use super::{Acks, Body, CBOR, Claim, FRAME, Kind, NewMailbox, Page, Publish, Revoke};
use crate::{Device, Problem, ReceiveId, SendId, limits};

/// One of the thirteen operations, with all that stands in its path and query.
///
/// Each has one spelling: [`Operation::parse`] takes what [`Operation::path`] and
/// [`Operation::query`] give, and nothing else.
///
/// ```
/// use sealwire_relay::{Problem, ReceiveId, wire::Operation};
/// let operation = Operation::Ack(ReceiveId::from_bytes([7; 16]));
/// assert_eq!(operation.path(), "/v1/mailboxes/BwcHBwcHBwcHBwcHBwcHBw/acks");
/// assert_eq!(Operation::parse("POST", &operation.path(), None), Ok(operation));
/// assert_eq!(Operation::parse("GET", "/v1/mailboxes", None), Err(Problem::NotFound));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a version has these")]
pub enum Operation {
    /// 1: publishes a card and a bundle.
    Publish(Device),
    /// 2: asks for them.
    Published(Device),
    /// 3: uploads one-time keys.
    AddPage {
        /// Whose.
        of: Device,
        /// What they are for.
        kind: Kind,
        /// The id of the first.
        base: u32,
    },
    /// 4: asks how many are left.
    Remaining(Device),
    /// 5: claims some.
    Claim(Device),
    /// 6: asks for the hashes of card and bundle.
    Check(Device),
    /// 7: makes a mailbox.
    CreateMailbox(ReceiveId),
    /// 8: removes it.
    CloseMailbox(ReceiveId),
    /// 9: revokes capabilities.
    Revoke(ReceiveId),
    /// 10: leaves a frame.
    Deposit(SendId),
    /// 11: asks for messages.
    Fetch {
        /// Where.
        mailbox: ReceiveId,
        /// The sequence behind which to begin, 0 for the oldest.
        after: u64,
        /// The most messages, at least 1 and at most [`MAX_FETCH`](limits::MAX_FETCH).
        limit: u32,
        /// How long to wait when there is none, in seconds, at most
        /// [`MAX_WAIT`](limits::MAX_WAIT).
        wait: u64,
    },
    /// 12: removes messages for good.
    Ack(ReceiveId),
    /// 13: opens a stream.
    Stream(ReceiveId),
}

/// What an operation is allowed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a version has these")]
pub enum Credential<'a> {
    /// Nothing: what is asked for is public.
    Nothing,
    /// A signature with this agent's identity key.
    Agent(&'a AgentId),
    /// A signature with the identity key of anybody.
    Caller,
    /// A signature with the key of this mailbox.
    Mailbox(ReceiveId),
    /// A capability for this mailbox.
    Capability(SendId),
}

/// The longest path, in bytes: a DID of which every byte is escaped, and what stands around it.
const MAX_PATH_LEN: usize = 3 * AgentId::MAX_LEN + 64;

impl Operation {
    /// Reads a request line, for which `query` is what stands behind the `?`.
    ///
    /// # Errors
    /// [`Problem::NotFound`] when nothing has this path, [`Problem::Method`] when something has
    /// and does not take this method, [`Problem::Malformed`] for another query than the
    /// operation has.
    // REL-2
    pub fn parse(method: &str, path: &str, query: Option<&str>) -> Result<Self, Problem> {
        let place = Place::parse(path).ok_or(Problem::NotFound)?;
        let operation = place.operation(method, query)?;
        if operation.query().as_deref() == query { Ok(operation) } else { Err(Problem::Malformed) }
    }

    /// The methods that a path takes, as the header `allow` has them: [`Problem::Method`] is
    /// answered with it (RFC 9110, section 15.5.6).
    pub fn allow(path: &str) -> Option<&'static str> {
        Some(match Place::parse(path)? {
            Place::Bundle(_) => "GET, PUT",
            Place::Page(..) => "PUT",
            Place::Prekeys(_) | Place::Check(_) | Place::Stream(_) => "GET",
            Place::Claims(_) | Place::Tokens(_) | Place::Acks(_) => "POST",
            Place::Mailbox(_) => "DELETE, PUT",
            Place::Messages(_) => "GET, POST",
        })
    }

    /// The method.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Published(_)
            | Self::Remaining(_)
            | Self::Check(_)
            | Self::Fetch { .. }
            | Self::Stream(_) => "GET",
            Self::Publish(_) | Self::AddPage { .. } | Self::CreateMailbox(_) => "PUT",
            Self::Claim(_) | Self::Revoke(_) | Self::Deposit(_) | Self::Ack(_) => "POST",
            Self::CloseMailbox(_) => "DELETE",
        }
    }

    /// The path with names for its variable parts.
    pub const fn template(&self) -> &'static str {
        match self {
            Self::Publish(_) | Self::Published(_) => "/v1/agents/{did}/devices/{n}/bundle",
            Self::AddPage { .. } => "/v1/agents/{did}/devices/{n}/pages/{kind}/{base}",
            Self::Remaining(_) => "/v1/agents/{did}/devices/{n}/prekeys",
            Self::Claim(_) => "/v1/agents/{did}/devices/{n}/claims",
            Self::Check(_) => "/v1/agents/{did}/devices/{n}/check",
            Self::CreateMailbox(_) | Self::CloseMailbox(_) => "/v1/mailboxes/{id}",
            Self::Revoke(_) => "/v1/mailboxes/{id}/tokens",
            Self::Deposit(_) | Self::Fetch { .. } => "/v1/mailboxes/{id}/messages",
            Self::Ack(_) => "/v1/mailboxes/{id}/acks",
            Self::Stream(_) => "/v1/mailboxes/{id}/stream",
        }
    }

    /// What it is called where its path must not be shown: it names nobody.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Publish(_) => "publish",
            Self::Published(_) => "published",
            Self::AddPage { .. } => "add-page",
            Self::Remaining(_) => "remaining",
            Self::Claim(_) => "claim",
            Self::Check(_) => "check",
            Self::CreateMailbox(_) => "create-mailbox",
            Self::CloseMailbox(_) => "close-mailbox",
            Self::Revoke(_) => "revoke",
            Self::Deposit(_) => "deposit",
            Self::Fetch { .. } => "fetch",
            Self::Ack(_) => "ack",
            Self::Stream(_) => "stream",
        }
    }

    /// The path.
    pub fn path(&self) -> String {
        match self {
            Self::Publish(of) | Self::Published(of) => device_path(of, "bundle"),
            Self::AddPage { of, kind, base } => {
                device_path(of, &format!("pages/{}/{base}", kind.id()))
            }
            Self::Remaining(of) => device_path(of, "prekeys"),
            Self::Claim(of) => device_path(of, "claims"),
            Self::Check(of) => device_path(of, "check"),
            Self::CreateMailbox(id) | Self::CloseMailbox(id) => format!("/v1/mailboxes/{id}"),
            Self::Revoke(id) => format!("/v1/mailboxes/{id}/tokens"),
            Self::Deposit(id) => format!("/v1/mailboxes/{id}/messages"),
            Self::Fetch { mailbox, .. } => format!("/v1/mailboxes/{mailbox}/messages"),
            Self::Ack(id) => format!("/v1/mailboxes/{id}/acks"),
            Self::Stream(id) => format!("/v1/mailboxes/{id}/stream"),
        }
    }

    /// What stands behind the `?`. Only a fetch has it, and always all of it.
    pub fn query(&self) -> Option<String> {
        match self {
            Self::Fetch { after, limit, wait, .. } => {
                Some(format!("after={after}&limit={limit}&wait={wait}"))
            }
            _ => None,
        }
    }

    /// Path and query, as they stand in the request line.
    pub fn target(&self) -> String {
        match self.query() {
            Some(query) => format!("{}?{query}", self.path()),
            None => self.path(),
        }
    }

    /// What allows it.
    pub const fn credential(&self) -> Credential<'_> {
        match self {
            Self::Publish(of) | Self::AddPage { of, .. } | Self::Remaining(of) => {
                Credential::Agent(&of.agent)
            }
            Self::Published(_) | Self::Check(_) => Credential::Nothing,
            Self::Claim(_) => Credential::Caller,
            Self::Deposit(id) => Credential::Capability(*id),
            Self::CreateMailbox(id)
            | Self::CloseMailbox(id)
            | Self::Revoke(id)
            | Self::Ack(id)
            | Self::Stream(id)
            | Self::Fetch { mailbox: id, .. } => Credential::Mailbox(*id),
        }
    }

    /// The media type and greatest length of the request's body, `None` where it has none.
    pub const fn body(&self) -> Option<(&'static str, usize)> {
        let [.., longest_frame] = FRAME_CLASSES;
        match self {
            Self::Publish(_) => Some((CBOR, Publish::MAX_LEN)),
            Self::AddPage { .. } => Some((CBOR, Page::MAX_LEN)),
            Self::Claim(_) => Some((CBOR, Claim::MAX_LEN)),
            Self::CreateMailbox(_) => Some((CBOR, NewMailbox::MAX_LEN)),
            Self::Revoke(_) => Some((CBOR, Revoke::MAX_LEN)),
            Self::Deposit(_) => Some((FRAME, longest_frame)),
            Self::Ack(_) => Some((CBOR, Acks::MAX_LEN)),
            Self::Published(_)
            | Self::Remaining(_)
            | Self::Check(_)
            | Self::CloseMailbox(_)
            | Self::Fetch { .. }
            | Self::Stream(_) => None,
        }
    }
}

// Logs show no DIDs and no ids.
impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operation({} {})", self.method(), self.template())
    }
}

/// What a path names, before the method says what to do with it.
enum Place {
    Bundle(Device),
    Page(Device, Kind, u32),
    Prekeys(Device),
    Claims(Device),
    Check(Device),
    Mailbox(ReceiveId),
    Tokens(ReceiveId),
    Messages(ReceiveId),
    Acks(ReceiveId),
    Stream(ReceiveId),
}

impl Place {
    fn parse(path: &str) -> Option<Self> {
        if path.len() > MAX_PATH_LEN {
            return None;
        }
        let segments: Vec<&str> = path.strip_prefix("/v1/")?.splitn(8, '/').collect();
        match segments.as_slice() {
            ["agents", did, "devices", number, rest @ ..] => {
                let of = Device { agent: agent(did)?, number: decimal(number)? };
                match rest {
                    ["bundle"] => Some(Self::Bundle(of)),
                    ["pages", kind, base] => {
                        let kind = Kind::from_u8(decimal(kind)?).ok()?;
                        let base = decimal(base).filter(|base| *base != 0)?;
                        Some(Self::Page(of, kind, base))
                    }
                    ["prekeys"] => Some(Self::Prekeys(of)),
                    ["claims"] => Some(Self::Claims(of)),
                    ["check"] => Some(Self::Check(of)),
                    _ => None,
                }
            }
            ["mailboxes", id, rest @ ..] => {
                // Ids for sending look alike.
                let id = ReceiveId::parse(id).ok()?;
                match rest {
                    [] => Some(Self::Mailbox(id)),
                    ["tokens"] => Some(Self::Tokens(id)),
                    ["messages"] => Some(Self::Messages(id)),
                    ["acks"] => Some(Self::Acks(id)),
                    ["stream"] => Some(Self::Stream(id)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn operation(self, method: &str, query: Option<&str>) -> Result<Operation, Problem> {
        Ok(match (self, method) {
            (Self::Bundle(of), "PUT") => Operation::Publish(of),
            (Self::Bundle(of), "GET") => Operation::Published(of),
            (Self::Page(of, kind, base), "PUT") => Operation::AddPage { of, kind, base },
            (Self::Prekeys(of), "GET") => Operation::Remaining(of),
            (Self::Claims(of), "POST") => Operation::Claim(of),
            (Self::Check(of), "GET") => Operation::Check(of),
            (Self::Mailbox(id), "PUT") => Operation::CreateMailbox(id),
            (Self::Mailbox(id), "DELETE") => Operation::CloseMailbox(id),
            (Self::Tokens(id), "POST") => Operation::Revoke(id),
            (Self::Messages(id), "POST") => Operation::Deposit(SendId::from_bytes(*id.as_bytes())),
            (Self::Messages(id), "GET") => fetch(id, query).ok_or(Problem::Malformed)?,
            (Self::Acks(id), "POST") => Operation::Ack(id),
            (Self::Stream(id), "GET") => Operation::Stream(id),
            _ => return Err(Problem::Method),
        })
    }
}

fn fetch(mailbox: ReceiveId, query: Option<&str>) -> Option<Operation> {
    let (after, rest) = query?.strip_prefix("after=")?.split_once("&limit=")?;
    let (limit, wait) = rest.split_once("&wait=")?;
    Some(Operation::Fetch {
        mailbox,
        after: decimal(after).filter(|after| *after <= limits::MAX_NUMBER)?,
        limit: decimal(limit).filter(|limit| (1..=limits::MAX_FETCH).contains(limit))?,
        wait: decimal(wait).filter(|wait| *wait <= limits::MAX_WAIT)?,
    })
}

fn device_path(of: &Device, rest: &str) -> String {
    format!("/v1/agents/{}/devices/{}/{rest}", escaped(&of.agent), of.number)
}

/// A DID as a segment of a path: `:` may stand in one (RFC 3986, section 3.3), and of what else
/// a DID has, only `%` may not.
fn escaped(agent: &AgentId) -> String {
    let text = agent.as_str();
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            escaped.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _: fmt::Result = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The agent of a segment, if it is escaped as it should be.
fn agent(segment: &str) -> Option<AgentId> {
    let mut parts = segment.split('%');
    let mut text = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        text.push(u8::from_str_radix(digits, 16).ok()?);
        text.extend_from_slice(rest.as_bytes());
    }
    let agent = AgentId::parse(core::str::from_utf8(&text).ok()?).ok()?;
    (escaped(&agent) == segment).then_some(agent)
}

/// A number in its shortest decimal form.
fn decimal<T: FromStr + Display>(digits: &str) -> Option<T> {
    digits.parse().ok().filter(|number: &T| number.to_string() == digits)
}
