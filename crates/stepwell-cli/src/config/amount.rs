//! Spans and sizes as people write them: `30s`, `512MB`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// A span of time: `250ms`, `30s`, `5m`, `12h`, `2d`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        let ms = amount(&String::deserialize(deserializer)?, &units);
        ms.map(|ms| Self(Duration::from_millis(ms))).ok_or_else(|| {
            D::Error::custom(
                "a span of time is a whole number and a unit: \"250ms\", \"30s\", \"5m\", \"12h\", \"2d\"",
            )
        })
    }
}

/// A number of bytes: `64KB`, `512MB`, `2GB`, in steps of 1,024.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size(pub(super) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let units = [("KB", 1 << 10), ("MB", 1 << 20), ("GB", 1 << 30)];
        amount(&String::deserialize(deserializer)?, &units).map(Self).ok_or_else(|| {
            D::Error::custom("a size is a whole number and a unit: \"64KB\", \"512MB\", \"2GB\"")
        })
    }
}

fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_a_unit() {
        let ms = [("ms", 1), ("s", 1_000), ("m", 60_000)];
        for (text, expected) in [("250ms", 250), ("30s", 30_000), ("5 m", 300_000)] {
            assert_eq!(amount(text, &ms), Some(expected), "{text}");
        }
        for text in
            ["", "30", "s", "-1s", "1.5s", "1w", "30s ", "99999999999999999999s", "9999999999999999999m"]
        {
            assert_eq!(amount(text, &ms), None, "{text}");
        }
    }
}
