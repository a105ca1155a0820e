//! Times as people say them.

use std::time::Duration;

use stepwell::{Clock, Timestamp, wire};

/// Now, to say how long ago something was.
#[derive(Clone, Copy)]
pub(crate) struct Ago {
    now: Timestamp,
}

impl Ago {
    pub(crate) fn now() -> Self {
        Self::at(Clock::system().wall())
    }
    /// As it was said at a time.
    pub(crate) fn at(now: Timestamp) -> Self {
        Self { now }
    }
    /// `3m ago`, or `in 3m`; empty if it is no time.
    pub(crate) fn of(self, at: &str) -> String {
        let Ok(at) = wire::parse_rfc3339(at) else { return String::new() };
        match at > self.now {
            true => format!("in {}", span(at.since(self.now))),
            false => format!("{} ago", span(self.now.since(at))),
        }
    }
}

/// A span by its largest unit, and by two where one says little.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{}ms", span.as_millis()),
        1..10 => format!("{:.1}s", span.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let said = |ms| span(Duration::from_millis(ms));
        assert_eq!([0, 999, 1_000, 12_000, 61_000].map(said), ["0ms", "999ms", "1.0s", "12s", "1m01s"]);
        assert_eq!([7_260_000, 180_000_000].map(said), ["2h01m", "2d02h"]);
    }
}
