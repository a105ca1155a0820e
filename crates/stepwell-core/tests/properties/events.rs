//! How the events of one transition are stored in one row, and read one by one.

use proptest::prelude::*;
use stepwell_core::{
    Event, EventType, JobId, Json, Timestamp,
    event::{Draft, EventFilter, Packed, mask},
};

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let draft =
        (prop::sample::select(EventType::ALL), any::<u32>(), prop::option::of("[a-z]{1,8}"), any::<bool>());
    let draft = draft.prop_map(|(ty, attempt, phase, has_data)| Draft {
        ty,
        phase: phase.map(Into::into),
        attempt,
        data: has_data.then(|| Json::of(&attempt).unwrap()),
        tags: Vec::new(),
        hooked: false,
    });
    prop::collection::vec(draft, 1..6)
}

proptest! {
    #[test]
    fn a_packed_row_gives_every_event_its_own_place(
        mut drafts in drafts(),
        hooked in any::<bool>(),
        before in 0..u64::from(u32::MAX),
        before_of_job in 0..u64::from(u32::MAX),
    ) {
        drafts[0].tags = vec!["tag".into()];
        drafts[0].hooked = hooked;
        let stored = serde_json::to_string(&drafts).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Vec<Draft>>(&stored).unwrap(), &drafts);
        let n = drafts.len() as u64;
        let packed = Packed {
            last_pos: before + n,
            job: JobId::from_bytes([1; 16]),
            last_job_seq: before_of_job + n,
            run: 2,
            at: Timestamp::from_micros(3),
            kind: "kind".into(),
            queue: "queue".into(),
            drafts: drafts.clone(),
        };
        let events: Vec<Event> = packed.expand().collect();
        prop_assert_eq!(events.len(), drafts.len());
        for ((nth, event), draft) in (1..).zip(&events).zip(&drafts) {
            prop_assert_eq!((event.pos, event.job_seq), (before + nth, before_of_job + nth));
            prop_assert_eq!((event.ty, event.attempt, &event.phase), (draft.ty, draft.attempt, &draft.phase));
            prop_assert_eq!(&event.data, &draft.data());
            prop_assert_eq!((&event.tags, event.hooked), (&drafts[0].tags, hooked));
        }
        for ty in EventType::ALL {
            let filter = EventFilter { types: vec![*ty], ..EventFilter::default() };
            let has = drafts.iter().any(|draft| draft.ty == *ty);
            prop_assert_eq!(filter.mask() & mask(&drafts) != 0, has, "a row is looked into only if it has {}", ty);
            prop_assert_eq!(events.iter().any(|event| filter.matches(event)), has);
            let or_hooked = EventFilter { hooked: true, ..filter };
            prop_assert_eq!(or_hooked.mask() & mask(&drafts) != 0, has || hooked);
            prop_assert_eq!(events.iter().any(|event| or_hooked.matches(event)), has || hooked);
        }
    }
}
