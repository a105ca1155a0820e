//! Spans of time on the command line: `90s`, `15m`, `12h`, `30d`.

use std::time::Duration;

/// Reads a span.
///
/// # Errors
/// How it is written.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || "it is a number and a unit: 90s, 15m, 12h, 30d".to_owned();
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let n: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    n.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit() {
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("30d"), Ok(Duration::from_hours(720)));
        for text in ["", "s", "10", "-1s", "1w", "1é", "99999999999999999999d", "9999999999999999999d"] {
            parse(text).unwrap_err();
        }
    }
}
