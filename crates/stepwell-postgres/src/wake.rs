//! What other nodes wrote: they say so, and if that is not heard, the log shows it.
//!
//! What a node commits it tells the others by `NOTIFY`, apart from its transactions and not more often than every few
//! milliseconds: each notification takes a lock that all committers of the database share. Whoever hears nothing, such
//! as a node behind a pooler, looks by itself.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use stepwell_core::{Clock, Error, Result, Timestamp, store::Change, time::Stopwatch};
use tokio::{
    runtime::Builder,
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tokio_postgres::{AsyncMessage, Client, types::Type};

use crate::{
    committer::State,
    error::Failure,
    head::{Standing, Verdict, warn},
    sql,
    sql::sql,
    target::Target,
};

/// The shortest time between two notifications of one node.
const SPACING: Duration = Duration::from_millis(20);
/// How often a node looks by itself that hears the others.
const LOOK: Duration = Duration::from_secs(1);
/// How often one does that does not.
const LOOK_DEAF: Duration = Duration::from_millis(200);
/// How often the database's clock is read.
const SAMPLE: Duration = Duration::from_secs(30);
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The pause after the first failure to connect; it doubles up to the second.
const PAUSE: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// What this node has to tell the others.
#[derive(Default)]
pub(crate) struct News {
    change: Mutex<Change>,
    woken: Notify,
}

impl News {
    /// Adds what was committed.
    pub(crate) fn add(&self, change: Change) {
        let mut news = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        *news = Change {
            ready: news.ready || change.ready,
            due: news.due.into_iter().chain(change.due).min(),
            cancelling: news.cancelling || change.cancelling,
            desired: news.desired || change.desired,
            events: news.events || change.events,
            foreign: false,
        };
        drop(news);
        self.woken.notify_one();
    }
    fn take(&self) -> Change {
        std::mem::take(&mut *self.change.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A change as it is told: who tells it, what it is, and how far the log goes, of which generation. Nodes of earlier
/// releases do not tell the last, and do not read so far.
fn encode(node: &str, change: Change, (n, head): (i64, u64)) -> String {
    let bits = u8::from(change.ready)
        | u8::from(change.cancelling) << 1
        | u8::from(change.events) << 2
        | u8::from(change.desired) << 3;
    let due = change.due.map_or_else(String::new, |due| due.as_micros().to_string());
    format!("{node} {bits} {due} {head} {n}")
}

/// The opposite; none if it makes no sense, as what anybody else may send there.
fn decode(text: &str) -> Option<(&str, Change, u64, Option<i64>)> {
    let mut words = text.split(' ');
    let (node, bits, due, head) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let bits: u8 = bits.parse().ok()?;
    let due = if due.is_empty() { None } else { Some(Timestamp::from_micros(due.parse().ok()?)) };
    let change = Change {
        ready: bits & 1 != 0,
        due,
        cancelling: bits & 2 != 0,
        desired: bits & 8 != 0,
        events: bits & 4 != 0,
        foreign: false,
    };
    let n = words.next().map(str::parse).transpose().ok()?;
    Some((node, change, head.parse().ok()?, n))
}

/// Starts the thread. It ends with the store.
pub(crate) fn start(target: Arc<Target>, state: Arc<State>, clock: Clock) -> Result<JoinHandle<()>> {
    let failed = |error: std::io::Error| Error::storage("start the thread that listens", error);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let thread = std::thread::Builder::new().name("stepwell-wake".into());
    let thread = thread.spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                () = serve(&target, &state, &clock) => {}
                () = target.ended() => {}
            }
        });
    });
    thread.map_err(failed)
}

async fn serve(target: &Target, state: &State, clock: &Clock) {
    let mut pause = PAUSE[0];
    loop {
        match Ear::open(target).await {
            Ok(mut ear) => {
                pause = PAUSE[0];
                // Anything may have happened while nobody listened.
                state.announce(Change { foreign: true, ..Change::default() });
                // Whatever it fails with, the next connection begins where this one ended.
                let Err(failure) = ear.listen(target, state, clock).await;
                tracing::debug!(%failure, "the connection that listens was lost; it is made again");
            }
            // The committers say why, to those who wait for an answer.
            Err(_) => {
                sleep(pause).await;
                pause = (2 * pause).min(PAUSE[1]);
            }
        }
    }
}

/// A connection that listens.
struct Ear {
    client: Client,
    heard: mpsc::UnboundedReceiver<String>,
    /// The schema's name: what is told in one is of no use in another.
    channel: Arc<str>,
    node: String,
    pooled: bool,
    /// Whether it has heard anything, if only itself.
    hears: bool,
    looked: Look,
    /// The generation that this process was told of.
    generation_n: i64,
    /// How often something was wanted of the sessions that there were at the last look.
    desired_n: i64,
}

/// The statements, as they are sent.
struct Look {
    look: String,
    begin_generation: String,
    begin_timeline: String,
    awaited: String,
    tell: String,
    clock: String,
}

impl Ear {
    async fn open(target: &Target) -> std::result::Result<Self, Failure> {
        let connecting = target.config.connect(target.tls.clone());
        let (client, mut connection) = timeout(ANSWER_MAX, connecting).await.map_err(|_| Failure::Late)??;
        let (sender, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            // The client is told of its end by itself.
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(said) = message
                    && sender.send(said.payload().to_owned()).is_err()
                {
                    return;
                }
            }
        });
        let render = |statement| sql::render(statement, &target.schema);
        let looked = Look {
            look: render(sql!("wake", "look")),
            begin_generation: render(sql!("meta", "begin_generation")),
            begin_timeline: render(sql!("meta", "begin_timeline")),
            awaited: render(sql!("meta", "await")),
            tell: render(sql!("wake", "tell")),
            clock: render(sql!("clock", "read")),
        };
        let rows = client.query_typed(sql!("meta", "process"), &[]).await?;
        let process: i32 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        let (channel, pooled) = (target.schema.clone(), target.is_pooled());
        let node = format!("{}-{process}", std::process::id());
        let ear = Self {
            client,
            heard,
            channel,
            node,
            pooled,
            hears: false,
            looked,
            generation_n: -1,
            desired_n: 0,
        };
        if !pooled {
            let listen = format!("LISTEN {}", ear.channel);
            timeout(ANSWER_MAX, ear.client.batch_execute(&listen)).await.map_err(|_| Failure::Late)??;
        }
        Ok(ear)
    }

    async fn listen(
        &mut self,
        target: &Target,
        state: &State,
        clock: &Clock,
    ) -> std::result::Result<Infallible, Failure> {
        let (looking, sampling) = (sleep(Duration::ZERO), sleep(Duration::ZERO));
        tokio::pin!(looking, sampling);
        let mut told = Stopwatch::start();
        loop {
            tokio::select! {
                heard = self.heard.recv() => match heard {
                    Some(text) => self.hear(&text, target, state),
                    None => return Err(Failure::Unconnected),
                },
                () = state.news.woken.notified() => {
                    // What comes in the meantime goes with it.
                    sleep(SPACING.saturating_sub(told.elapsed())).await;
                    self.tell(target, state).await?;
                    told = Stopwatch::start();
                }
                () = &mut looking => {
                    self.look(target, state).await?;
                    looking.set(sleep(self.until_next_look()));
                }
                () = &mut sampling => {
                    self.sample(clock).await?;
                    sampling.set(sleep(SAMPLE));
                }
            }
        }
    }

    /// A little more for some than for others, so that nodes that were started together do not look together.
    fn until_next_look(&self) -> Duration {
        let look = if self.hears { LOOK } else { LOOK_DEAF };
        let share = self.node.bytes().fold(0_u32, |sum, byte| (sum * 31 + u32::from(byte)) % 100);
        look + look * share / 400
    }

    async fn tell(&mut self, target: &Target, state: &State) -> std::result::Result<(), Failure> {
        let change = state.news.take();
        if self.pooled || change == Change::default() {
            return Ok(());
        }
        let text = encode(&self.node, change, target.head.last());
        let params: [(crate::connection::Param<'_>, Type); 2] =
            [(&&*self.channel, Type::TEXT), (&text, Type::TEXT)];
        let telling = self.client.query_typed(&self.looked.tell, &params);
        timeout(ANSWER_MAX, telling).await.map_err(|_| Failure::Late)??;
        Ok(())
    }

    fn hear(&mut self, text: &str, target: &Target, state: &State) {
        self.hears = true;
        let Some((node, change, head, n)) = decode(text) else { return };
        if node != self.node {
            target.head.hear(n.unwrap_or_else(|| target.head.last().0), head);
            state.announce(change);
        }
    }

    /// What is found without having been heard of may be anything.
    async fn look(&mut self, target: &Target, state: &State) -> std::result::Result<(), Failure> {
        let known = target.head.known();
        let looking = self.client.query_typed(&self.looked.look, &[]);
        let rows = timeout(ANSWER_MAX, looking).await.map_err(|_| Failure::Late)??;
        let Some(row) = rows.first() else { return Ok(()) };
        // What is no such row is said by those who write.
        let Ok(found) = Standing::read(row, 0) else { return Ok(()) };
        let (inbox, awaited, desired_n): (bool, bool, i64) =
            (row.try_get(8)?, row.try_get(9)?, row.try_get(10)?);
        let verdict = found.verdict(&known);
        if verdict != Verdict::Same {
            return self.begin(verdict, target, &found).await;
        }
        if awaited != found.is_awaited() {
            // Somebody else may have the right to.
            drop(self.execute(&self.looked.awaited, &[(&awaited, Type::BOOL)]).await);
        }
        let grown = target.head.take(&found);
        let renewed = std::mem::replace(&mut self.generation_n, found.n()) != found.n();
        let desired = std::mem::replace(&mut self.desired_n, desired_n) != desired_n;
        state.announce(Change {
            ready: grown,
            due: None,
            cancelling: grown,
            desired,
            events: grown,
            foreign: inbox || renewed,
        });
        Ok(())
    }

    /// Takes down that the log is another one, or is written elsewhere. The next look finds it.
    async fn begin(
        &self,
        verdict: Verdict,
        target: &Target,
        found: &Standing,
    ) -> std::result::Result<(), Failure> {
        let (next, n, end) = (target.head.next(found), found.n(), found.last().cast_signed());
        if verdict == Verdict::Moved {
            let params: [(crate::connection::Param<'_>, Type); 2] = [(&n, Type::INT8), (&end, Type::INT8)];
            return self.execute(&self.looked.begin_timeline, &params).await.map(drop);
        }
        let params: [(crate::connection::Param<'_>, Type); 3] =
            [(&next, Type::UUID), (&n, Type::INT8), (&end, Type::INT8)];
        if self.execute(&self.looked.begin_generation, &params).await? > 0 {
            warn(found);
        }
        Ok(())
    }
    async fn execute(
        &self,
        statement: &str,
        params: &[(crate::connection::Param<'_>, Type)],
    ) -> std::result::Result<u64, Failure> {
        let executing = self.client.execute_typed(statement, params);
        Ok(timeout(ANSWER_MAX, executing).await.map_err(|_| Failure::Late)??)
    }

    async fn sample(&mut self, clock: &Clock) -> std::result::Result<(), Failure> {
        let reading = self.client.query_typed(&self.looked.clock, &[]);
        let rows = timeout(ANSWER_MAX, reading).await.map_err(|_| Failure::Late)??;
        if let Some(row) = rows.first() {
            clock.follow(Timestamp::from_micros(row.try_get(0)?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_is_heard() {
        let due = Some(Timestamp::from_micros(-5));
        for change in [
            Change { ready: true, ..Change::default() },
            Change { due, cancelling: true, ..Change::default() },
            Change { events: true, due, ready: true, ..Change::default() },
            Change { desired: true, ..Change::default() },
        ] {
            assert_eq!(decode(&encode("7-8", change, (3, 9))), Some(("7-8", change, 9, Some(3))));
        }
        let ready = Change { ready: true, ..Change::default() };
        assert_eq!(decode("7-8 1  9"), Some(("7-8", ready, 9, None)), "of an earlier release");
        for nonsense in ["", "a", "a 1 2", "a x  3", "a 1 x 3", "a 1  3 x"] {
            assert_eq!(decode(nonsense), None);
        }
    }

    #[test]
    fn news_are_told_once_and_together() {
        let news = News::default();
        let at = |micros| Some(Timestamp::from_micros(micros));
        news.add(Change { ready: true, due: at(7), ..Change::default() });
        news.add(Change { events: true, due: at(5), foreign: true, ..Change::default() });
        assert_eq!(news.take(), Change { ready: true, events: true, due: at(5), ..Change::default() });
        assert_eq!(news.take(), Change::default());
    }
}
