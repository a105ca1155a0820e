//! `stepwell dev` beside a `stepwell.toml`: the kinds that it names are worked, and what happens is shown.

use std::{path::Path, time::Duration};

use serde_json::json;
use stepwell::{Change, Event, EventStream, Stepwell, Workers};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    Options,
    board::Board,
    session::{HOME, HTTP_GRACE, INTERRUPTED, QUIET, SUCCESS, make_home, serve, stop},
    view::View,
};
use crate::{
    config::Config,
    failure::{FailedTo, Failure},
    http::Http,
    interrupts::Interrupts,
};

/// Between two looks at whether anything is left to do.
const GLANCE: Duration = Duration::from_millis(200);
/// Digits of an id that are shown: the last ones differ between jobs of one moment.
const DIGITS: usize = 6;

struct Session {
    stepwell: Stepwell,
    http: Option<Http>,
    workers: Workers,
    events: EventStream,
    view: View,
}

pub(super) async fn run(options: Options, config: Config) -> Result<u8, Failure> {
    let mut interrupts = Interrupts::listen();
    let until_idle = options.until_idle;
    let mut session = tokio::select! {
        opened = Session::open(options, &config) => opened?,
        () = interrupts.next() => return Ok(INTERRUPTED),
    };
    let outcome = tokio::select! {
        outcome = session.follow(until_idle) => outcome,
        () = interrupts.next() => Ok(INTERRUPTED),
    };
    if let Ok(INTERRUPTED) = outcome {
        let words = "interrupted: letting running phases end; Ctrl-C again to give their jobs back at once";
        session.view.say(words, &json!({ "type": "dev:interrupted" }));
    }
    if let Some(http) = session.http.take() {
        http.stop(HTTP_GRACE).await;
    }
    stop(&session.workers, &mut interrupts).await;
    outcome
}

impl Session {
    async fn open(options: Options, config: &Config) -> Result<Self, Failure> {
        let home = Path::new(HOME);
        make_home(home)?;
        let path = home.join("stepwell.db");
        let builder = Stepwell::sqlite(&path).queue("default", options.concurrency);
        let stepwell = config
            .add_to(builder)
            .webhooks(config.allow(options.webhooks))
            .open()
            .await
            .failed_to(format!("open {} for the kinds of {}", path.display(), config.path().display()))?;
        let view = View::new(options.json, Board::default());
        let store = stepwell.describe();
        view.say(
            &format!("store {} {}, {}", store.store, path.display(), store.durability),
            &json!({ "type": "dev:store", "store": store.store, "path": path, "durability": store.durability }),
        );
        for notice in &store.notices {
            view.say(notice, &json!({ "type": "dev:notice", "message": notice }));
        }
        let http = match options.listen {
            Some(address) => serve(&stepwell, address, &view).await,
            None => None,
        };
        let kinds: Vec<&str> = config.kinds().collect();
        view.say(
            &format!("working {} of {}", kinds.join(", "), config.path().display()),
            &json!({ "type": "dev:working", "kinds": kinds, "config": config.path() }),
        );
        let events = stepwell.events().subscribe();
        let workers = stepwell.start();
        Ok(Self { stepwell, http, workers, events, view })
    }

    /// Shows what happens, until nothing is left if so wished.
    async fn follow(&mut self, until_idle: bool) -> Result<u8, Failure> {
        let mut glances = interval(GLANCE);
        glances.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.events.next() => match event {
                    Some(event) => self.hear(&event),
                    None => return Err(Failure::to("follow the jobs", "the store was closed")),
                },
                () = self.workers.terminated() => return Ok(INTERRUPTED),
                _ = glances.tick(), if until_idle => {
                    let counts = self.stepwell.counts().await.failed_to("count the jobs")?;
                    if counts.iter().any(|count| !count.state.is_terminal() && count.n > 0) {
                        continue;
                    }
                    while let Ok(Some(event)) = timeout(QUIET, self.events.next()).await {
                        self.hear(&event);
                    }
                    return Ok(SUCCESS);
                }
            }
        }
    }

    fn hear(&mut self, event: &Event) {
        self.view.show(event);
        if !self.view.is_json() {
            let id = event.job.to_string();
            let words = format!("…{} {}: {}", &id[id.len() - DIGITS..], event.kind, told(event));
            self.view.say(&words, &json!({}));
        }
    }
}

/// What happened, in a few words.
fn told(event: &Event) -> String {
    let name = event.event_type.as_str().trim_start_matches("job:").replace(':', " ");
    let phase = event.phase.as_ref().map_or_else(String::new, |phase| format!(" {phase}"));
    let error = match &event.change {
        Change::PhaseFailed { error, .. } => format!(": {}", error.replace('\n', " ")),
        _ => String::new(),
    };
    format!("{name}{phase}{error}")
}
