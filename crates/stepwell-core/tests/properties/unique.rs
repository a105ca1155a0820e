//! Which job a unique key stands for.

use std::time::Duration;

use proptest::prelude::*;
use stepwell_core::{
    JobId, Timestamp, Unique,
    unique::{Holder, Holders},
};

proptest! {
    #[test]
    fn a_key_stands_for_the_live_job_or_a_recent_one(
        live: Option<[u8; 16]>,
        newest in prop::option::of((any::<[u8; 16]>(), -1_000_000..1_000_000_i64)),
        window in prop::option::of(0..2_000_u64),
        now in -1_000_000..4_000_000_i64,
    ) {
        let live = live.map(JobId::from_bytes);
        let newest = newest.map(|(id, at)| Holder {
            id: JobId::from_bytes(id),
            enqueued_at: Timestamp::from_micros(at),
        });
        let unique = Unique::key("key");
        let unique = match window {
            Some(millis) => unique.within(Duration::from_millis(millis)),
            None => unique,
        };
        let at = |now: i64| unique.existing(&Holders { live, newest }, Timestamp::from_micros(now));
        let ended = newest.filter(|newest| {
            let age = now - newest.enqueued_at.as_micros();
            window.is_some_and(|millis| age < i64::try_from(millis).unwrap() * 1_000)
        });
        prop_assert_eq!(at(now), live.or(ended.map(|ended| ended.id)));
        if at(now).is_none() {
            prop_assert_eq!(at(now.saturating_add(1_000_000)), None, "a key that is free stays free");
        }
    }
}
