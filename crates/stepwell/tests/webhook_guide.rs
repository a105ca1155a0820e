//! The verifiers of `docs/webhooks.md`, run by their own languages on a delivery that was really sent.
//!
//! The one in Rust is compiled and run with the guides.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(feature = "webhooks")]

mod sink;
mod support;

use std::{path::Path, process::Command, time::Duration};

use sink::{Received, Sink, in_memory};
use stepwell::webhook::NewEndpoint;
use support::soon;

const GUIDE: &str = include_str!("../../../docs/webhooks.md");

/// What is appended to a verifier: it says which of the cases it accepts.
struct Language {
    program: &'static str,
    fence: &'static str,
    file: &'static str,
    driver: &'static str,
}

const PYTHON: Language = Language {
    program: "python3",
    fence: "```python\n",
    file: "verify.py",
    driver: "
import json, sys
for case in json.load(open(sys.argv[1])):
    try:
        verify(case['secret'], case['headers'], case['body'].encode())
        print('accepted')
    except ValueError as error:
        print('refused:', error)
",
};
const NODE: Language = Language {
    program: "node",
    fence: "```js\n",
    file: "verify.mjs",
    driver: "
import { readFileSync } from 'node:fs';
for (const { secret, headers, body } of JSON.parse(readFileSync(process.argv[2]))) {
  try {
    verify(secret, headers, Buffer.from(body));
    console.log('accepted');
  } catch (error) {
    console.log('refused:', error.message);
  }
}
",
};

impl Language {
    fn snippet(&self) -> &'static str {
        let mut found = GUIDE.split(self.fence).skip(1);
        let snippet = found.next().unwrap().split("```").next().unwrap();
        assert!(found.next().is_none(), "the guide has one verifier in each language");
        snippet
    }
    /// What the verifier says to each case; none if this machine does not have the language.
    fn judge(&self, dir: &Path, cases: &serde_json::Value) -> Option<Vec<String>> {
        let (program, given) = (dir.join(self.file), dir.join("cases.json"));
        std::fs::write(&program, format!("{}\n{}", self.snippet(), self.driver)).unwrap();
        std::fs::write(&given, cases.to_string()).unwrap();
        let output = match Command::new(self.program).arg(program).arg(given).output() {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("{} is not installed: its verifier was not run", self.program);
                return None;
            }
            Err(error) => panic!("{}: {error}", self.program),
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        Some(text.lines().map(str::to_owned).collect())
    }
}

/// A delivery while a secret is replaced, and the new and the old secret.
async fn delivered() -> (Received, String, String) {
    let sink = Sink::answering(204).await;
    let stepwell = in_memory().open().await.unwrap();
    let workers = stepwell.start();
    let webhooks = stepwell.webhooks();
    let made = webhooks.create(NewEndpoint::new(sink.url("/hook"))).await.unwrap();
    let rotated = webhooks.rotate_secret(&made.endpoint.id, None, None).await.unwrap();
    webhooks.test(&made.endpoint.id).await.unwrap();
    let received = sink.reaches(1).await.remove(0);
    soon("the shutdown ends", workers.shutdown(Duration::from_secs(5))).await.unwrap();
    let reveal = |secret: Option<stepwell::webhook::Secret>| secret.unwrap().reveal().to_owned();
    (received, reveal(rotated.secret), reveal(made.secret))
}

#[tokio::test]
async fn the_verifiers_accept_what_is_sent_and_nothing_else() {
    let (received, new, old) = delivered().await;
    let case = |secret: &str, changes: &[(&str, &str)], body: &str| {
        let mut headers = received.headers.clone();
        headers.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        serde_json::json!({ "secret": secret, "headers": headers, "body": body })
    };
    let body = received.body.as_str();
    let unsigned = received.header("webhook-signature").replace("v1,", "v2,");
    let cases = serde_json::json!([
        case(&new, &[], body),
        case(&old, &[], body),
        case("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", &[], body),
        case(&new, &[], &format!("{body} ")),
        case(&new, &[("webhook-id", "another")], body),
        case(&new, &[("webhook-timestamp", "1614265330")], body),
        case(&new, &[("webhook-signature", &unsigned)], body),
        case(&new, &[("webhook-signature", "")], body),
        case(&new, &[("webhook-signature", "v1, v1 , v1,AAAA")], body),
    ]);
    let dir = tempfile::tempdir().unwrap();
    for language in [PYTHON, NODE] {
        let Some(answers) = language.judge(dir.path(), &cases) else { continue };
        let short: Vec<&str> = answers.iter().map(|answer| answer.split(':').next().unwrap()).collect();
        let (yes, no) = ("accepted", "refused");
        assert_eq!(short, [yes, yes, no, no, no, no, no, no, no], "{}: {answers:#?}", language.program);
        assert!(answers[5].contains("too old"), "{}: {answers:#?}", language.program);
    }
}
