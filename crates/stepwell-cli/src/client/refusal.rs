//! What was refused, in words and as an exit code.

use http::{Method, StatusCode};
use serde::Deserialize;

use super::Client;
use crate::failure::{Failure, code};

/// As much of `application/problem+json` as is told.
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    pointer: String,
    detail: String,
}

/// What to do about it is on the server's own page for the code.
pub(super) async fn read(client: &Client, what: &str, status: StatusCode, text: &str) -> Failure {
    let Ok(problem) = serde_json::from_str::<Problem>(text) else {
        let why = format!("the answer is {status} and not from Stepwell; is the address right?");
        return Failure::with_code(code::UNREACHABLE, what, why);
    };
    let mut failure =
        Failure::with_code(exit_code(status), what, format!("{} ({})", problem.detail, problem.code));
    for fault in problem.errors.iter().filter(|_| problem.errors.len() > 1) {
        failure = failure.and(format!("{} {}", fault.pointer, fault.detail));
    }
    match help(client, &problem.code).await {
        Some(help) => failure.and(help),
        None => failure,
    }
}

fn exit_code(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => code::USAGE,
        401 | 403 => code::AUTH,
        404 | 410 => code::NOT_FOUND,
        409 | 412 | 422 => code::CONFLICT,
        421 | 502..=504 => code::UNREACHABLE,
        _ => code::FAILURE,
    }
}

/// The last paragraph of the page. Without it the failure is told all the same.
async fn help(client: &Client, code: &str) -> Option<String> {
    use http_body_util::BodyExt;

    let path = format!("/problems/{}", super::segment(code));
    let response = client.send("", Method::GET, &path, &[], bytes::Bytes::new()).await.ok()?;
    let status = response.status();
    let bytes = response.into_body().collect().await.ok()?.to_bytes();
    let text = std::str::from_utf8(&bytes).ok()?;
    let (_, help) = text.split_once("\n\n").filter(|_| status.is_success())?;
    // One that begins with a member of the answer explains what was told already.
    (!help.starts_with('`')).then(|| help.trim().replace('\n', " "))
}
