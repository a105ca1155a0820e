//! In which order everything is checked and started.

use std::sync::{Arc, Mutex};

use stepwell_core::{Clock, Error, Result, Timestamp, store::Description};

use crate::{
    beat::Beats,
    committer::{Committer, State},
    connection::Conn,
    error, head,
    ledger::{Ledger, get},
    migrate,
    options::{Durability, PostgresOptions},
    read::Readers,
    session::Sessions,
    sql::sql,
    store::Postgres,
    target::Target,
    wake,
};

impl Postgres {
    /// Opens a store. It blocks until the database has answered and its schema is up to date.
    ///
    /// # Errors
    /// If the database cannot be reached or used, with what to do about it; or if its schema is newer than this
    /// release.
    pub fn open(options: &PostgresOptions) -> Result<Self> {
        // A thread that runs an application's futures must not wait for those of a connection.
        std::thread::scope(|scope| {
            let opening = std::thread::Builder::new().name("stepwell-open".into());
            let opening = opening.spawn_scoped(scope, || Self::open_here(options));
            let opening =
                opening.map_err(|error| Error::storage("start the thread that opens a store", error))?;
            opening.join().unwrap_or_else(|_| {
                Err(Error::fatal("opening the store failed; this is a defect of Stepwell"))
            })
        })
    }

    fn open_here(options: &PostgresOptions) -> Result<Self> {
        let target = Arc::new(Target::new(options)?);
        let mut conn = Conn::new(target.clone())?;
        conn.connect().map_err(error::of("connect to the database"))?;
        target.set_pooled(is_pooled(&mut conn, &target)?);
        let shown = time(&mut conn)?;
        let clock = options.clock.clone().unwrap_or_else(|| Clock::following(shown));
        migrate::run(&mut conn, options.generation, clock.now())?;
        // Whatever is written after this is written to the log that is known.
        let standing = head::recognize(&mut conn)?;
        let read = error::of("read the head of the log");
        // Whoever committed last may not have come to it.
        conn.query(sql!("event", "number"), &[&clock.now().as_micros(), &false]).map_err(&read)?;
        let row = conn.query_opt(sql!("meta", "log"), &[]).map_err(&read)?;
        let row = row.ok_or_else(|| Error::fatal("the log has no head; restore a backup"))?;
        let (next_pos, recorded): (i64, i64) = (get(&row, 0, "open")?, get(&row, 2, "open")?);
        clock.not_before(Timestamp::from_micros(recorded));
        target.head.grow(standing.n(), next_pos.cast_unsigned().saturating_sub(1));

        let state = Arc::new(State::default());
        let description = Description {
            store: "postgres",
            location: target.location(),
            durability: durability(&mut conn, options.durability)?,
            generation: target.head.generation().to_string(),
            notices: Vec::new(),
        };
        let mut committers = Vec::new();
        for _ in 0..options.committers.max(1) {
            let ledger = Ledger::new(Conn::new(target.clone())?, clock.clone());
            committers.push(Committer::new(ledger, state.clone(), options.busy_deadline).start()?);
        }
        let beats = Beats::start(Conn::new(target.clone())?, clock.clone(), options.session_ttl)?;
        let connections =
            (0..options.readers.max(1)).map(|_| Conn::new(target.clone())).collect::<Result<_>>()?;
        let readers = Readers::spawn(connections, options.busy_deadline)?;
        let wake = wake::start(target.clone(), state.clone(), clock.clone())?;
        let sessions = Arc::new(Sessions::new(options.session_ttl, clock.clone()));
        let (committers, wake) = (Arc::new(Mutex::new(committers)), Arc::new(Mutex::new(Some(wake))));
        let (readers, beats) = (Arc::new(readers), Arc::new(beats));
        Ok(Self { state, target, committers, wake, readers, beats, sessions, clock, description })
    }
}

/// Whether a pooler hands connections on after each transaction: one connection of ours is now this server process and
/// now that one, or two are the same. What was prepared under a name would then mean something else the next time.
pub(crate) fn is_pooled(conn: &mut Conn, target: &Arc<Target>) -> Result<bool> {
    let failed = error::of("look for a pooler");
    let mut other = Conn::new(target.clone())?;
    other.connect().map_err(&failed)?;
    let process = |conn: &mut Conn| conn.value(sql!("meta", "process")).map_err(&failed);
    let mut seen = [Vec::new(), Vec::new()];
    // Not by turns: a pooler that goes round among two would answer each of ours with its own.
    for nth in [0, 1, 1, 0, 0, 1, 1, 1, 0] {
        seen[nth].push(process(if nth == 0 { &mut *conn } else { &mut other })?);
    }
    let [here, there] = seen;
    let one_each = here.iter().all(|one| *one == here[0]) && there.iter().all(|one| *one == there[0]);
    Ok(!one_each || here[0] == there[0])
}

/// What an acknowledgement means, for people.
fn durability(conn: &mut Conn, wanted: Durability) -> Result<String> {
    const READ: &str = "read the database's settings";
    let row = conn.query_opt(sql!("meta", "synchronous"), &[]).map_err(error::of(READ))?;
    let server: String = row.map_or(Ok(String::new()), |row| get(&row, 0, READ))?;
    let means = match wanted {
        Durability::Full => "",
        Durability::Relaxed => " (a crash of the server may take back the last of it)",
    };
    Ok(format!("synchronous_commit={}{means}", wanted.setting(&server).unwrap_or(&server)))
}

/// The database's time.
pub(crate) fn time(conn: &mut Conn) -> Result<Timestamp> {
    let row = conn.query_opt(sql!("clock", "read"), &[]).map_err(error::of("read the database's clock"))?;
    let micros = row.map_or(Ok(0), |row| get(&row, 0, "read the database's clock"))?;
    Ok(Timestamp::from_micros(micros))
}
