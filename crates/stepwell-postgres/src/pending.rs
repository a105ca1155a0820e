//! What a transaction has decided and not yet sent: hundreds of changes become a few statements.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use serde::Serialize;
use stepwell_core::{Error, Json, Name, Phases, Result, event::Draft, limits, machine::LogLine};
use uuid::Uuid;

use crate::{
    connection::Call,
    sql::sql,
    tables::row::{self, Held, Link, signed},
};

/// Rows of the log that wait at most.
const ROWS_MAX: usize = 8_192;

/// The batch of events that is not numbered yet: the one that waits here.
pub(crate) const OPEN: i64 = -1;

/// What waits to be written, beside the rows of jobs, which the ledger holds.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) payloads: Vec<(i64, Json)>,
    pub(crate) new_payloads: HashMap<i64, Json>,
    pub(crate) results: HashMap<(i64, i32), Json>,
    pub(crate) checkpoints: HashMap<(i64, i32), Option<Json>>,
    pub(crate) elements: HashMap<(i64, i32, i32), (String, Json)>,
    pub(crate) lines: Vec<(i64, LogLine)>,
    pub(crate) unindexed: Vec<i64>,
    pub(crate) tags: Vec<(i64, Name)>,
    pub(crate) attributes: Vec<(i64, Name, String)>,
    pub(crate) deleted: Vec<i64>,
    events: Vec<Event>,
    upto: i32,
    drafts: Option<(Vec<Draft>, Arc<str>)>,
}

/// A row of the log.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) n: i32,
    pub(crate) key: i64,
    pub(crate) uuid: Uuid,
    pub(crate) kind: i32,
    pub(crate) queue: i32,
    pub(crate) last_job_seq: i64,
    pub(crate) run: u32,
    pub(crate) at: i64,
    pub(crate) types: u32,
    pub(crate) prev: Link,
    pub(crate) data: Arc<str>,
}

impl Pending {
    /// Whether nothing waits beside events and deletions.
    pub(crate) fn has_nothing_beside(&self) -> bool {
        self.payloads.is_empty()
            && self.new_payloads.is_empty()
            && self.results.is_empty()
            && self.checkpoints.is_empty()
            && self.elements.is_empty()
            && self.lines.is_empty()
            && self.unindexed.is_empty()
            && self.tags.is_empty()
            && self.attributes.is_empty()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.has_nothing_beside() && self.deleted.is_empty() && self.events.is_empty()
    }
    /// Whether it should be written before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.events.len() >= ROWS_MAX
    }
    /// How many events wait.
    pub(crate) fn events(&self) -> i32 {
        self.upto
    }

    /// Adds what a transition said, and answers where it stands.
    pub(crate) fn append(&mut self, event: Event) -> Link {
        self.upto += event.n;
        self.events.push(event);
        (OPEN, self.upto)
    }
    /// Events as they are stored. Those of the job before are often the same.
    pub(crate) fn drafts(&mut self, drafts: Vec<Draft>) -> Result<Arc<str>> {
        if let Some((known, text)) = &self.drafts
            && *known == drafts
        {
            return Ok(text.clone());
        }
        let text = encode(&drafts)?;
        self.drafts = Some((drafts, text.clone()));
        Ok(text)
    }

    /// How what stands beside the rows is written.
    pub(crate) fn beside<'a>(&'a self) -> Vec<Call<'a>> {
        let mut calls = Vec::new();
        let mut add = |empty: bool, call: &dyn Fn() -> Call<'a>| {
            if !empty {
                calls.push(call());
            }
        };
        add(self.payloads.is_empty(), &|| {
            let call = Call::new(sql!("beside", "insert_payloads"));
            call.with(column(&self.payloads, |(key, _)| *key))
                .with(column(&self.payloads, |(_, body)| body.as_str()))
        });
        add(self.new_payloads.is_empty(), &|| {
            let call = Call::new(sql!("beside", "update_payloads"));
            call.with(column(&self.new_payloads, |(key, _)| *key))
                .with(column(&self.new_payloads, |(_, body)| body.as_str()))
        });
        add(self.results.is_empty(), &|| {
            let call = Call::new(sql!("beside", "put_results"));
            call.with(column(&self.results, |((key, _), _)| *key))
                .with(column(&self.results, |((_, phase), _)| *phase))
                .with(column(&self.results, |(_, body)| body.as_str()))
        });
        let (kept, gone): (Vec<_>, Vec<_>) = self.checkpoints.iter().partition(|(_, value)| value.is_some());
        add(kept.is_empty(), &|| {
            let call = Call::new(sql!("beside", "put_checkpoints"));
            call.with(column(&kept, |((key, _), _)| *key))
                .with(column(&kept, |((_, phase), _)| *phase))
                .with(kept.iter().map(|(_, value)| value.as_ref().map(Json::as_str)).collect::<Vec<_>>())
        });
        add(gone.is_empty(), &|| {
            let call = Call::new(sql!("beside", "delete_checkpoints"));
            call.with(column(&gone, |((key, _), _)| *key)).with(column(&gone, |((_, phase), _)| *phase))
        });
        add(self.elements.is_empty(), &|| {
            let call = Call::new(sql!("beside", "put_elements"));
            call.with(column(&self.elements, |((key, ..), _)| *key))
                .with(column(&self.elements, |((_, phase, _), _)| *phase))
                .with(column(&self.elements, |((.., index), _)| *index))
                .with(column(&self.elements, |(_, (hash, _))| hash.as_str()))
                .with(column(&self.elements, |(_, (_, result))| result.as_str()))
        });
        add(self.lines.is_empty(), &|| {
            let call = Call::new(sql!("beside", "insert_lines"));
            call.with(column(&self.lines, |(key, _)| *key))
                .with(column(&self.lines, |(_, line)| line.at.as_micros()))
                .with(column(&self.lines, |(_, line)| line.phase.as_deref()))
                .with(column(&self.lines, |(_, line)| line.text.as_str()))
        });
        add(self.lines.is_empty(), &|| {
            let mut keys = column(&self.lines, |(key, _)| *key);
            keys.dedup();
            let kept = i64::try_from(limits::LOG_LINES_MAX).unwrap_or(i64::MAX);
            Call::new(sql!("beside", "trim_log")).with(keys).with(kept)
        });
        add(self.unindexed.is_empty(), &|| Call::new(sql!("beside", "unindex")).with(&self.unindexed));
        add(self.tags.is_empty() && self.attributes.is_empty(), &|| {
            let call = Call::new(sql!("beside", "index"));
            call.with(column(&self.tags, |(key, _)| *key))
                .with(column(&self.tags, |(_, tag)| &**tag))
                .with(column(&self.attributes, |(key, ..)| *key))
                .with(column(&self.attributes, |(_, name, _)| &**name))
                .with(column(&self.attributes, |(.., value)| value.as_str()))
        });
        add(self.deleted.is_empty(), &|| Call::new(sql!("job", "delete")).with(&self.deleted));
        calls
    }

    /// How the events are written, as a batch with this number.
    pub(crate) fn batch(&self, day: i32, seq: i64) -> Option<Call<'_>> {
        if self.events.is_empty() {
            return None;
        }
        let mut upto = 0;
        let ends = self.events.iter().map(|event| {
            upto += event.n;
            upto
        });
        let ends: Vec<i32> = ends.collect();
        let events = &self.events;
        let call = Call::new(sql!("event", "insert")).with(day).with(seq).with(self.upto).with(ends);
        Some(
            call.with(column(events, |event| event.n))
                .with(column(events, |event| event.key))
                .with(column(events, |event| event.uuid))
                .with(column(events, |event| event.kind))
                .with(column(events, |event| event.queue))
                .with(column(events, |event| event.last_job_seq))
                .with(column(events, |event| signed(event.run)))
                .with(column(events, |event| event.at))
                .with(column(events, |event| i64::from(event.types)))
                .with(column(events, |event| in_batch(event.prev, seq).0))
                .with(column(events, |event| event.prev.1))
                .with(column(events, |event| &*event.data)),
        )
    }
}

/// A place, once the batch that waits has its number.
pub(crate) fn in_batch((batch, upto): Link, seq: i64) -> Link {
    (if batch == OPEN { seq } else { batch }, upto)
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Arc<str>> {
    serde_json::to_string(value).map(Arc::from).map_err(Error::encode)
}

fn column<'a, I: IntoIterator + 'a, T>(rows: I, of: impl Fn(I::Item) -> T) -> Vec<T> {
    rows.into_iter().map(of).collect()
}

/// The columns of jobs' rows that are written together.
pub(crate) struct Images<'a> {
    rows: Vec<&'a Held>,
    phases: Vec<Arc<str>>,
    details: Vec<Option<String>>,
}

impl<'a> Images<'a> {
    pub(crate) fn of(rows: Vec<&'a Held>) -> Result<Self> {
        let mut known: HashMap<&Phases, Arc<str>> = HashMap::new();
        let (mut phases, mut details) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for held in &rows {
            let job = &held.row.job;
            // Jobs that are enqueued, or end, together have the same.
            let text = match known.get(&job.phases) {
                Some(text) => text.clone(),
                None => encode(&*job.phases)?,
            };
            known.entry(&job.phases).or_insert_with(|| text.clone());
            phases.push(text);
            details.push(row::details_text(&job.details)?);
        }
        Ok(Self { rows, phases, details })
    }
    fn column<T>(&self, of: impl Fn(&'a Held) -> T) -> Vec<T> {
        self.rows.iter().copied().map(of).collect()
    }

    pub(crate) fn insert(&self, seq: i64) -> Option<Call<'_>> {
        if self.rows.is_empty() {
            return None;
        }
        let call = Call::new(sql!("job", "insert"))
            .with(self.column(|held| held.row.key))
            .with(self.column(|held| Uuid::from(held.row.job.id)))
            .with(self.column(|held| held.names.kind))
            .with(self.column(|held| held.names.queue))
            .with(self.column(|held| held.names.home_queue))
            .with(self.column(|held| held.row.job.priority))
            .with(self.column(|held| signed(held.row.job.max_crashes)))
            .with(self.column(|held| held.row.job.enqueued_at.as_micros()))
            .with(self.column(|held| held.row.job.available_at.as_micros()))
            .with(self.column(|held| row::micros(held.row.job.expires_at)))
            .with(self.column(|held| held.row.job.unique_key.as_deref()))
            .with(self.column(|held| held.ready));
        Some(self.rest(call, seq))
    }
    pub(crate) fn update(&self, seq: i64) -> Option<Call<'_>> {
        if self.rows.is_empty() {
            return None;
        }
        let call = Call::new(sql!("job", "update"))
            .with(self.column(|held| held.row.key))
            .with(self.column(|held| held.names.queue))
            .with(self.column(|held| held.names.home_queue))
            .with(self.column(|held| held.row.job.priority))
            .with(self.column(|held| held.row.job.available_at.as_micros()))
            .with(self.column(|held| row::micros(held.row.job.expires_at)))
            .with(self.column(|held| held.ready));
        Some(self.rest(call, seq))
    }
    fn rest<'b>(&'b self, call: Call<'b>, seq: i64) -> Call<'b> {
        call.with(self.column(|held| held.row.job.state as i16))
            .with(self.column(|held| held.row.job.reason.and_then(|reason| reason.number()).map(i16::from)))
            .with(self.column(|held| held.row.job.version.cast_signed()))
            .with(self.column(|held| signed(held.row.job.run)))
            .with(self.column(|held| signed(held.row.job.attempt)))
            .with(self.column(|held| signed(held.row.job.crashes)))
            .with(self.column(|held| held.row.job.epoch.cast_signed()))
            .with(self.column(|held| held.row.job.lease.map(|lease| Uuid::from(lease.session))))
            .with(
                self.column(|held| held.row.job.lease.map(|lease| Uuid::from_bytes(*lease.token.as_bytes()))),
            )
            .with(self.column(|held| held.names.plan))
            .with(self.column(|held| held.row.job.plan.as_ref().map(|plan| plan.generation.cast_signed())))
            .with(self.column(|held| row::micros(held.row.job.cancel_requested_at)))
            .with(self.column(|held| row::micros(held.row.job.cancel_deadline)))
            .with(self.column(|held| row::micros(held.row.job.finished_at)))
            .with(self.column(|held| held.row.job.next_seq.cast_signed()))
            .with(self.column(|held| in_batch(held.last, seq).0))
            .with(self.column(|held| held.last.1))
            .with(self.column(|held| held.elements))
            .with(self.details.iter().map(Option::as_deref).collect::<Vec<_>>())
            .with(self.phases.iter().map(|text| &**text).collect::<Vec<_>>())
    }
}
