//! What every file of cases uses.

pub(crate) use std::{collections::BTreeMap, time::Duration};

pub(crate) use serde_json::json as value;
pub(crate) use stepwell_core::{
    Error, Event, EventType, Job, JobId, JobState, Json, Name, PhaseSpec, PhaseState, PlanSpec, Retry,
    SessionId, Timestamp, Token, Unique,
    event::EventFilter,
    explain::{self, Explanation},
    job::{Progress, Reason},
    lease::Fence,
    limits,
    machine::{Command, Edit, LogLine, NewJob, RetryFrom, Verdict},
    queue::{Queue, QueueChange},
    retention::{Keep, Retention},
    schedule::When,
    session::{About, Desired, Node, Session, SessionState},
    store::{
        Count, JobFilter, Lane, Order, PageRequest,
        inbox::{InboxEntry, InboxOutcome},
    },
};

pub(crate) use crate::world::{
    Hold, KIND, QUEUE, Worker, World, complete, data, json, json_of_bytes, plan, plan_of, seconds, shape,
};
