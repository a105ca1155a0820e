//! Who answers, and whether its clock is right.

use std::time::Duration;

use stepwell::{Clock, wire};

use super::finding::Finding;
use crate::{
    client::Client,
    failure::Failure,
    output::{field, span, text_of},
};

/// A skew that is worth to be told.
const SKEW_NOTICED: Duration = Duration::from_secs(2);
/// A skew with which due times are wrong, and signatures of webhooks refused.
const SKEW_MAX: Duration = Duration::from_mins(1);

/// Who answers.
pub(super) async fn version(client: &Client) -> Result<Finding, Failure> {
    let told = client.get("read the version", "/api/v1/version").await?.value()?;
    let (theirs, ours) = (field(&told, "version"), env!("CARGO_PKG_VERSION"));
    let text = format!("{}, {}, version {theirs}", field(&told, "store"), text_of(&told, "durability"));
    Ok(match theirs == ours {
        true => Finding::ok("store", text),
        false => Finding::warning(
            "store",
            format!("{text}; this program is version {ours}"),
            "use the same version for both",
        ),
    })
}

/// How far its clock is from this machine's.
pub(super) async fn clock(client: &Client) -> Result<Finding, Failure> {
    let clock = Clock::system();
    let before = clock.wall();
    let told = client.get("read the counters", "/api/v1/stats").await?.value()?;
    let after = clock.wall();
    let Ok(at) = wire::parse_rfc3339(field(&told, "at")) else {
        return Ok(Finding::warning(
            "clock",
            "the time of the store cannot be read",
            "use the same version for both",
        ));
    };
    // It was read at some time in between.
    let skew = before.since(at).max(at.since(after));
    let text = format!("{} between this machine and the store", span(skew));
    let fix = "set the clocks, for example with NTP";
    Ok(match skew {
        skew if skew > SKEW_MAX => Finding::problem("clock", text, fix),
        skew if skew > SKEW_NOTICED => Finding::warning("clock", text, fix),
        _ => Finding::ok("clock", text),
    })
}
