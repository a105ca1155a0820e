//! Heartbeats: a thread and a connection of their own, so that neither a batch nor a reader holds them up.

use std::{
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use stepwell_core::{Clock, Error, Result, SessionId, Timestamp, session::Beat, time::Stopwatch};
use uuid::Uuid;

use crate::{
    connection::Conn,
    error::{self, Failure},
    sql::sql,
};

/// How long a beat may take before it counts as not recorded: there is time for a second connection.
const BEAT_MAX: Duration = Duration::from_secs(8);
/// How long an answer may take before the connection is given up. A way to the database that swallows everything must
/// not cost a session its life.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// A beat is as good as its record: if a crash of the server takes it back, the next one is there before it is missed.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '2s'; SET LOCAL synchronous_commit = off";

struct Asked {
    session: SessionId,
    since: Stopwatch,
    reply: Sender<Result<Beat>>,
}

/// Where heartbeats are recorded, and the database's clock is read on the way.
pub(crate) struct Beats {
    asked: Mutex<Option<Sender<Asked>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Beats {
    pub(crate) fn start(conn: Conn, clock: Clock, ttl: Duration) -> Result<Self> {
        let (asked, asks) = channel();
        let thread = std::thread::Builder::new().name("stepwell-beat".into());
        let thread = thread.spawn(move || serve(conn, &clock, ttl, &asks));
        let thread = thread.map_err(|error| Error::storage("start the thread of heartbeats", error))?;
        Ok(Self { asked: Mutex::new(Some(asked)), thread: Mutex::new(Some(thread)) })
    }

    /// Keeps a session alive, unless it was found dead.
    pub(crate) fn beat(&self, session: SessionId) -> Result<Beat> {
        let (reply, answer) = channel();
        match &*self.asked.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(asked) => drop(asked.send(Asked { session, since: Stopwatch::start(), reply })),
            None => return Err(Error::closed()),
        }
        match answer.recv_timeout(BEAT_MAX) {
            Ok(beat) => beat,
            Err(RecvTimeoutError::Timeout) => Err(Error::storage("record a heartbeat", Failure::Late)),
            Err(RecvTimeoutError::Disconnected) => Err(Error::closed()),
        }
    }

    pub(crate) fn close(&self) {
        drop(self.asked.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(thread.join());
        }
    }
}

fn serve(conn: Conn, clock: &Clock, ttl: Duration, asks: &Receiver<Asked>) {
    let mut conn = conn.patient_for(ANSWER_MAX);
    for Asked { session, since, reply } in asks {
        // Whoever asked so long ago waits no more, and the next one is late enough.
        if since.elapsed() >= BEAT_MAX {
            continue;
        }
        // Whatever it fails with, the connection may be lost, or in a transaction that can only be taken back. That is
        // no reason to miss this beat, and none to miss the next.
        let mut attempt = || {
            let beat = record(&mut conn, clock, session, ttl);
            if beat.is_err() {
                conn.disconnect();
            }
            beat
        };
        let beat = attempt().or_else(|_| attempt());
        // Nobody may be waiting any more, which changes nothing.
        drop(reply.send(beat.map_err(error::of("record a heartbeat"))));
    }
}

fn record(
    conn: &mut Conn,
    clock: &Clock,
    session: SessionId,
    ttl: Duration,
) -> std::result::Result<Beat, Failure> {
    conn.connect()?;
    sample(conn, clock)?;
    conn.run(BEGIN)?;
    let now = clock.now();
    let (expires_at, now) = ((now + ttl).as_micros(), now.as_micros());
    let beaten = conn.execute(sql!("session", "beat"), &[&Uuid::from(session), &expires_at, &now])?;
    conn.run("COMMIT")?;
    Ok(Beat { alive: beaten > 0 })
}

/// Lets the clock follow the database's.
pub(crate) fn sample(conn: &mut Conn, clock: &Clock) -> std::result::Result<(), Failure> {
    if let Some(row) = conn.query_opt(sql!("clock", "read"), &[])? {
        clock.follow(Timestamp::from_micros(row.try_get(0)?));
    }
    Ok(())
}
