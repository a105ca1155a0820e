//! Who is told of every end, and has seen it all.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex},
};

use super::sink::{Received, Reply, Sink};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver of webhooks that fails now and then at the first attempt.
pub(crate) struct Receiver {
    sink: Sink,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// For each `pos`, the delivery that told of it.
    told: BTreeMap<u64, String>,
    /// For each delivery, the `pos` that it told of.
    ids: HashMap<String, u64>,
    requests: u64,
    problem: Option<String>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let theirs = Arc::clone(&seen);
        let sink = Sink::forgetful(move |request, nth| {
            let is_new = theirs.lock().unwrap().take(request);
            match nth % 200 {
                3 if is_new => Reply::Status(500),
                117 if is_new => Reply::Cut,
                _ => Reply::Status(204),
            }
        })
        .await;
        Self { sink, seen }
    }

    pub(crate) fn url(&self) -> String {
        self.sink.url("/endpoint")
    }

    /// Whether it was told of all these.
    pub(crate) fn has_all(&self, ends: &[u64]) -> bool {
        let seen = self.seen.lock().unwrap();
        ends.iter().all(|pos| seen.told.contains_key(pos))
    }

    /// Whether it was told of exactly these, of each by one delivery, however often that came.
    pub(crate) fn check(&self, ends: &[u64]) -> Result<(), String> {
        self.seen.lock().unwrap().check(ends)
    }
}

impl Seen {
    /// Whether it has not come before.
    fn take(&mut self, request: &Received) -> bool {
        self.requests += 1;
        match self.entered(request) {
            Ok(is_new) => is_new,
            Err(problem) => {
                self.problem.get_or_insert(problem);
                false
            }
        }
    }

    fn check(&self, ends: &[u64]) -> Result<(), String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        if let Some(pos) = ends.iter().find(|pos| !self.told.contains_key(pos)) {
            return Err(format!("nobody was told of the end at {pos}"));
        }
        match self.told.keys().find(|pos| ends.binary_search(pos).is_err()) {
            Some(pos) => Err(format!("somebody was told of {pos}, which is no end")),
            None => Ok(()),
        }
    }

    fn entered(&mut self, request: &Received) -> Result<bool, String> {
        if request.signatures_with(SECRET) != 1 {
            return Err(format!("a wrong signature: {request:?}"));
        }
        let pos = request.json()["pos"].as_u64().ok_or("no pos")?;
        if self.ids.insert(request.id().to_owned(), pos).is_some_and(|before| before != pos) {
            return Err(format!("one id for two deliveries: {request:?}"));
        }
        match self.told.insert(pos, request.id().to_owned()) {
            Some(before) if before != request.id() => {
                Err(format!("two deliveries about {pos}: {before}, {request:?}"))
            }
            before => Ok(before.is_none()),
        }
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.seen.lock().unwrap();
        write!(f, "{} deliveries in {} requests", seen.told.len(), seen.requests)
    }
}

/// The receiver catches what it is there for.
#[test]
fn the_receiver_catches_planted_faults() {
    let problem = |requests: &[(&str, u64, &str)]| {
        let mut seen = Seen::default();
        for (id, pos, secret) in requests {
            seen.take(&request(id, *pos, secret));
        }
        seen.check(&[3, 7]).err()
    };
    let (first, second) = (("a", 3, SECRET), ("b", 7, SECRET));
    assert_eq!(problem(&[first, second, first]), None);
    for (requests, expected) in [
        (&[first][..], "nobody was told of the end at 7"),
        (&[first, second, ("c", 8, SECRET)], "told of 8, which is no end"),
        (&[first, second, ("c", 7, SECRET)], "two deliveries about 7"),
        (&[first, second, ("a", 7, SECRET)], "one id for two deliveries"),
        (&[first, ("b", 7, "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0")], "a wrong signature"),
    ] {
        let found = problem(requests).unwrap_or_else(|| panic!("not caught: {requests:?}"));
        assert!(found.contains(expected), "{found}");
    }
}

/// A request about the event at `pos`, signed with this secret.
fn request(id: &str, pos: u64, secret: &str) -> Received {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use hmac::{Hmac, KeyInit, Mac};

    let body = format!(r#"{{"pos":{pos}}}"#);
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.1.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let headers = [("webhook-id", id), ("webhook-timestamp", "1"), ("webhook-signature", &signature)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Received { path: "/endpoint".into(), headers, body }
}
