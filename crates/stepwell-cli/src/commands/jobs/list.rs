//! Lists of jobs.

use clap::ValueEnum;
use serde_json::Value;

use crate::{
    client::{Query, Session},
    failure::{FailedTo, Failure},
    output::{Ago, Fields, Members, Table, field, phase_bar, short, text_of, tint},
};

/// Which jobs.
#[derive(clap::Args)]
pub(super) struct Chosen {
    /// In this state.
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// In this queue.
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Of this kind.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// With this tag.
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// With this search attribute.
    #[arg(long, value_name = "NAME=VALUE", value_parser = crate::pair::parse)]
    attr: Option<(String, String)>,
    /// With this unique key.
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// The oldest first.
    #[arg(long)]
    oldest_first: bool,
}

impl Chosen {
    /// What the API is asked.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut pairs = Vec::new();
        pairs.extend(self.state.map(|state| named("state", state.as_str())));
        pairs.extend(self.queue.as_deref().map(|queue| named("queue", queue)));
        pairs.extend(self.kind.as_deref().map(|kind| named("kind", kind)));
        pairs.extend(self.tag.as_deref().map(|tag| named("tag", tag)));
        pairs.extend(self.unique.as_deref().map(|key| named("uniqueKey", key)));
        pairs.extend(self.attr.as_ref().map(|(name, value)| named(&format!("attr.{name}"), value)));
        if self.oldest_first {
            pairs.push(named("order", "asc"));
        }
        pairs
    }
}

#[derive(clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    chosen: Chosen,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Goes on after an earlier list, with what that said at its end.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    fields: Fields,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum State {
    Pending,
    Running,
    Cancelling,
    Completed,
    Failed,
    Cancelled,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

pub(super) async fn list(session: &Session, list: &List) -> Result<u8, Failure> {
    let pairs = list.chosen.pairs();
    let pairs: Query<'_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
    let what = "list the jobs";
    list.fields.check(Members::Of("Job"))?;
    let listed =
        session.client.list(what, "/api/v1/jobs", &pairs, list.limit as usize, list.cursor.clone()).await?;
    let mut table = Table::new(&["ID", "KIND", "QUEUE", "STATE", "PHASES", "TRIES", "AGE", "ERROR"]);
    let (ago, people) = (Ago::now(), session.out.is_for_people());
    for item in &listed.items {
        let job: Value = serde_json::from_str(item.get()).failed_to(what)?;
        row(&mut table, &job, ago, people);
    }
    session.out.choose(&listed.items, &table, &list.fields)?;
    match (listed.next, listed.items.first()) {
        (Some(next), _) => session.out.hint(&format!("the same with --cursor {next}")),
        (None, Some(_)) => session.out.hint("stepwell jobs get ID"),
        (None, None) => session.out.hint("stepwell enqueue KIND JSON"),
    }
    Ok(0)
}

fn row(table: &mut Table, job: &Value, ago: Ago, people: bool) {
    let id = field(job, "id");
    let none = Vec::new();
    let phases = job["phases"].as_array().unwrap_or(&none);
    let at = |phase: &&Value| matches!(field(phase, "state"), "running" | "failed");
    let current =
        phases.iter().find(at).or_else(|| phases.iter().find(|phase| field(phase, "state") == "pending"));
    let tries = current.map_or_else(String::new, |phase| format!("{}/{}", phase["tries"], phase["maxTries"]));
    let name = current.map_or("", |phase| field(phase, "name"));
    let error = match field(&job["failure"], "message") {
        "" => current.map_or("", |phase| field(phase, "error")),
        message => message,
    };
    let enqueued = field(job, "enqueuedAt");
    table.row([
        if people { short(id) } else { id.to_owned() },
        text_of(job, "kind"),
        text_of(job, "queue"),
        text_of(job, "state"),
        if people { format!("{} {name}", phase_bar(job)) } else { name.to_owned() },
        tries,
        if people { ago.of(enqueued) } else { enqueued.to_owned() },
        error.to_owned(),
    ]);
    table.paint(3, tint(field(job, "state")));
}
