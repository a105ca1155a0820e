//! Where the database is, and how a connection to it is made.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use foldhash::HashMap;
use stepwell_core::{Error, Result};
use tokio::sync::watch;
use tokio_postgres::{Config, config::TargetSessionAttrs, types::Type};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    head::Head,
    options::{Durability, PostgresOptions},
    tls,
};

/// How long one address may take to answer.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// After this long without an answer, a connection on which something was sent is given up by the system.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// A statement as it is sent, and the types of its parameters.
type Typed = Arc<(String, Vec<Type>)>;

/// What every connection of a store has in common.
pub(crate) struct Target {
    pub(crate) config: Config,
    pub(crate) tls: MakeRustlsConnect,
    pub(crate) schema: Arc<str>,
    pub(crate) durability: Durability,
    /// Which log it is, and how far it goes.
    pub(crate) head: Head,
    /// Whether a pooler hands connections on after each transaction, as far as was seen.
    pooled: AtomicBool,
    typed: Mutex<HashMap<&'static str, Typed>>,
    /// Whether the store has closed: nobody waits for an answer any more.
    ended: watch::Sender<bool>,
}

impl Target {
    pub(crate) fn new(options: &PostgresOptions) -> Result<Self> {
        options.check()?;
        let (url, mode) = tls::split(&options.url)?;
        let mut config: Config = url
            .parse()
            // The text may hold a password, and the parser's message does not.
            .map_err(|error| {
                Error::invalid("store", format!("is no address of a PostgreSQL database: {error}"))
            })?;
        mode.set(&mut config);
        if config.get_application_name().is_none() {
            config.application_name("stepwell");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_MAX);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE_MAX);
        }
        config.keepalives_idle(SILENCE_MAX);
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let tls = MakeRustlsConnect::new(mode.client()?);
        Ok(Self {
            config,
            tls,
            schema: options.schema.as_str().into(),
            durability: options.durability,
            head: Head::new(options.generation),
            pooled: AtomicBool::new(false),
            typed: Mutex::default(),
            ended: watch::Sender::new(false),
        })
    }

    /// From now on no connection is of any use.
    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }
    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }
    /// Comes back when it has ended.
    pub(crate) async fn ended(&self) {
        // The sender is here for as long as this is.
        drop(self.ended.subscribe().wait_for(|ended| *ended).await);
    }
    /// Whether nothing that belongs to a session outlives a transaction.
    pub(crate) fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Relaxed)
    }
    pub(crate) fn set_pooled(&self, pooled: bool) {
        self.pooled.store(pooled, Ordering::Relaxed);
    }
    pub(crate) fn typed(&self, statement: &'static str) -> Option<Typed> {
        self.typed.lock().unwrap_or_else(PoisonError::into_inner).get(statement).cloned()
    }
    pub(crate) fn keep_typed(&self, statement: &'static str, typed: (String, Vec<Type>)) -> Typed {
        let mut known = self.typed.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(statement).or_insert_with(|| Arc::new(typed)).clone()
    }

    /// The database for people, without a password.
    pub(crate) fn location(&self) -> String {
        use tokio_postgres::config::Host;
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .zip(self.config.get_ports().iter().chain(std::iter::repeat(&5432)))
            .map(|(host, port)| match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                #[cfg(unix)]
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        let user = self.config.get_user().unwrap_or_default();
        let database = self.config.get_dbname().unwrap_or(user);
        format!("postgres://{user}@{}/{database} (schema {})", hosts.join(","), self.schema)
    }
}
