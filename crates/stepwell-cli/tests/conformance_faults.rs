//! The conformance kit finds each broken rule. It waits for what does not come, and so takes minutes.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]
#![cfg(unix)]

#[path = "conformance/kit.rs"]
mod kit;

use std::{collections::VecDeque, sync::Mutex, thread};

use kit::{bare_worker, found, kit};

/// Kits that run at once. They wait most of the time.
const AT_ONCE: usize = 10;

/// What a worker without a library is made to do wrong, and the rule that it breaks with that.
const FAULTS: &[(&str, &str)] = &[
    ("forgets a phase", "W1"),
    ("no token for reports", "W2"),
    ("wrong content type", "W2"),
    ("knows every member", "W3"),
    ("never registers anew", "W4"),
    ("speaks of what it had", "W4"),
    ("beats rarely", "W5"),
    ("beats wildly", "W5"),
    ("names nothing", "W6"),
    ("beats between phases", "W7"),
    ("ignores cancel", "W8"),
    ("completes what was stopped", "W8"),
    ("ignores lost", "W9"),
    ("speaks of the lost", "W9"),
    ("names the lost", "W9"),
    ("ignores quiet", "W10"),
    ("ignores terminate", "W11"),
    ("has no grace when told to end", "W11"),
    ("fails what it gives back", "W11"),
    ("claims without a key", "W12"),
    ("has one key", "W12"),
    ("claims anew", "W13"),
    ("polls", "W14"),
    ("drops unicode", "W15"),
    ("makes up its keys", "W15"),
    ("keeps no checkpoint", "W15"),
    ("ends twice", "W16"),
    ("loses the message", "W17"),
    ("ignores never", "W17"),
    ("snoozes as it likes", "W18"),
    ("does not wait for checkpoints", "W19"),
    ("says nothing", "W20"),
    ("says nothing again", "W21"),
    ("runs again", "W21"),
    ("repeats after 409", "W22"),
    ("gives up at 503", "W23"),
    ("comes back at once", "W23"),
    ("insists", "W24"),
    ("claims after SIGTERM", "W25"),
    ("is never quiet", "W25"),
    ("stops beating at the end", "W25"),
    ("exits at once", "W25"),
    ("fails what it gives back", "W26"),
    ("leaves without a word", "W27"),
    ("dies of SIGTERM", "W27"),
    ("dies of a refusal", "W28"),
];

/// What goes wrong if the kit does not find the fault; nothing if it does.
fn missed(fault: &str, rule: &str) -> Option<String> {
    let arguments = ["--json", "--only", rule, "--patience", "8s"];
    let output = kit(&arguments, "python3", &bare_worker()).env("FAULT", fault).output().unwrap();
    let found = found(&output);
    let is_found = found.iter().any(|verdict| verdict["rule"] == rule && verdict["status"] == "broken");
    let told = || format!("{fault} does not break {rule}, but {found:#?}");
    (!is_found || output.status.code() != Some(1)).then(told)
}

#[test]
fn each_fault_is_found_under_its_rule() {
    let (left, missing) = (Mutex::new(VecDeque::from_iter(FAULTS)), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((fault, rule)) = left.lock().unwrap().pop_front() else { return };
                    missing.lock().unwrap().extend(missed(fault, rule));
                }
            });
        }
    });
    let missing = missing.into_inner().unwrap();
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn each_rule_has_a_fault_that_breaks_it() {
    for nth in 1..=28 {
        let rule = format!("W{nth}");
        assert!(FAULTS.iter().any(|(_, broken)| *broken == rule), "{rule}");
    }
}
