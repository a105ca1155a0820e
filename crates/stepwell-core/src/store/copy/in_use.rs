//! Whether a store may be copied, for all that works on it.

use std::time::Duration;

use crate::{
    error::{Error, Result},
    event::is_internal,
    name::Name,
};

/// A session that is alive, or may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The machine and the process, for people.
    pub node: String,
    /// The queues that it works.
    pub queues: Vec<Name>,
    /// How many jobs it runs.
    pub running: u64,
    /// How long it counts as alive without another sign of life, if only time tells.
    pub alive_for: Option<Duration>,
}

/// Decides whether a store may be sealed: nobody works on it, or those who do have nothing in hand, and an operator has
/// paused every queue of theirs. What they had in hand would be lost with its results, and done again in the copy.
///
/// # Errors
/// If somebody does, with what to do about it.
pub fn check(owners: &[Owner], paused: &[Name]) -> Result<()> {
    let is_idle = |owner: &Owner| {
        let waits = |queue: &Name| is_internal(queue) || paused.contains(queue);
        owner.running == 0 && owner.queues.iter().all(waits)
    };
    let Some(busy) = owners.iter().find(|owner| !is_idle(owner)) else { return Ok(()) };
    let open = busy.queues.iter().find(|queue| !is_internal(queue) && !paused.contains(queue));
    let what = match (busy.running, open) {
        (0, Some(queue)) => format!("works the queue {queue}"),
        (1, _) => "runs a job".to_owned(),
        (n, _) => format!("runs {n} jobs"),
    };
    Err(Error::refused(format!(
        "the store is in use: {} {what}. Stop it; or pause its queues (`stepwell queues pause NAME`), wait until \
         nothing runs, and try again.{}",
        busy.node,
        gone_already(busy)
    )))
}

/// Decides whether a store may be unsealed: whoever has it open would go on under the old id of its log.
///
/// # Errors
/// If somebody has, with what to do about it.
pub fn check_none(owners: &[Owner]) -> Result<()> {
    let Some(owner) = owners.first() else { return Ok(()) };
    let gone = gone_already(owner);
    Err(Error::refused(format!(
        "the store is in use: {} has it open. Stop it, and try again.{gone}",
        owner.node
    )))
}

/// How long somebody counts as alive who may be gone.
fn gone_already(owner: &Owner) -> String {
    owner.alive_for.map_or_else(String::new, |left| {
        format!(" If it is gone already, it counts as alive for another {} s.", left.as_secs() + 1)
    })
}

/// What is told if a source was unsealed before the copy was made.
#[must_use]
pub fn unsealed() -> Error {
    Error::refused(
        "the source was unsealed in the meantime, and may have changed; remove what was copied, and begin again",
    )
}

/// What is told if a copy has gone on without whoever makes it.
#[must_use]
pub fn overtaken() -> Error {
    Error::refused("another process makes the same copy; let it finish")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(queues: &[&str], running: u64) -> Owner {
        let queues = queues.iter().map(|queue| Name::from(*queue)).collect();
        Owner { node: "here/7".into(), queues, running, alive_for: None }
    }

    #[test]
    fn who_works_must_be_idle_and_paused() {
        let paused = [Name::from("a"), Name::from("b")];
        check(&[], &[]).unwrap();
        check(&[owner(&["a", "b", "stepwell.bulk"], 0), owner(&[], 0)], &paused).unwrap();
        for (refused, why) in [
            (owner(&["a", "c"], 0), "works the queue c"),
            (owner(&["a"], 1), "runs a job"),
            (owner(&["a"], 2), "runs 2 jobs"),
            (owner(&["stepwell.bulk"], 1), "runs a job"),
        ] {
            let error = check(&[owner(&["a"], 0), refused], &paused).unwrap_err();
            assert!(error.is_refused() && error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn it_is_said_how_long_somebody_counts_as_alive() {
        let late = Owner { alive_for: Some(Duration::from_millis(11_500)), ..owner(&["a"], 0) };
        let error = check(&[late], &[]).unwrap_err().to_string();
        assert!(error.ends_with("for another 12 s."), "{error}");
    }
}
