use std::collections::{BTreeMap, BTreeSet};

use sealwire_core::pad::FRAME_CLASSES;
use sealwire_identity::AgentId;
use sealwire_relay::{
    Problem, limits,
    signature::{CONTENT_DIGEST, SIGNATURE, SIGNATURE_INPUT},
    wire::{CAPABILITY, Credential, MESSAGE_ID, OPENAPI, Operation, PROBLEM},
};
use serde_json::Value;

use super::paths::all;

fn document() -> Value {
    serde_json::from_str(OPENAPI).expect("JSON")
}

/// What a reference leads to, and anything else as it is.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value.get("$ref") else { return value };
    let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).expect("a fragment");
    let target = document.pointer(pointer);
    assert!(target.is_some(), "{reference} leads nowhere");
    target.unwrap_or(value)
}

fn members(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn operation<'a>(document: &'a Value, operation: &Operation) -> &'a Value {
    let method = operation.method().to_ascii_lowercase();
    let found = &document["paths"][operation.template()][&method];
    assert!(found.is_object(), "{operation:?}");
    found
}

/// The names of the parameters of an operation that stand at `place`, those of its path included.
fn parameters(document: &Value, operation: &Operation, place: &str) -> Vec<String> {
    let own = self::operation(document, operation).get("parameters");
    let path = document["paths"][operation.template()].get("parameters");
    let all = path.into_iter().chain(own).flat_map(|list| list.as_array().expect("a list"));
    let parameters = all.map(|parameter| resolved(document, parameter));
    let here = parameters.filter(|parameter| parameter["in"] == place);
    here.map(|parameter| {
        assert_eq!(parameter["required"], true);
        parameter["name"].as_str().expect("a name").to_owned()
    })
    .collect()
}

// REL-1
#[test]
fn the_document_has_the_thirteen_operations_and_no_other() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = 0;
    for (path, item) in document["paths"].as_object().expect("an object") {
        let methods = members(item).into_iter().filter(|name| *name != "parameters");
        found += methods.count();
        assert!(all().iter().any(|(_, _, operation)| operation.template() == path), "{path}");
    }
    assert_eq!(found, 13);
    for (number, (_, _, known)) in (1..).zip(all()) {
        let described = operation(&document, &known);
        assert_eq!(described["operationId"], known.name());
        assert_eq!(described["x-number"], number);
        let named = known.template().split('/').filter_map(|part| part.strip_prefix('{'));
        let named: Vec<&str> = named.filter_map(|part| part.strip_suffix('}')).collect();
        assert_eq!(parameters(&document, &known, "path"), named, "{known:?}");
        let query = known.query().unwrap_or_default();
        let query: Vec<&str> =
            query.split_terminator('&').filter_map(|pair| pair.split('=').next()).collect();
        assert_eq!(parameters(&document, &known, "query"), query, "{known:?}");
    }
}

// REL-3
#[test]
fn the_document_has_the_credential_of_each_operation() {
    let document = document();
    let schemes = &document["components"]["securitySchemes"];
    for name in ["agent", "caller", "mailbox"] {
        assert_eq!(schemes[name]["name"], SIGNATURE);
    }
    assert_eq!(schemes["capability"]["name"], CAPABILITY);
    assert_eq!(members(schemes).len(), 4);
    for (_, _, known) in all() {
        let (name, headers) = match known.credential() {
            Credential::Nothing => (None, vec![]),
            Credential::Agent(_) => (Some("agent"), vec![CONTENT_DIGEST, SIGNATURE_INPUT]),
            Credential::Caller => (Some("caller"), vec![CONTENT_DIGEST, SIGNATURE_INPUT]),
            Credential::Mailbox(_) => (Some("mailbox"), vec![CONTENT_DIGEST, SIGNATURE_INPUT]),
            Credential::Capability(_) => (Some("capability"), vec![MESSAGE_ID]),
        };
        let security = operation(&document, &known)["security"].as_array().expect("a list");
        let names: Vec<&str> = security.iter().flat_map(members).collect();
        assert_eq!(names, name.into_iter().collect::<Vec<_>>(), "{known:?}");
        assert_eq!(parameters(&document, &known, "header"), headers, "{known:?}");
    }
}

// REL-5
#[test]
fn the_document_has_the_body_of_each_operation() {
    let document = document();
    for (_, _, known) in all() {
        let body = operation(&document, &known).get("requestBody");
        assert_eq!(body.is_some(), known.body().is_some(), "{known:?}");
        let (Some(body), Some((media_type, max))) = (body, known.body()) else { continue };
        assert_eq!(members(&body["content"]), BTreeSet::from([media_type]), "{known:?}");
        let content = &body["content"][media_type];
        assert_eq!(content["x-max-length"], max, "{known:?}");
        assert!(resolved(&document, &content["schema"])["type"].is_string());
    }
    let schemas = &document["components"]["schemas"];
    for (pointer, bound) in [
        ("/Published/prefixItems/0/maxLength", limits::MAX_CARD_LEN),
        ("/Published/prefixItems/1/maxLength", limits::MAX_BUNDLE_LEN),
        ("/Publish/prefixItems/0/maxLength", limits::MAX_CARD_LEN),
        ("/Publish/prefixItems/1/maxLength", limits::MAX_BUNDLE_LEN),
        ("/Page/prefixItems/1/maxLength", limits::MAX_PAGE_HEADER_LEN),
        ("/Page/prefixItems/2/maxItems", limits::MAX_PAGE_KEYS),
        ("/Page/prefixItems/2/items/maxLength", limits::MAX_PAGE_KEY_LEN),
        ("/Key/prefixItems/0/maxLength", limits::MAX_PAGE_HEADER_LEN),
        ("/Key/prefixItems/1/maxLength", limits::MAX_PAGE_KEY_LEN),
        ("/Messages/prefixItems/0/maxItems", limits::MAX_FETCH as usize),
        ("/Acks/prefixItems/0/maxItems", limits::MAX_ACKS),
        ("/Revoke/prefixItems/0/maxItems", limits::MAX_REVOKED),
        ("/NewMailbox/prefixItems/4/maximum", limits::MAX_MESSAGES as usize),
        ("/Frame/minLength", FRAME_CLASSES[0]),
        ("/Frame/maxLength", FRAME_CLASSES[3]),
    ] {
        assert_eq!(schemas.pointer(pointer), Some(&Value::from(bound)), "{pointer}");
    }
    let lifetime = schemas.pointer("/NewMailbox/prefixItems/3/maximum");
    assert_eq!(lifetime, Some(&Value::from(limits::MAX_MESSAGE_LIFETIME)));
    let parameters = &document["components"]["parameters"];
    assert_eq!(parameters["After"]["schema"]["maximum"], limits::MAX_NUMBER);
    assert_eq!(parameters["Limit"]["schema"]["maximum"], limits::MAX_FETCH);
    assert_eq!(parameters["Wait"]["schema"]["maximum"], limits::MAX_WAIT);
    assert_eq!(parameters["Did"]["schema"]["maxLength"], 3 * AgentId::MAX_LEN);
}

/// The statuses that an operation answers with when all is well.
fn successes(operation: &Operation) -> &'static [&'static str] {
    match operation {
        Operation::Publish(_) | Operation::CloseMailbox(_) | Operation::Revoke(_) => &["204"],
        Operation::AddPage { .. } | Operation::CreateMailbox(_) => &["200", "201"],
        Operation::Deposit(_) => &["202"],
        Operation::Stream(_) => &["101"],
        Operation::Published(_)
        | Operation::Remaining(_)
        | Operation::Claim(_)
        | Operation::Check(_)
        | Operation::Fetch { .. }
        | Operation::Ack(_) => &["200"],
    }
}

// REL-8
#[test]
fn the_document_has_the_statuses_and_problems_that_there_are() {
    let document = document();
    let statuses: BTreeSet<String> =
        Problem::ALL.iter().map(|problem| problem.status().to_string()).collect();
    let mut seen = BTreeSet::new();
    for (_, _, known) in all() {
        let responses = &operation(&document, &known)["responses"];
        let (good, bad): (BTreeSet<&str>, BTreeSet<&str>) =
            members(responses).into_iter().partition(|status| *status < "400");
        assert_eq!(good, successes(&known).iter().copied().collect(), "{known:?}");
        for status in &bad {
            assert!(statuses.contains(*status), "{known:?} {status}");
            let response = resolved(&document, &responses[*status]);
            assert_eq!(members(&response["content"]), BTreeSet::from([PROBLEM]));
            let waits = response["headers"].get("retry-after").is_some();
            assert_eq!(waits, ["429", "503", "507"].contains(status), "{status}");
        }
        let signed = !matches!(known.credential(), Credential::Nothing | Credential::Capability(_));
        assert_eq!(bad.contains("401"), signed, "{known:?}");
        assert_eq!(bad.contains("415"), known.body().is_some(), "{known:?}");
        assert_eq!(bad.contains("422"), matches!(known, Operation::Deposit(_)), "{known:?}");
        for always in ["400", "404", "405", "408", "413", "421", "500", "503"] {
            assert!(bad.contains(always), "{known:?} {always}");
        }
        seen.extend(bad.into_iter().map(str::to_owned));
    }
    assert_eq!(seen, statuses);

    let problem = &document["components"]["schemas"]["Problem"]["properties"];
    let types = problem["type"]["enum"].as_array().expect("a list");
    let types: BTreeSet<&str> = types.iter().filter_map(Value::as_str).collect();
    let known: BTreeMap<String, Problem> = Problem::ALL
        .map(|known| (format!("{}{}", Problem::TYPE_PREFIX, known.slug()), known))
        .into();
    assert_eq!(types, known.keys().map(String::as_str).collect());
}

#[test]
fn no_reference_leads_nowhere_and_nothing_is_left_over() {
    fn walk<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    walk(&document, &mut found);
    for reference in &found {
        resolved(&document, &serde_json::json!({ "$ref": reference }));
    }
    for part in ["parameters", "responses", "schemas"] {
        for name in members(&document["components"][part]) {
            let reference = format!("#/components/{part}/{name}");
            assert!(found.contains(reference.as_str()), "{reference} is used nowhere");
        }
    }
}
