//! Who answers, and whether its clock is right.

use std::time::Duration;

use serde_json::Value;
use stepwell::{Clock, Timestamp, wire};

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

/// What the server tells of itself and its store, and between which two times of this machine it did.
pub(super) struct Told {
    pub(super) health: Value,
    before: Timestamp,
    after: Timestamp,
}

/// Asks.
pub(super) async fn health(client: &Client) -> Result<Told, Failure> {
    let clock = Clock::system();
    let before = clock.wall();
    let health = client.get("ask how the server is doing", "/api/v1/health").await?.value()?;
    Ok(Told { health, before, after: clock.wall() })
}

/// How far the clocks are apart: that of this machine, that of the server's, and that of the store, which counts.
pub(super) fn clocks(told: &Told) -> Finding {
    let time = |name: &str| wire::parse_rfc3339(field(&told.health, name));
    let (Ok(store), Ok(machine)) = (time("at"), time("machineAt")) else {
        return Finding::warning(
            "clock",
            "the time of the store cannot be read",
            "use the same version for both",
        );
    };
    // It was read at some time in between.
    let here = told.before.since(store).max(store.since(told.after));
    let there = machine.since(store).max(store.since(machine));
    let text = format!(
        "{} between this machine and the store, {} between the server and the store",
        span(here),
        span(there)
    );
    let fix = "set the clocks, for example with NTP";
    match here.max(there) {
        skew if skew > SKEW_MAX => Finding::problem("clock", text, fix),
        skew if skew > SKEW_NOTICED => Finding::warning("clock", text, fix),
        _ => Finding::ok("clock", text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doctor::finding::Status;

    #[test]
    fn clocks_that_are_apart_are_told_whichever_is_wrong() {
        let status = |store: &str, machine: &str| {
            let at = |second: &str| wire::parse_rfc3339(&format!("2027-03-01T09:00:{second}Z")).unwrap();
            let health = json!({ "at": store, "machineAt": machine });
            clocks(&Told { health, before: at("00"), after: at("01") }).status
        };
        let (right, fast) = ("2027-03-01T09:00:00.500000Z", "2027-03-01T09:00:04Z");
        assert_eq!(status(right, right), Status::Ok);
        assert_eq!(status(right, fast), Status::Warning);
        assert_eq!(status(fast, right), Status::Warning);
        assert_eq!(status("2027-03-01T08:58:00Z", right), Status::Problem);
        assert_eq!(status(right, "2027-03-01T09:02:00Z"), Status::Problem);
    }
}
