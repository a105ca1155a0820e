//! What is explored: which plans, which queues, what an owner may send, and where it ends.

use std::{sync::Arc, time::Duration};

use stepwell_core::{
    JobId, Json, Name, PhaseSpec, PlanSpec, Retry,
    job::{Job, PlanRef, Progress},
    machine::{self, Command, Edit, NewJob, RetryFrom, Verdict},
    phase::Recorded,
    schedule::When,
    time::Timestamp,
};

/// The abstract clock's unit. Only the order of times matters, so every delay is a few ticks.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// The clock stands still here: instead of it, the job's future moves closer.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_000_000_000_000);

/// One family of states.
pub(crate) struct Scope {
    pub(crate) name: &'static str,
    /// The plans, in the order of their deploys; the first has generation 1.
    pub(crate) plans: Vec<(Arc<PlanSpec>, PlanRef)>,
    pub(crate) names: Vec<Name>,
    pub(crate) queues: Vec<Name>,
    /// What the owner in a slot may send as one request.
    pub(crate) scripts: [Vec<Script>; 2],
    pub(crate) retries: Vec<RetryFrom>,
    pub(crate) edits: Vec<Edit>,
    pub(crate) webhooks: bool,
    /// Whether the store may be restored from a backup that was taken right after the enqueue.
    pub(crate) restores: bool,
    /// Whether the reaper may act on what it saw a while ago, and not only at once.
    pub(crate) remembers: bool,
    /// Runs after which an operator gives up.
    pub(crate) runs_max: u32,
    /// Attempts above this are not told apart: no decision depends on them.
    pub(crate) attempts_told: u32,
    /// How far behind a former owner's epoch is; further is not told apart.
    pub(crate) lag_told: i64,
    pub(crate) newborn: Job,
    pub(crate) born: machine::Transition,
    results: Vec<Recorded>,
}

/// One request of an owner.
pub(crate) struct Script {
    pub(crate) label: String,
    pub(crate) commands: Vec<Command>,
}

/// What makes a scope different from the others.
struct Outline {
    name: &'static str,
    plans: Vec<Vec<PhaseSpec>>,
    new: NewJob,
    known_at_enqueue: bool,
    edits: Vec<Edit>,
    webhooks: bool,
    restores: bool,
    runs_max: u32,
}

impl Scope {
    fn build(outline: Outline, scale: u32) -> Self {
        let Outline { name, plans, new, known_at_enqueue, edits, webhooks, restores, runs_max } = outline;
        let plans: Vec<(Arc<PlanSpec>, PlanRef)> = (1..)
            .zip(plans)
            .map(|(generation, phases)| {
                let spec = PlanSpec { kind: new.kind.clone(), phases };
                spec.check().unwrap();
                let plan_ref = PlanRef { hash: spec.hash().into(), generation };
                (Arc::new(spec), plan_ref)
            })
            .collect();
        let home = new.queue.clone().unwrap_or_else(|| NewJob::DEFAULT_QUEUE.into());
        let (mut names, mut queues) = (Vec::<Name>::new(), vec![home]);
        queues.extend(edits.iter().filter_map(|edit| edit.queue.clone()));
        for phase in plans.iter().flat_map(|(spec, _)| &spec.phases) {
            if !names.contains(&phase.name) {
                names.push(phase.name.clone());
            }
            queues.extend(phase.queue.clone());
        }
        queues.sort();
        queues.dedup();
        let fan_out =
            |name: &Name| plans.iter().any(|(spec, _)| spec.phase(name).is_some_and(|phase| phase.fan_out));
        let scripts = [0, 1].map(|slot| scripts_of(&names, &fan_out, slot));
        let first = plans.first().filter(|_| known_at_enqueue);
        let born = machine::enqueue(&new, first.map(|(spec, plan_ref)| (&**spec, plan_ref.clone())), NOW);
        let newborn = born.job.clone();
        let mut retries = vec![RetryFrom::Unfinished, RetryFrom::Start];
        retries.extend(names.iter().skip(1).map(|name| RetryFrom::Phase(name.clone())));
        let results = (0..names.len()).map(|nth| Recorded::of(&result_of(nth, 0))).collect();
        Self {
            name,
            plans,
            names,
            queues,
            scripts,
            retries,
            edits,
            webhooks,
            restores,
            remembers: scale > 0 || matches!(name, "queues" | "fan-out" | "renamed" | "restored"),
            runs_max: runs_max + scale,
            attempts_told: 1 + 3 * scale,
            lag_told: if restores { 6 } else { i64::from(scale).max(1) },
            newborn,
            born,
            results,
        }
    }
    pub(crate) fn name_index(&self, name: &Name) -> Option<u8> {
        self.names.iter().position(|known| known == name).and_then(|at| u8::try_from(at).ok())
    }
    pub(crate) fn queue_index(&self, queue: &Name) -> Option<u8> {
        self.queues.iter().position(|known| known == queue).and_then(|at| u8::try_from(at).ok())
    }
    /// What stands for any result that is stored under this name.
    pub(crate) fn canonical_result(&self, stored_name: &Name) -> Recorded {
        self.name_index(stored_name)
            .map_or_else(|| Recorded::of(&Json::null()), |at| self.results[usize::from(at)].clone())
    }
}

/// The second phase of every scope has a result that does not fit into the row.
fn result_of(phase: usize, slot: usize) -> Json {
    let text = format!("{phase} by {slot}");
    Json::of(&if phase == 1 { text.repeat(40) } else { text }).unwrap()
}

fn scripts_of(names: &[Name], fan_out: &impl Fn(&Name) -> bool, slot: usize) -> Vec<Script> {
    let value = Json::of(&slot).unwrap();
    let mut scripts = Vec::new();
    let mut add = |label: &str, commands: &[&Command]| {
        let commands = commands.iter().copied().cloned().collect();
        scripts.push(Script { label: label.to_owned(), commands });
    };
    let (start, release) = (Command::StartPhase, Command::Release);
    let progress = Progress { done: 1, total: 2, note: None };
    let annotate = Command::Annotate { progress: Some(progress), lines: Vec::new() };
    add("start", &[&start]);
    add("release", &[&release]);
    add("snooze", &[&Command::Snooze { delay: TICK }]);
    add("acknowledge the cancel", &[&Command::AcknowledgeCancel]);
    add("annotate", &[&annotate]);
    for (nth, phase) in names.iter().enumerate() {
        let complete = Command::CompletePhase { phase: phase.clone(), result: result_of(nth, slot) };
        let checkpoint = Command::SaveCheckpoint { phase: phase.clone(), value: value.clone() };
        let element = Command::EndElement {
            phase: phase.clone(),
            index: 0,
            input_hash: "of the input".into(),
            result: value.clone(),
        };
        let fail = |verdict| Command::FailPhase {
            phase: phase.clone(),
            error: "boom".into(),
            verdict,
            retry: policy(),
            jitter: 1.0,
        };
        add(&format!("complete {phase}"), &[&complete]);
        add(&format!("complete {phase} and start"), &[&complete, &start]);
        add(&format!("complete {phase} and release"), &[&complete, &release]);
        add(&format!("checkpoint {phase}"), &[&checkpoint]);
        add(&format!("checkpoint {phase} and release"), &[&checkpoint, &release]);
        add(&format!("fail {phase}"), &[&fail(Verdict::Retry)]);
        add(&format!("fail {phase} for good"), &[&fail(Verdict::Permanent)]);
        if nth == 0 {
            add(&format!("fail {phase}, retry in 2"), &[&fail(Verdict::RetryIn(2 * TICK))]);
            add(&format!("annotate, complete {phase} and start"), &[&annotate, &complete, &start]);
        }
        if fan_out(phase) {
            add(&format!("element of {phase}"), &[&element]);
            add(&format!("element of {phase}, complete and start"), &[&element, &complete, &start]);
        }
    }
    scripts
}

fn policy() -> Retry {
    Retry::fixed(2, TICK)
}

fn phase(name: &str, inputs: &[&str]) -> PhaseSpec {
    PhaseSpec {
        inputs: inputs.iter().map(|input| Name::from(*input)).collect(),
        retry: policy(),
        ..PhaseSpec::new(name)
    }
}

fn new_job() -> NewJob {
    let id = JobId::from_bytes([7; 16]);
    NewJob { max_crashes: Some(2), ..NewJob::new(id, "kind", Json::null()) }
}

fn outline(name: &'static str, plans: Vec<Vec<PhaseSpec>>) -> Outline {
    Outline {
        name,
        plans,
        new: new_job(),
        known_at_enqueue: true,
        edits: Vec::new(),
        webhooks: false,
        restores: false,
        runs_max: 2,
    }
}

/// Every scope. `scale` widens their bounds, for runs that have the time.
pub(crate) fn all(scale: u32) -> Vec<Scope> {
    let gpu = |phase: PhaseSpec| PhaseSpec { queue: Some("gpu".into()), ..phase };
    let renamed = PhaseSpec { renamed_from: Some("a".into()), ..phase("a2", &[]) };
    let each = PhaseSpec { fan_out: true, ..phase("each", &["list"]) };
    let once = PhaseSpec { retry: Retry::never(), ..phase("b", &["a"]) };
    let edit = |edit: Edit| edit;
    let outlines = vec![
        // Its queue is the other one's, so that the job is handed over and back.
        outline("queues", vec![vec![phase("a", &[]), gpu(phase("b", &["a"])), phase("c", &["b"])]]),
        outline("fan-out", vec![vec![phase("list", &[]), each, phase("total", &["each"])]]),
        outline(
            "inserted",
            vec![
                vec![phase("a", &[]), phase("b", &["a"])],
                vec![phase("x", &[]), phase("a", &[]), phase("b", &["a"])],
            ],
        ),
        outline(
            "needed",
            vec![
                vec![phase("a", &[]), phase("b", &["a"])],
                vec![gpu(phase("x", &[])), phase("a", &[]), phase("b", &["a", "x"])],
            ],
        ),
        // The second phase vanishes, and comes back with a rollback and a smaller budget.
        outline(
            "vanished",
            vec![
                vec![phase("a", &[]), phase("b", &["a"])],
                vec![phase("a", &[])],
                vec![phase("a", &[]), once],
            ],
        ),
        outline(
            "renamed",
            vec![vec![phase("a", &[]), phase("b", &["a"])], vec![renamed, gpu(phase("b", &["a2"]))]],
        ),
        Outline {
            new: NewJob {
                when: When::After(TICK),
                expires: Some(When::After(3 * TICK)),
                tags: vec!["tag".into()],
                ..new_job()
            },
            known_at_enqueue: false,
            edits: vec![
                edit(Edit { payload: Some(Json::null()), priority: Some(1), ..Edit::default() }),
                edit(Edit { queue: Some("other".into()), ..Edit::default() }),
                edit(Edit { when: Some(When::After(TICK)), ..Edit::default() }),
                edit(Edit {
                    tags: Some(vec!["tag".into()]),
                    attributes: Some([("key".into(), "value".into())].into()),
                    ..Edit::default()
                }),
            ],
            webhooks: true,
            ..outline("edited", vec![vec![phase("a", &[]), gpu(phase("b", &["a"]))]])
        },
        // One of Stepwell's own: it may be put off, and sent again, and stays what it is.
        Outline {
            new: NewJob {
                kind: "stepwell.webhook".into(),
                queue: Some("stepwell.webhook.e".into()),
                ..new_job()
            },
            edits: vec![
                edit(Edit { payload: Some(Json::null()), when: Some(When::Now), ..Edit::default() }),
                edit(Edit { queue: Some("other".into()), ..Edit::default() }),
                edit(Edit { tags: Some(vec!["tag".into()]), ..Edit::default() }),
                edit(Edit { attributes: Some([("key".into(), "value".into())].into()), ..Edit::default() }),
                edit(Edit { when: Some(When::After(TICK)), priority: Some(1), ..Edit::default() }),
            ],
            ..outline("internal", vec![vec![phase("send", &[])]])
        },
        Outline {
            restores: true,
            runs_max: 1,
            ..outline("restored", vec![vec![phase("a", &[]), phase("b", &["a"])]])
        },
    ];
    outlines.into_iter().map(|outline| Scope::build(outline, scale)).collect()
}
