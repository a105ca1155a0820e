//! What must hold of all that was seen outside, and whether these checks catch what they are there for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::{
    bulk::Group,
    poster::Acknowledged,
    rig::{Frame, Received},
};

/// All that was seen.
#[derive(Clone)]
pub(crate) struct Evidence {
    /// The messages that each follower saw, over all its connections.
    pub(crate) seen: [Vec<Frame>; 2],
    pub(crate) received: Vec<Received>,
    pub(crate) acknowledged: BTreeMap<String, Acknowledged>,
    /// What was asked for in bulk.
    pub(crate) groups: Vec<Group>,
    pub(crate) secret: String,
}

/// How much was seen.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) events: usize,
    pub(crate) ends: usize,
    pub(crate) requests: usize,
    /// Requests for a delivery that had been requested before.
    pub(crate) again: usize,
    pub(crate) deleted: usize,
    /// Deliveries that arrived when their job was gone.
    pub(crate) outlived: usize,
    /// Jobs that a bulk operation has retried.
    pub(crate) in_bulk: usize,
}

/// An event, as far as it matters here.
#[derive(Clone, Debug)]
struct Event {
    pos: u64,
    ty: String,
    job: String,
    seq: u64,
    data: String,
}

impl Event {
    fn read(frame: &Frame) -> Result<Self, String> {
        let json: Value = serde_json::from_str(&frame.data).map_err(|error| format!("{error}: {frame:?}"))?;
        if frame.event.starts_with("stream:") {
            return Err(format!("a reader that never was away for long missed events: {frame:?}"));
        }
        let pos = json["pos"].as_u64().ok_or_else(|| format!("no pos: {frame:?}"))?;
        if frame.id.rsplit_once('-').is_none_or(|(_, id)| id != pos.to_string())
            || frame.event != json["type"]
        {
            return Err(format!("the id or the type is not that of the event: {frame:?}"));
        }
        let is_deletion = frame.event == "job:deleted";
        let job = if is_deletion { &json["data"]["deletedJobId"] } else { &json["jobId"] };
        let job = job.as_str().ok_or_else(|| format!("no job: {frame:?}"))?.to_owned();
        let seq = json["jobSeq"].as_u64().unwrap_or(0);
        if (seq == 0) != is_deletion {
            return Err(format!("a wrong jobSeq: {frame:?}"));
        }
        Ok(Self { pos, ty: frame.event.clone(), job, seq, data: frame.data.clone() })
    }
    fn is_end(&self) -> bool {
        matches!(self.ty.as_str(), "job:completed" | "job:failed" | "job:cancelled")
    }
}

/// Each `pos` once and in order, and of each job every event.
fn follow(frames: &[Frame]) -> Result<Vec<Event>, String> {
    let mut events: Vec<Event> = Vec::new();
    let mut of_jobs: HashMap<String, u64> = HashMap::new();
    for frame in frames {
        let event = Event::read(frame)?;
        if let Some(last) = events.last().filter(|last| last.pos >= event.pos) {
            return Err(format!("{} came after {}: twice, or out of order", event.pos, last.pos));
        }
        if event.seq > 0 {
            let last = of_jobs.entry(event.job.clone()).or_default();
            if event.seq != *last + 1 {
                return Err(format!("skipped: after event {last} of its job came {event:?}"));
            }
            *last = event.seq;
        }
        events.push(event);
    }
    Ok(events)
}

/// One for each delivery: where to, and about which event.
type Told<'e> = BTreeMap<(u64, &'e str), &'e Received>;

impl Evidence {
    /// Whether everything has come that must come; else what has not.
    pub(crate) fn is_complete(&self) -> Result<(), String> {
        let events = follow(&self.seen[0])?;
        let other = self.seen[1].len();
        if other != events.len() {
            return Err(format!("one saw {} events, the other {other}", events.len()));
        }
        self.ends(&events)?;
        let told = self.told()?.0;
        self.every_end_is_told(&events, &told)?;
        let mut unrecorded: BTreeMap<&str, i64> = BTreeMap::new();
        for event in &events {
            let own = i64::from(self.has_own(&event.job));
            match event.ty.as_str() {
                _ if event.is_end() => *unrecorded.entry(&event.job).or_default() += 1 + own,
                "job:webhook:delivered" => *unrecorded.entry(&event.job).or_default() -= 1,
                // What is recorded later is recorded nowhere: the job is gone.
                "job:deleted" => _ = unrecorded.insert(&event.job, 0),
                _ => {}
            }
        }
        match unrecorded.iter().find(|(_, due)| **due > 0) {
            Some((job, _)) => Err(format!("a delivery about {job} is not recorded")),
            None => Ok(()),
        }
    }

    fn has_own(&self, job: &str) -> bool {
        self.acknowledged.get(job).is_some_and(|known| known.own)
    }

    /// Every run that was acknowledged has ended.
    fn ends<'e>(&self, events: &'e [Event]) -> Result<Vec<&'e Event>, String> {
        let ends: Vec<&Event> = events.iter().filter(|event| event.is_end()).collect();
        let mut of_jobs: HashMap<&str, usize> = HashMap::new();
        for end in &ends {
            *of_jobs.entry(&end.job).or_default() += 1;
        }
        for (job, Acknowledged { runs, .. }) in &self.acknowledged {
            let ended = of_jobs.get(job.as_str()).copied().unwrap_or(0);
            if ended < *runs {
                return Err(format!("{job} was acknowledged for {runs} runs, of which {ended} ended"));
            }
        }
        Ok(ends)
    }

    /// What was told, once each, and how often something was told again. What comes again is the same.
    fn told(&self) -> Result<(Told<'_>, usize), String> {
        let mut told = Told::new();
        let mut ids: HashMap<&str, (u64, &str)> = HashMap::new();
        let mut again = 0;
        for request in &self.received {
            if request.signatures_with(&self.secret) != 1 {
                return Err(format!("a wrong signature: {request:?}"));
            }
            let json: Value = serde_json::from_str(&request.body).map_err(|error| error.to_string())?;
            let pos = json["pos"].as_u64().ok_or("no pos")?;
            let to = (pos, request.path.as_str());
            if ids.insert(request.id(), to).is_some_and(|before| before != to) {
                return Err(format!("one id for two deliveries: {request:?}"));
            }
            if let Some(before) = told.insert(to, request) {
                again += 1;
                if before.id() != request.id() || before.body != request.body {
                    return Err(format!("another id or body than before: {before:?}, then {request:?}"));
                }
            }
        }
        Ok((told, again))
    }

    fn every_end_is_told(&self, events: &[Event], told: &Told<'_>) -> Result<(), String> {
        for end in events.iter().filter(|event| event.is_end()) {
            let own = self.has_own(&end.job).then_some("/own");
            for path in ["/endpoint"].into_iter().chain(own) {
                let Some(request) = told.get(&(end.pos, path)) else {
                    return Err(format!("{path} was never told: {end:?}"));
                };
                if request.body != end.data {
                    return Err(format!("{path} was told something else than {end:?}: {request:?}"));
                }
            }
        }
        Ok(())
    }
}

/// Whether all of it fits together.
pub(crate) fn check(evidence: &Evidence) -> Result<Counted, String> {
    let events = follow(&evidence.seen[0])?;
    let others = follow(&evidence.seen[1])?;
    let differs = events.iter().zip(&others).find(|(one, other)| one.data != other.data);
    if let Some((one, other)) = differs {
        return Err(format!("skipped: one saw {one:?} where the other saw {other:?}"));
    }
    if events.len() != others.len() {
        return Err(format!("skipped: one saw {} events, the other {}", events.len(), others.len()));
    }
    let ends = evidence.ends(&events)?.len();
    let (told, again) = evidence.told()?;
    evidence.every_end_is_told(&events, &told)?;
    let known: BTreeMap<u64, &Event> = events.iter().map(|event| (event.pos, event)).collect();
    if let Some((to, _)) = told.iter().find(|((pos, _), _)| !known.contains_key(pos)) {
        return Err(format!("{to:?} was told, and nobody saw it"));
    }
    let deleted: BTreeSet<&str> =
        events.iter().filter(|event| event.ty == "job:deleted").map(|event| event.job.as_str()).collect();
    // Of such a delivery nothing is recorded with the job.
    let mut recorded: HashMap<&str, usize> = HashMap::new();
    for event in events.iter().filter(|event| event.ty == "job:webhook:delivered") {
        *recorded.entry(&event.job).or_default() += 1;
    }
    let mut outlived = 0;
    for job in &deleted {
        let due = told.keys().filter(|(pos, _)| known[pos].job == **job).count();
        outlived += due.saturating_sub(recorded.get(job).copied().unwrap_or(0));
    }
    let mut retries: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events.iter().filter(|event| event.ty == "job:retried") {
        *retries.entry(&event.job).or_default() += 1;
    }
    let mut in_bulk = 0;
    for group in &evidence.groups {
        in_bulk += group.check(&retries, &deleted)?;
    }
    let (events, requests, deleted) = (events.len(), evidence.received.len(), deleted.len());
    Ok(Counted { events, ends, requests, again, deleted, outlived, in_bulk })
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use serde_json::json;

    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn frame(pos: u64, ty: &str, job: &str, seq: u64) -> Frame {
        let data = match ty {
            "job:deleted" => format!(r#"{{"pos":{pos},"type":"{ty}","data":{{"deletedJobId":"{job}"}}}}"#),
            _ => format!(r#"{{"pos":{pos},"jobId":"{job}","jobSeq":{seq},"type":"{ty}"}}"#),
        };
        Frame { event: ty.into(), data, id: format!("0-1-{pos}") }
    }

    fn request(path: &str, id: &str, frame: &Frame) -> Received {
        use base64::{Engine as _, engine::general_purpose::STANDARD};

        let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{id}.1.{}", frame.data).as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let headers =
            [("webhook-id", id), ("webhook-timestamp", "1"), ("webhook-signature", signature.as_str())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Received { path: path.into(), headers, body: frame.data.clone() }
    }

    /// Two jobs that ended and were told; the second has a webhook of its own, and the first is deleted.
    fn evidence() -> Evidence {
        let frames = vec![
            frame(1, "job:enqueued", "a", 1),
            frame(2, "job:enqueued", "b", 1),
            frame(3, "job:completed", "a", 2),
            frame(5, "job:failed", "b", 2),
            frame(8, "job:deleted", "a", 0),
            frame(9, "job:webhook:delivered", "b", 3),
            frame(11, "job:webhook:delivered", "b", 4),
        ];
        let received = vec![
            request("/endpoint", "one", &frames[2]),
            request("/endpoint", "two", &frames[3]),
            request("/own", "three", &frames[3]),
            request("/endpoint", "two", &frames[3]),
        ];
        let known = |own| Acknowledged { own, runs: 1 };
        let acknowledged = [("a".to_owned(), known(false)), ("b".to_owned(), known(true))].into();
        let groups = Vec::new();
        Evidence { seen: [frames.clone(), frames], received, acknowledged, groups, secret: SECRET.into() }
    }

    /// As that, and two jobs were retried in bulk, beside one that retention had taken.
    fn evidence_with_bulk() -> Evidence {
        let mut all = evidence();
        for seen in &mut all.seen {
            seen.extend([frame(20, "job:enqueued", "x", 1), frame(21, "job:enqueued", "y", 1)]);
            seen.extend([frame(22, "job:retried", "x", 2), frame(23, "job:retried", "y", 2)]);
        }
        let outcome = json!({ "state": "completed", "total": 2, "done": 2, "skipped": 0, "failed": 0 });
        all.groups.push(Group::for_test(&["x", "y", "a"], outcome));
        all
    }

    #[test]
    fn planted_faults_of_a_bulk_operation_are_caught() {
        assert_eq!(check(&evidence_with_bulk()).unwrap().in_bulk, 2);
        type Plant = fn(&mut Evidence);
        let plants: [(&str, Plant); 5] = [
            ("x was changed 2 times", |all| {
                all.seen.iter_mut().for_each(|seen| seen.push(frame(24, "job:retried", "x", 3)));
            }),
            ("y was passed over", |all| all.seen.iter_mut().for_each(|seen| _ = seen.pop())),
            ("the operation says", |all| {
                let outcome =
                    json!({ "state": "completed", "total": 3, "done": 3, "skipped": 0, "failed": 0 });
                all.groups[0] = Group::for_test(&["x", "y", "a"], outcome);
            }),
            ("the operation says", |all| {
                let outcome =
                    json!({ "state": "completed", "total": 9, "done": 2, "skipped": 0, "failed": 0 });
                all.groups[0] = Group::for_test(&["x", "y", "a"], outcome);
            }),
            ("the operation says", |all| {
                let outcome = json!({ "state": "failed", "total": 2, "done": 2, "skipped": 0, "failed": 0 });
                all.groups[0] = Group::for_test(&["x", "y", "a"], outcome);
            }),
        ];
        for (problem, plant) in plants {
            let mut all = evidence_with_bulk();
            plant(&mut all);
            let found = check(&all).unwrap_err();
            assert!(found.contains(problem), "{problem} was expected, but: {found}");
        }
    }

    #[test]
    fn what_is_whole_passes() {
        let counted = check(&evidence()).unwrap();
        assert_eq!((counted.events, counted.ends, counted.again), (7, 2, 1));
        assert_eq!((counted.deleted, counted.outlived), (1, 1));
        evidence().is_complete().unwrap();
    }

    #[test]
    fn planted_faults_are_caught() {
        type Plant = fn(&mut Evidence);
        let plants: [(&str, Plant); 14] = [
            ("/endpoint was never told", |all| drop(all.received.remove(0))),
            ("/own was never told", |all| drop(all.received.remove(2))),
            ("another id or body", |all| all.received[3] = request("/endpoint", "other", &all.seen[0][3])),
            ("one id for two", |all| all.received[0] = request("/endpoint", "two", &all.seen[0][2])),
            ("a wrong signature", |all| all.received[1].body.push(' ')),
            ("something else", |all| {
                let told = frame(3, "job:completed", "b", 2);
                all.received[0] = request("/endpoint", "one", &told);
            }),
            ("nobody saw it", |all| {
                all.received.push(request("/endpoint", "four", &frame(4, "job:completed", "a", 3)));
            }),
            ("twice, or out of order", |all| all.seen[0].insert(1, all.seen[0][0].clone())),
            ("twice, or out of order", |all| all.seen[1].swap(0, 1)),
            ("skipped", |all| drop(all.seen[0].remove(0))),
            // A deletion has no number within its job: only the other follower shows that it is missing.
            ("skipped", |all| drop(all.seen[1].remove(4))),
            ("skipped", |all| drop(all.seen[1].pop())),
            ("missed events", |all| all.seen[0][2].event = "stream:gap".into()),
            ("of which 0 ended", |all| {
                all.acknowledged.insert("c".into(), Acknowledged { own: false, runs: 1 });
            }),
        ];
        for (problem, plant) in plants {
            let mut all = evidence();
            plant(&mut all);
            let found = check(&all).unwrap_err();
            assert!(found.contains(problem), "{problem} was expected, but: {found}");
        }
    }

    #[test]
    fn it_waits_for_what_is_missing() {
        let mut all = evidence();
        all.seen.iter_mut().for_each(|seen| _ = seen.pop());
        assert!(all.is_complete().unwrap_err().contains("is not recorded"));
        let mut all = evidence();
        all.seen[1].pop();
        assert!(all.is_complete().unwrap_err().contains("one saw"));
        let mut all = evidence();
        all.acknowledged.get_mut("a").unwrap().runs = 2;
        assert!(all.is_complete().unwrap_err().contains("acknowledged for 2 runs"));
    }
}
