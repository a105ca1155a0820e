use crate::prelude::*;

async fn generation(w: &World, spec: PlanSpec) -> u64 {
    w.store().register(vec![spec]).await.expect("registered")[0].generation
}

fn version(n: usize) -> PlanSpec {
    plan_of(KIND, &["a", "b", "c", "d"][..n])
}

pub async fn the_first_plan_is_of_the_first_generation(w: &mut World) {
    assert_eq!(w.store().plan(KIND.into()).await.expect("readable"), None);
    assert_eq!(generation(w, version(2)).await, 1);
    let (spec, plan_ref) = w.store().plan(KIND.into()).await.expect("readable").expect("registered");
    assert_eq!((spec.clone(), plan_ref.generation), (version(2), 1));
    assert_eq!(&*plan_ref.hash, spec.hash());
}

pub async fn the_same_plan_keeps_its_generation(w: &mut World) {
    for _ in 0..3 {
        assert_eq!(generation(w, version(2)).await, 1);
    }
}

pub async fn a_changed_plan_is_of_a_newer_generation(w: &mut World) {
    for n in 1..=4 {
        assert_eq!(generation(w, version(n)).await, n as u64);
    }
    let (spec, _) = w.store().plan(KIND.into()).await.expect("readable").expect("registered");
    assert_eq!(spec, version(4));
}

pub async fn a_new_retry_policy_replaces_the_plan_in_its_place(w: &mut World) {
    generation(w, version(2)).await;
    let mut changed = version(2);
    changed.phases[0].retry = Retry::never();
    assert_eq!(generation(w, changed.clone()).await, 1);
    let (spec, _) = w.store().plan(KIND.into()).await.expect("readable").expect("registered");
    assert_eq!(spec, changed);
    let id = w.add().await;
    assert_eq!(w.row(id).await.phases[0].max_tries, 1);
}

pub async fn a_rollback_is_of_a_newer_generation(w: &mut World) {
    generation(w, version(1)).await;
    generation(w, version(2)).await;
    assert_eq!(generation(w, version(1)).await, 3, "nobody works the newest");
    let id = w.add().await;
    assert_eq!(w.row(id).await.phases.len(), 1);
}

pub async fn an_old_node_that_restarts_in_a_rolling_deploy_keeps_its_place(w: &mut World) {
    w.worker_of(vec![version(1)], &[QUEUE]).await;
    let new = w.worker_of(vec![version(2)], &[QUEUE]).await;
    assert_eq!(generation(w, version(1)).await, 1, "the newest is still worked");
    w.store().close_session(new.session).await.expect("closed");
    assert_eq!(generation(w, version(1)).await, 3);
}

pub async fn kinds_have_generations_of_their_own(w: &mut World) {
    generation(w, version(1)).await;
    generation(w, version(2)).await;
    let both = vec![version(3), plan_of("other", &["a"])];
    let refs = w.store().register(both).await.expect("registered");
    assert_eq!(refs.iter().map(|plan| plan.generation).collect::<Vec<_>>(), [3, 1]);
    assert!(w.store().register(Vec::new()).await.expect("answered").is_empty());
}

pub async fn a_wrong_plan_is_refused_by_name(w: &mut World) {
    let wrong = [
        ("no phase", plan_of(KIND, &[])),
        ("`a` twice", plan_of(KIND, &["a", "a"])),
        ("must not be empty", plan_of(KIND, &[""])),
    ];
    for (text, spec) in wrong {
        let error = w.store().register(vec![spec]).await.expect_err("the plan breaks a rule");
        assert!(error.is_invalid() && error.to_string().contains(text), "{error}");
    }
    let many: Vec<String> = (0..=limits::PHASES_MAX).map(|n| format!("p{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = w.store().register(vec![plan_of(KIND, &many)]).await.expect_err("too many phases");
    assert!(error.to_string().contains("the limit is 100"), "{error}");
    assert_eq!(w.store().plan(KIND.into()).await.expect("readable"), None);
}

pub async fn one_wrong_plan_registers_none(w: &mut World) {
    let batch = vec![version(1), plan_of("other", &[])];
    assert!(w.store().register(batch).await.is_err());
    assert_eq!(w.store().plan(KIND.into()).await.expect("readable"), None);
}

pub async fn the_longest_plan_is_kept(w: &mut World) {
    let names: Vec<String> = (0..limits::PHASES_MAX).map(|n| format!("phase-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let spec = plan_of(KIND, &names);
    let worker = w.worker_of(vec![spec], &[QUEUE]).await;
    w.add().await;
    let hold = w.claim_one(&worker).await;
    let mut row = hold.job.clone();
    for name in names {
        row = w.complete(&hold, name).await;
    }
    assert_eq!((row.state, row.next_seq), (JobState::Completed, 204));
}
