//! What holds for everything that a worker asks and says.

use std::{collections::HashMap, time::Duration};

use super::{call::Call, exchange::Exchange, journal::Journal, rule::Rule, stage::Breach};

/// What was on its way already does not count.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// What is wrong with what was asked and said.
pub(super) fn check(journal: &Journal, token: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut broken = |rule, seen| breaches.push(Breach { rule, seen });
    let authorization = format!("Bearer {token}");
    for exchange in journal.iter() {
        let line = &exchange.line;
        if exchange.authorization.as_deref() != Some(&authorization) {
            broken(Rule::ShowsItsToken, format!("{line} without the token"));
        }
        if exchange.garbled {
            broken(Rule::ShowsItsToken, format!("{line} with a body that is no JSON"));
        }
        let is_json =
            exchange.content_type.as_deref().is_some_and(|kind| kind.starts_with("application/json"));
        if !exchange.body.is_null() && !is_json {
            broken(Rule::ShowsItsToken, format!("{line} with the content type {:?}", exchange.content_type));
        }
        if let Some((rule, seen)) = misfit(exchange) {
            broken(rule, seen);
        }
    }
    claims(journal, &mut broken);
    ends(journal, &mut broken);
    breaches.dedup();
    breaches
}

/// What the server could not make sense of.
fn misfit(exchange: &Exchange) -> Option<(Rule, String)> {
    let status = exchange.status();
    let answer = exchange.told().filter(|_| matches!(status, 400 | 403 | 405 | 413 | 415 | 422))?;
    let rule = match exchange.call {
        Call::Register => Rule::Registers,
        Call::Heartbeat => Rule::NamesItsLeases,
        Call::Leave => Rule::Leaves,
        Call::Claim => Rule::WaitsInTheClaim,
        Call::Progress | Call::Logs => Rule::TellsProgress,
        Call::Checkpoint => Rule::SavesCheckpoints,
        // Its size is what it is refused for, on purpose.
        Call::Complete => return None,
        Call::Fail => Rule::TellsFailures,
        Call::Snooze => Rule::Snoozes,
        Call::Release => Rule::GivesBack,
        Call::Other => Rule::EndsOnce,
    };
    Some((rule, format!("{} was refused with {status}: {}", exchange.line, answer.body["detail"])))
}

/// Each claim has a key, and only the same claim has the same one.
fn claims(journal: &Journal, broken: &mut impl FnMut(Rule, String)) {
    let mut keys: HashMap<&str, &Exchange> = HashMap::new();
    for claim in journal.calls(Call::Claim) {
        let Some(key) = claim.key.as_deref().filter(|key| !key.is_empty()) else {
            broken(Rule::NamesItsClaims, "a claim without an `Idempotency-Key`".to_owned());
            continue;
        };
        let Some(before) = keys.insert(key, claim) else { continue };
        if before.body != claim.body {
            broken(Rule::NamesItsClaims, format!("another claim under the same key: {}", claim.body));
        } else if before.granted().is_some_and(|answer| answer.at + ON_ITS_WAY < claim.asked) {
            broken(Rule::NamesItsClaims, "a new claim under the key of one that was answered".to_owned());
        }
    }
}

/// What was ended is not ended again, and what was refused is not spoken of any more.
fn ends(journal: &Journal, broken: &mut impl FnMut(Rule, String)) {
    for handed in journal.handed() {
        let mut ended: Option<&Exchange> = None;
        let mut refused: Option<Duration> = None;
        for report in journal.reports(&handed.lease) {
            if refused.is_some_and(|at| at + ON_ITS_WAY < report.asked) {
                broken(Rule::StopsAtARefusal, format!("{} after 409 under the same lease", report.line));
            }
            let after =
                ended.filter(|end| end.told().is_some_and(|told| told.at + ON_ITS_WAY < report.asked));
            if let Some(end) = after {
                broken(Rule::EndsOnce, format!("{} after {} under the same lease", report.line, end.line));
            }
            if report.is_refused("lease-lost") {
                refused = refused.or_else(|| report.told().map(|told| told.at));
            }
            if report.call.is_end() && report.granted().is_some() {
                ended = ended.or(Some(report));
            }
        }
    }
}
