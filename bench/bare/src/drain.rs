//! Claiming and ending everything that is due: per batch one commit for the claim and one for each phase.
use std::time::Instant;

use stepwell_bench_subject::{Figures, Memory, Payload, Request, Result, monotonic_ns};

use crate::{
    BATCH,
    store::{self, Store},
};

pub(crate) fn measure(request: &Request, store: &mut Store) -> Result<Figures> {
    let (start, mut jobs, count) = (Instant::now(), 0, request.phases);
    loop {
        let claimed = store.commit(|tx| store::claim(tx, BATCH, count, store::now_us()))?;
        if claimed.is_empty() {
            break;
        }
        for job in &claimed {
            // What a handler would need at least.
            let _: Payload = serde_json::from_str(&job.payload)?;
        }
        for phase in 0..count {
            store.commit(|tx| {
                let now_us = store::now_us();
                claimed.iter().try_for_each(|job| store::end_phase(tx, job, phase, count, now_us))
            })?;
        }
        jobs += claimed.len() as u64;
    }
    let per_second = jobs as f64 / start.elapsed().as_secs_f64();
    Ok(Figures::from([
        ("jobs_per_second".into(), per_second),
        ("phases_per_second".into(), per_second * count as f64),
        ("peak_mib".into(), Memory::read()?.peak_mib),
        ("lost".into(), request.jobs.abs_diff(jobs) as f64),
    ]))
}

/// From the beginning of the process until one job is claimed.
pub(crate) fn first(begun_ns: u64, store: &mut Store) -> Result<Figures> {
    let claimed = store.commit(|tx| store::claim(tx, 1, 1, store::now_us()))?;
    let took_ms = (monotonic_ns() - begun_ns) as f64 / 1e6;
    if claimed.is_empty() {
        return Err("nothing was due".into());
    }
    Ok(Figures::from([("first_claim_ms".into(), took_ms)]))
}
