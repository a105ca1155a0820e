//! What is asked of a worker.

use std::{fmt, str::FromStr};

macro_rules! rules {
    ($($Rule:ident $id:literal $says:literal;)+) => {
        /// A rule of the protocol for workers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Rule { $($Rule,)+ }

        impl Rule {
            /// Every rule, in their order.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$Rule),+];
            /// Its number, as `docs/worker-protocol.md` has it.
            pub(crate) const fn id(self) -> &'static str {
                match self { $(Self::$Rule => $id),+ }
            }
            /// What it says, as it stands there.
            pub(crate) const fn says(self) -> &'static str {
                match self { $(Self::$Rule => $says),+ }
            }
        }
    };
}

rules! {
    Registers "W1" "A worker registers before it asks for anything else: with its name, its queues, and its kinds, \
        each with all of its phases in their order and what they take as inputs.";
    ShowsItsToken "W2" "Every request carries the token as `Authorization: Bearer …`, and a body is JSON, as \
        `Content-Type` says.";
    IgnoresTheUnknown "W3" "Members of an answer that the worker does not know are ignored.";
    RegistersAnew "W4" "Where the server does not know the worker (404), it registers anew and goes on. What it had \
        is not its own any more: it says nothing about that.";
    Beats "W5" "As long as it lives, a worker sends a heartbeat about every `heartbeatMs`, and no two of them \
        further apart than two thirds of `leaseMs`.";
    NamesItsLeases "W6" "A heartbeat names the leases of everything that runs.";
    BeatsMeanwhile "W7" "Heartbeats do not wait for a phase, whatever it does to its thread.";
    ObeysCancel "W8" "A phase whose lease is answered with `cancel` is stopped, and said to `fail` or given back by \
        `release`.";
    LetsGoOfTheLost "W9" "A phase whose lease is answered with `lost` is stopped. Nothing more is said about it, \
        and it is named no more.";
    IsQuiet "W10" "Told to be `quiet`, a worker claims nothing more. What it runs may end, with heartbeats until \
        then.";
    Terminates "W11" "Told to `terminate`, a worker ends as on SIGTERM: it claims nothing more, lets its phases \
        end, and gives back those that do not end within the grace.";
    NamesItsClaims "W12" "A claim has an `Idempotency-Key` of its own.";
    ClaimsAgain "W13" "A claim whose answer was lost is sent again, the same under the same key, and the phases \
        that it brings are run.";
    WaitsInTheClaim "W14" "A worker that runs nothing waits in its claim, for 1,000 to 30,000 ms, and not between \
        claims.";
    HandsOver "W15" "A phase is given what the claim says, with nothing lost or changed: payload, outputs, \
        checkpoint, attempt, `interrupted`, `idempotencyKey`.";
    EndsOnce "W16" "Each phase ends with one `complete`, `fail`, `snooze` or `release` under its own lease, and a \
        result arrives as it was.";
    TellsFailures "W17" "`fail` has the error's message. A phase may say that no further try can help (`never`), \
        and after how long to try again (`afterMs`).";
    Snoozes "W18" "`snooze` has the delay that the phase has asked for.";
    SavesCheckpoints "W19" "A phase goes on after a checkpoint when the server has answered, and not before.";
    TellsProgress "W20" "Progress and log lines of a phase reach its job.";
    SaysAgain "W21" "A report whose answer was lost is said again, the same. The phase is not run again for it.";
    StopsAtARefusal "W22" "409 `lease-lost` is the end of a phase: nothing more is said under its lease.";
    ComesBackLater "W23" "What is answered with 429, 502, 503 or 504 is asked again, the same, and not before \
        `Retry-After`.";
    FailsWhatIsRefused "W24" "A `complete` that the server refuses in another way is not repeated: the phase fails, \
        with `never`.";
    LetsPhasesEnd "W25" "On SIGTERM a worker claims nothing more and lets its phases end. Its heartbeats go on, and \
        say `quiet`.";
    GivesBack "W26" "A phase that does not end within the grace is stopped and given back, without a try spent.";
    Leaves "W27" "A worker that ends says so by `DELETE`, after its last report, and exits with 0.";
    SleepsThrough "W28" "A worker that was asleep for longer than its lease takes the refusal of its late answer, \
        registers anew, and works on.";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Rule {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = || format!("it is W1 to W{}, as docs/worker-protocol.md has them", Self::ALL.len());
        Self::ALL.iter().copied().find(|rule| rule.id().eq_ignore_ascii_case(text)).ok_or_else(known)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn flat(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_published_description_has_the_same_rules() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/worker-protocol.md");
        let page = fs::read_to_string(path).unwrap();
        let told: Vec<String> = page
            .split("\n**W")
            .skip(1)
            .map(|rest| format!("**W{}", flat(rest.split("\n\n").next().unwrap())))
            .collect();
        let known: Vec<String> =
            Rule::ALL.iter().map(|rule| format!("**{rule}** {}", flat(rule.says()))).collect();
        assert_eq!(told, known);
    }

    #[test]
    fn rules_are_named_by_their_numbers() {
        for (nth, rule) in Rule::ALL.iter().enumerate() {
            assert_eq!(rule.id(), format!("W{}", nth + 1));
            assert_eq!(rule.id().to_lowercase().parse(), Ok(*rule));
        }
        "W0".parse::<Rule>().unwrap_err();
    }
}
