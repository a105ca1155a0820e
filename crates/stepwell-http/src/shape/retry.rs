//! When a phase runs again that fails, as workers say it.

use serde::Deserialize;
use stepwell::Retry;
use utoipa::ToSchema;

use super::millis;
use crate::front::Problem;

/// Tries of a phase that says nothing else.
const ATTEMPTS: u32 = 5;

/// How often a phase is tried, and how long it waits in between.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RetryPolicy {
    /// How many tries there are in all: 5 unless set, or one more than there are delays.
    #[schema(minimum = 1)]
    attempts: Option<u32>,
    /// The longest that the first pause may be: a second unless set. It doubles with each further one.
    #[schema(maximum = 3_153_600_000_000_i64)]
    first_ms: Option<u64>,
    /// The longest that any pause may be: an hour unless set.
    #[schema(maximum = 3_153_600_000_000_i64)]
    longest_ms: Option<u64>,
    /// Exactly these pauses, the last one repeated, in place of those.
    #[schema(max_items = 100)]
    delays_ms: Option<Vec<u64>>,
}

/// Pauses in one list.
const DELAYS_MAX: usize = 100;

impl RetryPolicy {
    pub(crate) fn policy(self) -> Result<Retry, Problem> {
        const POINTER: &str = "#/kinds/phases/retry";
        let Self { attempts, first_ms, longest_ms, delays_ms } = self;
        let wrong = |problem: &str| Err(Problem::of(POINTER, problem));
        if attempts == Some(0) {
            return wrong("`attempts` is 0; 1 is one try, and no more");
        }
        let span = |ms| millis(POINTER, ms);
        let Some(delays_ms) = delays_ms else {
            let mut retry = Retry::exponential(attempts.unwrap_or(ATTEMPTS));
            if let Some(ms) = first_ms {
                retry = retry.starting_at(span(ms)?);
            }
            if let Some(ms) = longest_ms {
                retry = retry.capped_at(span(ms)?);
            }
            return Ok(retry);
        };
        if first_ms.is_some() || longest_ms.is_some() {
            return wrong(
                "`delaysMs` says how long each pause is; leave out `firstMs` and `longestMs`, or it",
            );
        }
        if delays_ms.len() > DELAYS_MAX {
            return wrong("`delaysMs` has more than 100 pauses; the last one is repeated");
        }
        let delays = delays_ms.into_iter().map(span).collect::<Result<Vec<_>, _>>()?;
        let retry = Retry::delays(delays);
        Ok(match attempts {
            Some(attempts) => retry.in_all(attempts),
            None => retry,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn policy(json: &str) -> Result<Retry, Problem> {
        serde_json::from_str::<RetryPolicy>(json).unwrap().policy()
    }

    #[test]
    fn what_is_left_out_is_as_everywhere() {
        assert_eq!(policy("{}").unwrap(), Retry::default());
        let doubling = policy(r#"{"attempts":3,"firstMs":2000,"longestMs":5000}"#).unwrap();
        let [first, longest] = [2, 5].map(Duration::from_secs);
        assert_eq!(doubling, Retry::exponential(3).starting_at(first).capped_at(longest));
        assert_eq!(policy(r#"{"delaysMs":[2000]}"#).unwrap(), Retry::delays([first]));
        assert_eq!(policy(r#"{"delaysMs":[2000],"attempts":9}"#).unwrap(), Retry::fixed(9, first));
    }

    #[test]
    fn what_cannot_be_says_so() {
        for wrong in
            [r#"{"attempts":0}"#, r#"{"delaysMs":[1],"firstMs":1}"#, r#"{"firstMs":9999999999999999}"#]
        {
            policy(wrong).unwrap_err();
        }
    }
}
