//! The list of scenarios.

use super::{
    alive, asleep, blocked, cancelled, forgotten, given_back, idle, lossy, lost, newer, quiet, refused,
    terminated, told_to_end, work,
};
use crate::conformance::{
    rule::Rule::{
        self, Beats, BeatsMeanwhile, ClaimsAgain, ComesBackLater, EndsOnce, FailsWhatIsRefused, GivesBack,
        HandsOver, IgnoresTheUnknown, IsQuiet, Leaves, LetsGoOfTheLost, LetsPhasesEnd, NamesItsClaims,
        NamesItsLeases, ObeysCancel, Registers, RegistersAnew, SavesCheckpoints, SaysAgain, ShowsItsToken,
        SleepsThrough, Snoozes, StopsAtARefusal, TellsFailures, TellsProgress, Terminates, WaitsInTheClaim,
    },
    stage::{Play, Stage},
};

/// Something that a worker is put through.
pub(in crate::conformance) struct Scenario {
    pub(in crate::conformance) name: &'static str,
    /// The rules that it is about. Some hold for all that a worker asks and says, and are looked at in all scenarios.
    pub(in crate::conformance) rules: &'static [Rule],
    pub(in crate::conformance) play: for<'s> fn(&'s mut Stage) -> Play<'s>,
}

const fn scenario(
    name: &'static str,
    rules: &'static [Rule],
    play: for<'s> fn(&'s mut Stage) -> Play<'s>,
) -> Scenario {
    Scenario { name, rules, play }
}

/// Every scenario; what takes longest is first.
pub(in crate::conformance) const ALL: &[Scenario] = &[
    scenario("asleep", &[SleepsThrough, StopsAtARefusal], |stage| Box::pin(asleep::play(stage))),
    scenario("blocked", &[BeatsMeanwhile], |stage| Box::pin(blocked::play(stage))),
    scenario("alive", &[Beats, NamesItsLeases], |stage| Box::pin(alive::play(stage))),
    scenario("given back", &[GivesBack, Leaves], |stage| Box::pin(given_back::play(stage))),
    scenario("terminated", &[Terminates, Leaves], |stage| Box::pin(terminated::play(stage))),
    scenario("told to end", &[LetsPhasesEnd, Leaves], |stage| Box::pin(told_to_end::play(stage))),
    scenario("forgotten", &[RegistersAnew], |stage| Box::pin(forgotten::play(stage))),
    scenario("lost", &[LetsGoOfTheLost], |stage| Box::pin(lost::play(stage))),
    scenario("idle", &[WaitsInTheClaim], |stage| Box::pin(idle::play(stage))),
    scenario("quiet", &[IsQuiet], |stage| Box::pin(quiet::play(stage))),
    scenario("cancelled", &[ObeysCancel], |stage| Box::pin(cancelled::play(stage))),
    scenario("refused", &[ComesBackLater], |stage| Box::pin(refused::play(stage))),
    scenario("lossy", &[NamesItsClaims, ClaimsAgain, SaysAgain], |stage| Box::pin(lossy::play(stage))),
    scenario("newer", &[IgnoresTheUnknown], |stage| Box::pin(newer::play(stage))),
    scenario(
        "work",
        &[
            Registers,
            ShowsItsToken,
            HandsOver,
            EndsOnce,
            TellsFailures,
            Snoozes,
            SavesCheckpoints,
            TellsProgress,
            FailsWhatIsRefused,
        ],
        |stage| Box::pin(work::play(stage)),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_looked_at() {
        let looked: Vec<Rule> = ALL.iter().flat_map(|scenario| scenario.rules).copied().collect();
        for rule in Rule::ALL {
            assert!(looked.contains(rule), "{rule}");
        }
    }
}
