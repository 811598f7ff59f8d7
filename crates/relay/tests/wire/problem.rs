use sealwire_relay::{Problem, wire};
use serde_json::Value;

// REL-8
#[test]
fn a_problem_is_read_from_the_body_that_it_has() {
    for problem in Problem::ALL {
        let body = problem.to_json();
        let json: Value = serde_json::from_str(&body).expect("JSON");
        let members = json.as_object().expect("an object");
        assert_eq!(members.len(), 3, "{body}");
        assert_eq!(json["type"], format!("{}{}", Problem::TYPE_PREFIX, problem.slug()));
        assert_eq!(
            (json["title"].as_str(), json["status"].as_u64()),
            (Some(problem.title()), Some(problem.status().into()))
        );
        assert_eq!(Problem::from_json(body.as_bytes()), Some(problem));
        // RFC 9457, section 3.2: members that are not known are ignored; so are spaces.
        let body = serde_json::to_string_pretty(&json).expect("JSON");
        let body = body.replacen('{', "{\"instance\": \"/v1\",", 1);
        assert_eq!(Problem::from_json(body.as_bytes()), Some(problem));
        assert!((400..600).contains(&problem.status()));
        assert_eq!(Problem::from_slug(problem.slug()), Some(problem));
    }
    assert_eq!(wire::PROBLEM, "application/problem+json");
}

// attack T32: what stands where a problem should.
#[test]
fn another_body_is_no_problem() {
    let long =
        format!("{{\"detail\":\"{}\",\"type\":\"urn:sealwire:problem:rate\"}}", "a".repeat(5000));
    for body in [
        "",
        "{}",
        "not JSON",
        "urn:sealwire:problem:rate",
        "{\"type\":\"about:blank\"}",
        "{\"type\":\"urn:sealwire:problem:\"}",
        "{\"type\":\"urn:sealwire:problem:rates\"}",
        "{\"type\":\"urn:sealwire:problem:Rate\"}",
        "{\"type\":\"urn:sealwire:problem:rate",
        "{\"type\":\"https://example.com/urn:sealwire:problem:rate\"}",
        &long,
    ] {
        assert_eq!(Problem::from_json(body.as_bytes()), None, "{body}");
    }
    assert_eq!(Problem::from_json(b"\"urn:sealwire:problem:rate\xFF\""), None, "not UTF-8");
}

#[test]
fn no_two_problems_share_their_type() {
    for (index, problem) in Problem::ALL.into_iter().enumerate() {
        assert!(!Problem::ALL[..index].iter().any(|other| other.slug() == problem.slug()));
    }
    assert_eq!(Problem::from_slug("unheard-of"), None);
}

// REL-8
#[test]
fn a_problem_says_whether_to_try_again() {
    let again = ["too-slow", "rate", "internal", "unavailable", "mailbox-full", "sender-full"];
    for problem in Problem::ALL {
        assert_eq!(problem.is_retryable(), again.contains(&problem.slug()), "{}", problem.slug());
        assert_eq!(problem.to_string(), problem.title());
    }
}
