//! What somebody needs who helps from afar: what was found, and how the server and its queues are. Jobs, their payloads
//! and their errors are not in it, nor are secrets, nor where webhooks go beyond the name of the host.

use std::{fs, io, path::Path};

use serde_json::{Value, json};

use super::finding::Finding;
use crate::{
    client::{Client, Told},
    failure::{FailedTo, Failure},
};

/// What is asked of the server, and the file that it goes to.
const ASKED: &[(&str, &str)] = &[
    ("version.json", "/api/v1/version"),
    ("health.json", "/api/v1/health"),
    ("queues.json", "/api/v1/queues"),
    ("kinds.json", "/api/v1/kinds"),
    ("workers.json", "/api/v1/workers"),
    ("stats.json", "/api/v1/stats"),
    ("webhooks.json", "/api/v1/webhooks"),
];
/// What may not leave the house, wherever it stands.
const SECRETS: &[&str] = &["secret", "token", "password", "authorization", "headers"];
const REDACTED: &str = "(redacted)";

/// Writes a directory, which only its owner can read.
///
/// # Errors
/// If it is there already, or cannot be written. What cannot be asked for stands in its file as an error.
pub(super) async fn write(
    client: &Client,
    to: &Path,
    found: &[Finding],
    settings: &[Told],
) -> Result<(), Failure> {
    let what = format!("write what was found to {}", to.display());
    let mut directory = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut directory, 0o700);
    directory.create(to).map_err(|error| already(&what, error))?;
    let put = |name: &str, value: Value| {
        fs::write(to.join(name), format!("{:#}\n", redacted(value))).failed_to(&what)
    };
    put("findings.json", serde_json::to_value(found).failed_to(&what)?)?;
    let setting = |(name, value, origin): &Told| json!({ "name": name, "value": value, "origin": origin });
    put("settings.json", settings.iter().map(setting).collect())?;
    for (name, path) in ASKED {
        let value = match client.get("ask", path).await.and_then(|answer| answer.value()) {
            Ok(value) => value,
            Err(failure) => json!({ "error": failure.to_string() }),
        };
        put(name, value)?;
    }
    Ok(())
}

fn already(what: &str, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::to(what, "it is there already; name another directory"),
        _ => Failure::to(what, error),
    }
}

/// The same without what is secret.
fn redacted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let member = |(name, value): (String, Value)| {
                let lower = name.to_lowercase();
                let is_secret = SECRETS.iter().any(|secret| lower.contains(secret)) && !value.is_null();
                let value = if is_secret { REDACTED.into() } else { redacted(value) };
                (name, value)
            };
            members.into_iter().map(member).collect()
        }
        Value::Array(items) => items.into_iter().map(redacted).collect(),
        Value::String(text) => without_paths(&text).into(),
        other => other,
    }
}

/// The same with nothing of an address but what it is of and which host it names: paths and queries of webhooks are
/// often as good as a password, and so is what stands before a host.
fn without_paths(text: &str) -> String {
    let word = |word: &str| match word.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() => {
            let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = authority.rsplit('@').next().unwrap_or_default();
            let more = if rest.len() > authority.len() + 1 { "/…" } else { "" };
            format!("{scheme}://{host}{more}")
        }
        _ => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_the_ways_to_receivers_do_not_leave_the_house() {
        let told = json!({
            "url": "https://me:pw@hooks.example:8443/services/T0/B1/xyz?key=abc",
            "headers": ["authorization"], "oldSecret": "whsec_x", "none": { "token": null },
            "list": [{ "text": "http://a.example/p has been failing: could not connect to http://a.example" }],
        });
        let left = redacted(told).to_string();
        for secret in ["pw", "xyz", "abc", "whsec", "/p "] {
            assert!(!left.contains(secret), "{secret}: {left}");
        }
        assert!(left.contains("https://hooks.example:8443/…") && left.contains("failing"), "{left}");
    }
}
