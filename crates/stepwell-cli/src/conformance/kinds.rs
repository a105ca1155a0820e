//! The jobs that a worker under test works, as `docs/conformance.md` describes them.

use serde_json::{Value, json};

/// The queue.
pub(super) const QUEUE: &str = "conformance";

pub(super) const ECHO: &str = "conformance.echo";
pub(super) const STEPS: &str = "conformance.steps";
pub(super) const CHECKPOINT: &str = "conformance.checkpoint";
pub(super) const FAIL: &str = "conformance.fail";
pub(super) const SNOOZE: &str = "conformance.snooze";
pub(super) const SAY: &str = "conformance.say";
pub(super) const WAIT: &str = "conformance.wait";
pub(super) const BLOCK: &str = "conformance.block";
pub(super) const LARGE: &str = "conformance.large";

/// A phase, and what it takes.
type Phase = (&'static str, &'static [&'static str]);

/// Each kind with its phases.
pub(super) const KINDS: &[(&str, &[Phase])] = &[
    (ECHO, &[("echo", &[])]),
    (STEPS, &[("one", &[]), ("two", &["one"]), ("three", &["one", "two"])]),
    (CHECKPOINT, &[("count", &[])]),
    (FAIL, &[("fail", &[])]),
    (SNOOZE, &[("snooze", &[])]),
    (SAY, &[("say", &[])]),
    (WAIT, &[("wait", &[])]),
    (BLOCK, &[("block", &[])]),
    (LARGE, &[("large", &[])]),
];

/// The names of the kinds.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(kind, _)| *kind)
}

/// What is wrong with how a worker has registered, if anything is.
pub(super) fn fault(registered: &Value) -> Option<String> {
    if registered["name"].as_str().is_none_or(str::is_empty) {
        return Some(format!("the name is {}", registered["name"]));
    }
    if registered["queues"] != json!([QUEUE]) {
        return Some(format!("the queues are {}, and should be [{QUEUE:?}]", registered["queues"]));
    }
    let told = registered["kinds"].as_array().map_or(&[][..], Vec::as_slice);
    for (kind, phases) in KINDS {
        let Some(found) = told.iter().find(|told| told["kind"] == *kind) else {
            return Some(format!("the kind {kind} is missing"));
        };
        let wanted: Vec<(Value, Value)> =
            phases.iter().map(|(name, inputs)| (json!(name), json!(inputs))).collect();
        if plan(&found["phases"]) != wanted {
            return Some(format!("the phases of {kind} are {}", found["phases"]));
        }
    }
    None
}

/// Phases with what they take; to take nothing need not be said.
fn plan(phases: &Value) -> Vec<(Value, Value)> {
    let inputs = |phase: &Value| phase.get("inputs").cloned().unwrap_or_else(|| json!([]));
    let phases = phases.as_array().into_iter().flatten();
    phases.map(|phase| (phase["name"].clone(), inputs(phase))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration() -> Value {
        let phase = |(name, inputs): &Phase| match inputs {
            [] => json!({ "name": name }),
            inputs => json!({ "name": name, "inputs": inputs }),
        };
        let kinds = KINDS.iter().map(|(kind, phases)| {
            let phases: Vec<Value> = phases.iter().map(phase).collect();
            json!({ "kind": kind, "phases": phases })
        });
        json!({ "name": "w", "queues": [QUEUE], "kinds": kinds.collect::<Vec<_>>() })
    }

    #[test]
    fn what_a_worker_registers_is_compared_with_what_it_should() {
        assert_eq!(fault(&registration()), None);
        let faulty = |change: &dyn Fn(&mut Value)| {
            let mut wrong = registration();
            change(&mut wrong);
            fault(&wrong).unwrap()
        };
        assert!(faulty(&|wrong| wrong["name"] = json!("")).contains("name"));
        assert!(faulty(&|wrong| wrong["queues"] = json!(["other"])).contains("queues"));
        assert!(faulty(&|wrong| wrong["kinds"][0]["kind"] = json!("x")).contains("missing"));
        assert!(
            faulty(&|wrong| wrong["kinds"][1]["phases"][2]["inputs"] = json!(["one"])).contains("phases")
        );
    }
}
