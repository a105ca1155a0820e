//! Sizes as people say them.

/// A size in the unit that suits it.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut size = n as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, next);
    }
    match unit {
        "bytes" => format!("{n} bytes"),
        unit => format!("{size:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_that_suits_them() {
        let said = [0, 1_023, 1_024, 3 << 20, (1 << 30) + (1 << 29)].map(bytes);
        assert_eq!(said, ["0 bytes", "1023 bytes", "1.0 KiB", "3.0 MiB", "1.5 GiB"]);
    }
}
