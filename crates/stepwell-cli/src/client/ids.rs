//! Ids by their last digits, because the first ones are a time that many share.

use serde::Deserialize;

use super::Client;
use crate::failure::{FailedTo, Failure, code};

/// A list in which ids are looked up.
pub(crate) struct Ids {
    path: &'static str,
    noun: &'static str,
}

pub(crate) const JOBS: Ids = Ids { path: "/api/v1/jobs", noun: "job" };
pub(crate) const BULK: Ids = Ids { path: "/api/v1/bulk-operations", noun: "bulk operation" };
pub(crate) const DELIVERIES: Ids = Ids { path: "/api/v1/deliveries", noun: "delivery" };
pub(crate) const WORKERS: Ids = Ids { path: "/api/v1/workers", noun: "worker" };
pub(crate) const WEBHOOKS: Ids = Ids { path: "/api/v1/webhooks", noun: "webhook" };

/// Digits that are enough to look for.
const DIGITS_MIN: usize = 6;
/// How many of the newest are looked at.
const LOOKED_AT_MAX: usize = 2_000;
/// Digits of a whole UUID.
const DIGITS: usize = 32;

#[derive(Deserialize)]
struct Item {
    id: String,
}

impl Client {
    /// The id that ends in these digits.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub(crate) async fn id(&self, ids: &Ids, text: &str) -> Result<String, Failure> {
        let Ids { path, noun } = ids;
        let what = format!("find the {noun} {text:?}");
        let given = text.trim_start_matches('…');
        let digits = bare(given);
        if digits.len() == DIGITS || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            // Whole, or not an id of this form at all: the server knows.
            return Ok(super::segment(given));
        }
        if digits.len() < DIGITS_MIN {
            let why =
                format!("that is too short; give its id, or the last {DIGITS_MIN} digits of it or more");
            return Err(Failure::with_code(code::USAGE, what, why));
        }
        let listed = self.list(&what, path, &[], LOOKED_AT_MAX, None).await?;
        let mut found = Vec::new();
        for item in &listed.items {
            let Item { id } = serde_json::from_str(item.get()).failed_to(&what)?;
            if bare(&id).ends_with(&digits) {
                found.push(id);
            }
        }
        match found.as_slice() {
            [] => {
                let why = match listed.next {
                    Some(_) => format!("none of the newest {LOOKED_AT_MAX} ends in that; give the whole id"),
                    None => "there is none that ends in that".to_owned(),
                };
                Err(Failure::with_code(code::NOT_FOUND, what, why))
            }
            [id] => Ok(id.clone()),
            [first, second, ..] => {
                let why = format!("both {first} and {second} end in that; give more digits");
                Err(Failure::with_code(code::USAGE, what, why))
            }
        }
    }
}

fn bare(id: &str) -> String {
    id.chars().filter(|letter| *letter != '-').map(|letter| letter.to_ascii_lowercase()).collect()
}
