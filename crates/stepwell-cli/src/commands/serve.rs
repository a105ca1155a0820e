//! `stepwell serve`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use crate::{
    config::Config,
    failure::Failure,
    serve::{self, Options},
    span,
    store::StoreAddress,
    webhooks::WebhookArguments,
};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where jobs are stored: sqlite:PATH, a file that is made if it does not exist, or postgres://USER@HOST/DATABASE.
    #[arg(long, value_name = "STORE", env = "STEPWELL_STORE")]
    store: StoreAddress,
    /// The address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7717", env = "STEPWELL_LISTEN")]
    listen: SocketAddr,
    /// A name under which the server is reached, with its port unless that is the scheme's own. May be given several
    /// times. Requests for other names are refused.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Asks for no token: everybody who reaches the address may do everything. For loopback addresses only.
    #[arg(long)]
    insecure_no_auth: bool,
    /// Listens on an address that others reach, because a proxy before it speaks TLS.
    #[arg(long)]
    behind_proxy: bool,
    /// Requests that one token may send in a minute; 0 is without a limit.
    #[arg(long, value_name = "N", default_value_t = 12_000)]
    requests_per_minute: u32,
    /// How long requests, running phases and deliveries have to end, all together, once the server is told to. An
    /// attempt to deliver may take 20s: with less, one that is under way may be cut off, and is then made again later.
    #[arg(long, value_name = "SPAN", default_value = "25s", value_parser = span::parse)]
    grace: Duration,
    /// How long ended jobs, deliveries and events are kept, such as 12h or 30d: what is older is deleted. Unless set,
    /// completed and cancelled jobs are kept for 7 days, failed jobs and events for 30 days.
    #[arg(long, value_name = "SPAN", value_parser = age)]
    keep: Option<Duration>,
    #[command(flatten)]
    webhooks: WebhookArguments,
    /// Works the kinds of jobs that this file describes, whose phases are programs: ./stepwell.toml, if there is one.
    #[arg(long, value_name = "FILE", env = "STEPWELL_CONFIG")]
    config: Option<PathBuf>,
    /// Also works jobs of the kind demo.steps, to try the API with. The payload may hold "failures", how often its
    /// phase work fails before it succeeds; "fails": true, to fail for good; and "pauseMs", how long each phase takes.
    #[arg(long)]
    demo: bool,
}

/// What is kept for no time at all could not even be looked at.
fn age(text: &str) -> Result<Duration, String> {
    match span::parse(text)? {
        Duration::ZERO => Err("it is at least 1s".into()),
        age => Ok(age),
    }
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let config = Config::find(arguments.config.as_deref())?;
    let options = Options {
        store: arguments.store,
        listen: arguments.listen,
        hosts: arguments.hosts,
        open_to_all: arguments.insecure_no_auth,
        behind_proxy: arguments.behind_proxy,
        requests_per_minute: Some(arguments.requests_per_minute).filter(|n| *n > 0),
        grace: arguments.grace,
        keep: arguments.keep,
        webhooks: arguments.webhooks.options(),
        config,
        demo: arguments.demo,
    };
    serve::run(options).await.map(ExitCode::from)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Serve {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn an_attempt_to_deliver_ends_within_the_grace() {
        let serve = Serve::parse_from(["serve", "--store", "sqlite:jobs.db"]);
        assert!(serve.arguments.grace > stepwell::webhook::ATTEMPT_TIMEOUT + Duration::from_secs(2));
    }
}
