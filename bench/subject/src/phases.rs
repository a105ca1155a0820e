//! The phases of a job as they are packed into its row.
use std::fmt::Write;

/// What each phase in turn is called; a job has as many of them as it is asked to have.
const NAMES: [&str; 3] = ["read", "hash", "store"];

/// A JSON object of `name: [state, tries, started, finished, result]`, of which the first `done` phases are over and,
/// if the job `runs`, the next one has begun.
#[must_use]
pub fn packed(phases: u64, done: u64, runs: bool, now_us: i64) -> String {
    let mut json = String::with_capacity(64 * phases as usize);
    for phase in 0..phases {
        let name = NAMES[phase as usize % NAMES.len()];
        let separator = if phase == 0 { '{' } else { ',' };
        let state = match phase {
            _ if phase < done => format_args!("\"{name}\":[2,1,{now_us},{now_us},null]"),
            _ if phase == done && runs => format_args!("\"{name}\":[1,1,{now_us}]"),
            _ => format_args!("\"{name}\":[0]"),
        };
        // Writing to a string cannot fail.
        let _ = write!(json, "{separator}{state}");
    }
    json.push('}');
    json
}

#[cfg(test)]
mod tests {
    use super::packed;

    #[test]
    fn each_phase_shows_its_state() {
        assert_eq!(packed(1, 0, false, 5), r#"{"read":[0]}"#);
        assert_eq!(packed(3, 1, true, 5), r#"{"read":[2,1,5,5,null],"hash":[1,1,5],"store":[0]}"#);
        assert_eq!(packed(1, 1, false, 5), r#"{"read":[2,1,5,5,null]}"#);
    }
}
