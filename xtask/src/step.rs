//! Steps with a name and a time, so that a slow build shows where it is slow.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::error::Error;

/// The steps run so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<(&'static str, Duration, bool)>,
}

impl Steps {
    /// Runs one step and keeps its time, also when it fails.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = work();
        self.done.push((name, start.elapsed(), outcome.is_ok()));
        outcome
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, time, passed) in &self.done {
            let verdict = if *passed { "ok" } else { "failed" };
            writeln!(f, "  {name:10} {:>8.1} s  {verdict}", time.as_secs_f64())?;
        }
        let total: Duration = self.done.iter().map(|(_, time, _)| *time).sum();
        write!(f, "  {:10} {:>8.1} s", "total", total.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_listed_with_its_time() {
        let mut steps = Steps::default();
        steps.run("good", || Ok(())).unwrap();
        steps.run("bad", || Err(Error::failed("no"))).unwrap_err();
        let table = steps.to_string();
        assert!(table.contains("good") && table.contains("ok"), "{table}");
        assert!(table.contains("bad") && table.contains("failed"), "{table}");
        assert!(table.lines().last().unwrap().contains("total"), "{table}");
    }
}
