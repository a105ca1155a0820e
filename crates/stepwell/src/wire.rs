//! How an event is written for others: in the stream, in a webhook, for a program on another machine.

use std::sync::OnceLock;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use stepwell_core::{Event as Stored, EventType, JobId, Name, Timestamp};

/// One event of the log, encoded once for everybody who reads it.
///
/// Its form is a contract: `{pos, jobId, jobSeq, type, at, kind, queue, run, attempt, phase?, data}`, and for
/// `job:deleted` only `{pos, type, at, data: {deletedJobId}}`.
#[derive(Debug)]
pub struct Frame {
    stored: Stored,
    json: OnceLock<Bytes>,
    stream: OnceLock<Bytes>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'e> {
    pos: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_seq: Option<u64>,
    r#type: EventType,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'e Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'e Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'e Name>,
    data: Value,
}

impl Frame {
    pub(crate) fn new(stored: Stored) -> Self {
        Self { stored, json: OnceLock::new(), stream: OnceLock::new() }
    }
    pub(crate) fn stored(&self) -> &Stored {
        &self.stored
    }
    /// About how many bytes of memory it takes, once it is encoded in every form.
    pub(crate) fn weight(&self) -> usize {
        /// Of the fields beside the data, and of their names.
        const REST: usize = 1_024;
        REST + 3 * self.stored.data.bytes()
    }
    /// The place in the log.
    #[must_use]
    pub fn pos(&self) -> u64 {
        self.stored.pos
    }
    /// What happened.
    #[must_use]
    pub fn event_type(&self) -> EventType {
        self.stored.ty
    }
    /// The job's queue at that time.
    #[must_use]
    pub fn queue(&self) -> &Name {
        &self.stored.queue
    }
    /// The job's kind.
    #[must_use]
    pub fn kind(&self) -> &Name {
        &self.stored.kind
    }
    /// When, by the store's clock.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.stored.at
    }
    /// The event, typed.
    #[must_use]
    pub fn event(&self) -> crate::events::Event {
        self.stored.clone().into()
    }
    /// The event as a JSON object.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| encode(&self.stored)).clone()
    }
    /// The event as it stands in an event stream (WHATWG HTML, 9.2), with `<generation>-<pos>` as its id.
    #[must_use]
    pub fn stream_frame(&self, generation: &str) -> Bytes {
        let frame = || {
            let (json, ty) = (self.json(), self.stored.ty.as_str());
            let mut frame = format!("id: {generation}-{}\nevent: {ty}\ndata: ", self.stored.pos).into_bytes();
            frame.extend_from_slice(&json);
            frame.extend_from_slice(b"\n\n");
            frame.into()
        };
        self.stream.get_or_init(frame).clone()
    }
}

fn encode(event: &Stored) -> Bytes {
    // Of a job that is no more only its id is told.
    let shown = event.ty != EventType::Deleted;
    let wire = Wire {
        pos: event.pos,
        job_id: shown.then_some(event.job),
        job_seq: shown.then_some(event.job_seq),
        r#type: event.ty,
        at: rfc3339(event.at),
        kind: shown.then_some(&event.kind),
        queue: shown.then_some(&event.queue),
        run: shown.then_some(event.run),
        attempt: shown.then_some(event.attempt),
        phase: event.phase.as_ref(),
        data: data(event),
    };
    // Strings and numbers always encode.
    serde_json::to_vec(&wire).unwrap_or_default().into()
}

/// The data, with its times as times are written for others. Within the log they are numbers.
fn data(event: &Stored) -> Value {
    let mut data: Map<String, Value> = event.data.decode().unwrap_or_default();
    for (name, value) in &mut data {
        if name.ends_with("At")
            && let Some(micros) = value.as_i64()
        {
            *value = rfc3339(Timestamp::from_micros(micros)).into();
        }
    }
    data.into()
}

/// A time as RFC 3339 has it, in UTC with microseconds.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    let written = |at: jiff::Timestamp| format!("{at:.6}");
    // A time that no calendar holds is one that nobody meant; it is shown as the nearest.
    let nearest = if at.as_micros() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_microsecond(at.as_micros()).map_or_else(|_| written(nearest), written)
}

/// Reads a time as RFC 3339 has it.
///
/// # Errors
/// What is wrong with it.
pub fn parse_rfc3339(text: &str) -> Result<Timestamp, String> {
    let at: jiff::Timestamp = text.parse().map_err(|error| format!("is not a time ({error}): {text:?}"))?;
    Ok(Timestamp::from_micros(at.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use stepwell_core::Json;

    use super::*;

    fn stored(ty: EventType, data: &str) -> Stored {
        Stored {
            pos: 41,
            job: JobId::from_parts(Timestamp::from_micros(1_800_000_000_000_000), [7; 10]),
            job_seq: 3,
            run: 1,
            ty,
            at: Timestamp::from_micros(1_800_000_000_000_001),
            kind: "mail".into(),
            queue: "default".into(),
            phase: None,
            attempt: 2,
            data: Json::from_text(data).unwrap(),
            tags: Vec::new(),
            hooked: false,
        }
    }

    #[test]
    fn an_event_has_its_form() {
        let frame = Frame::new(stored(EventType::Retrying, r#"{"availableAt":1800000000500000}"#));
        assert_eq!(
            std::str::from_utf8(&frame.json()).unwrap(),
            r#"{"pos":41,"jobId":"01a3185c-5000-7707-8707-070707070707","jobSeq":3,"type":"job:retrying","at":"#
                .to_owned()
                + r#""2027-01-15T08:00:00.000001Z","kind":"mail","queue":"default","run":1,"attempt":2,"#
                + r#""data":{"availableAt":"2027-01-15T08:00:00.500000Z"}}"#
        );
        let stream = frame.stream_frame("g");
        let text = std::str::from_utf8(&stream).unwrap();
        assert!(text.starts_with("id: g-41\nevent: job:retrying\ndata: {\"pos\":41,"));
        assert!(text.ends_with("}\n\n") && text.lines().count() == 4, "a stream's lines end a field");
    }

    #[test]
    fn a_deleted_job_leaves_its_id() {
        let frame = Frame::new(stored(EventType::Deleted, r#"{"deletedJobId":"x"}"#));
        assert_eq!(
            std::str::from_utf8(&frame.json()).unwrap(),
            r#"{"pos":41,"type":"job:deleted","at":"2027-01-15T08:00:00.000001Z","data":{"deletedJobId":"x"}}"#
        );
    }

    #[test]
    fn times_survive() {
        let at = Timestamp::from_micros(1_800_000_000_123_456);
        assert_eq!(parse_rfc3339(&rfc3339(at)).unwrap(), at);
        assert_eq!(parse_rfc3339("2027-01-15T09:00:00+01:00").unwrap().as_micros(), 1_800_000_000_000_000);
        assert!(parse_rfc3339("tomorrow").unwrap_err().starts_with("is not a time"));
        assert!(rfc3339(Timestamp::from_micros(i64::MAX)).starts_with("9999-12-30"));
    }
}
