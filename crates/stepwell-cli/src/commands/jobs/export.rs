//! Jobs with all that they hold, one a line.

use std::{cell::RefCell, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::list::Chosen;
use crate::{
    client::{Client, Query, Session, segment},
    failure::{FailedTo, Failure},
    output::beside,
};

/// Jobs that are asked for at once.
const PAGE: usize = 50;

#[derive(clap::Args)]
pub(super) struct Export {
    #[command(flatten)]
    chosen: Chosen,
    /// How many at most; all of them unless set.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Goes on after an earlier export that was cut off, with what that said at its end.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// Where an export stands. However it ends early, it says where to go on.
struct Place(RefCell<Option<String>>);

impl Place {
    fn set(&self, cursor: Option<String>) {
        *self.0.borrow_mut() = cursor;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(cursor) = self.0.borrow().as_deref() {
            beside(format_args!("stepwell: there may be more: the same with --cursor {cursor} goes on"));
        }
    }
}

pub(super) async fn export(session: &Session, export: &Export) -> Result<u8, Failure> {
    let pairs = export.chosen.pairs();
    let pairs: Query<'_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
    let (what, client, out) = ("export the jobs", &session.client, &session.out);
    let (mut cursor, mut left) = (export.cursor.clone(), export.limit);
    let (place, mut written) = (Place(RefCell::default()), 0_u64);
    while left != Some(0) {
        let limit = left.map_or(PAGE, |left| PAGE.min(usize::try_from(left).unwrap_or(PAGE)));
        // No more than one page, so that each is written before the next one is asked for.
        let page = client.page(what, "/api/v1/jobs/export", &pairs, limit, cursor.as_deref()).await?;
        let mut lines = String::new();
        for job in &page.items {
            lines.push_str(&whole(client, what, job).await?);
            lines.push('\n');
        }
        out.write(&lines)?;
        let n = page.items.len() as u64;
        (written, left) = (written + n, left.map(|left| left.saturating_sub(n)));
        cursor = page.next;
        place.set(cursor.clone());
        if cursor.is_none() {
            break;
        }
    }
    out.say(&format!("jobs written: {written}"));
    Ok(0)
}

/// What an exported job leaves out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeftOut {
    id: String,
    #[serde(default)]
    results_left_out: Vec<String>,
}

/// A job as it was written, with the results that were too large for the page.
async fn whole(client: &Client, what: &str, job: &RawValue) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Phase {
        result: Option<Box<RawValue>>,
    }
    let LeftOut { id, results_left_out } = serde_json::from_str(job.get()).failed_to(what)?;
    if results_left_out.is_empty() {
        return Ok(job.get().to_owned());
    }
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(job.get()).failed_to(what)?;
    members.remove("resultsLeftOut");
    let mut results: BTreeMap<String, Box<RawValue>> = match members.get("results") {
        Some(results) => serde_json::from_str(results.get()).failed_to(what)?,
        None => BTreeMap::new(),
    };
    for name in results_left_out {
        let path = format!("/api/v1/jobs/{}/phases/{}", segment(&id), segment(&name));
        let answer = client.get(what, &path).await?;
        let Phase { result } = serde_json::from_str(answer.text()).failed_to(what)?;
        results.extend(result.map(|result| (name, result)));
    }
    members.insert("results".to_owned(), serde_json::value::to_raw_value(&results).failed_to(what)?);
    serde_json::to_string(&members).failed_to(what)
}
