//! `stepwell serve`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use crate::{
    client::{Told, variable},
    config::{Config, Serving},
    failure::{Failure, code},
    output::span as spoken,
    serve::{self, Options},
    span,
    store::StoreAddress,
    webhooks::WebhookArguments,
};

/// What says more than what.
const ORDER: &str = "\
What no flag and no variable says may stand under [serve] in stepwell.toml, the user's config.toml or the machine's:
store, listen, hosts, behind_proxy, requests_per_minute, grace and keep. `config show --origin` tells what is set.

Exit codes:
  0    ended as it was told to; nothing was left
  1    it could not serve, or jobs did not end within the grace; they go on at the next start
  2    the arguments are wrong";

/// Where to listen, unless set.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7717);
/// Requests that one token may send in a minute, unless set.
const REQUESTS_PER_MINUTE: u32 = 12_000;
/// How long all that is under way has to end, unless set.
const GRACE: Duration = Duration::from_secs(25);

#[derive(clap::Args)]
#[command(after_help = ORDER)]
pub(crate) struct Arguments {
    /// Where jobs are stored: sqlite:PATH, a file that is made if it does not exist, or postgres://USER@HOST/DATABASE.
    #[arg(long, value_name = "STORE", env = "STEPWELL_STORE")]
    store: Option<StoreAddress>,
    /// The address to listen on; 127.0.0.1:7717 unless set.
    #[arg(long, value_name = "ADDR", env = "STEPWELL_LISTEN")]
    listen: Option<SocketAddr>,
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
    /// Requests that one token may send in a minute, 12000 unless set; 0 is without a limit.
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u32>,
    /// How long requests, running phases and deliveries have to end, all together, once the server is told to; 25s
    /// unless set. An attempt to deliver may take 20s: with less, one that is under way may be cut off, and is then
    /// made again later.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    grace: Option<Duration>,
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
    serve::run(options(arguments)?).await.map(ExitCode::from)
}

/// What the arguments say, and where they say nothing, the files.
fn options(arguments: Arguments) -> Result<Options, Failure> {
    let files = Config::all(arguments.config.as_deref())?;
    let store = arguments.store.or_else(|| said(&files, |serve| serve.store.clone()));
    let store = store.ok_or_else(|| {
        let why =
            "no store is named; say --store sqlite:PATH, set STEPWELL_STORE, or write store under [serve]";
        Failure::with_code(code::USAGE, "serve", why)
    })?;
    let hosts = match arguments.hosts.is_empty() {
        true => said(&files, |serve| serve.hosts.clone()).unwrap_or_default(),
        false => arguments.hosts,
    };
    let requests_per_minute =
        arguments.requests_per_minute.or_else(|| said(&files, |serve| serve.requests_per_minute));
    Ok(Options {
        store,
        listen: arguments.listen.or_else(|| said(&files, |serve| serve.listen)).unwrap_or(LISTEN),
        hosts,
        open_to_all: arguments.insecure_no_auth,
        behind_proxy: arguments.behind_proxy || said(&files, |serve| serve.behind_proxy) == Some(true),
        requests_per_minute: Some(requests_per_minute.unwrap_or(REQUESTS_PER_MINUTE)).filter(|n| *n > 0),
        grace: arguments.grace.or_else(|| said(&files, |serve| serve.grace)).unwrap_or(GRACE),
        keep: arguments.keep.or_else(|| said(&files, |serve| serve.keep)),
        webhooks: arguments.webhooks.options(),
        config: Config::find(arguments.config.as_deref())?,
        demo: arguments.demo,
    })
}

/// What the first file says that says something.
fn said<T>(files: &[Config], of: impl Fn(&Serving) -> Option<T>) -> Option<T> {
    files.iter().find_map(|file| of(file.serve()))
}

/// How `serve` would serve without flags: what is set, and by what.
///
/// # Errors
/// If the environment says what cannot be.
pub(super) fn told(files: &[Config]) -> Result<Vec<Told>, Failure> {
    let mut told = Vec::new();
    let of_file = |of: &dyn Fn(&Serving) -> Option<String>| {
        let found = files.iter().find_map(|file| Some((of(file.serve())?, file)));
        found.map(|(value, file)| (value, format!("{} [serve]", file.path().display())))
    };
    let of_variable = |name: &str| variable(name).map(|value| (value, name.to_owned()));
    let wrong = |name: &str, why: String| Failure::with_code(code::USAGE, format!("understand {name}"), why);
    let store = match of_variable("STEPWELL_STORE") {
        Some((text, by)) => {
            let store: StoreAddress = text.parse().map_err(|why| wrong("STEPWELL_STORE", why))?;
            Some((store.to_string(), by))
        }
        None => of_file(&|serve| serve.store.as_ref().map(ToString::to_string)),
    };
    let listen = of_variable("STEPWELL_LISTEN").or_else(|| of_file(&|serve| Some(serve.listen?.to_string())));
    let unless_set = |value: String| Some((value, "default".to_owned()));
    let all: [(&'static str, Option<(String, String)>); 7] = [
        ("serve.store", store),
        ("serve.listen", listen.or_else(|| unless_set(LISTEN.to_string()))),
        ("serve.hosts", of_file(&|serve| Some(serve.hosts.as_ref()?.join(",")))),
        ("serve.behind_proxy", of_file(&|serve| Some(serve.behind_proxy?.to_string()))),
        (
            "serve.requests_per_minute",
            of_file(&|serve| Some(serve.requests_per_minute?.to_string()))
                .or_else(|| unless_set(REQUESTS_PER_MINUTE.to_string())),
        ),
        ("serve.grace", of_file(&|serve| Some(spoken(serve.grace?))).or_else(|| unless_set(spoken(GRACE)))),
        ("serve.keep", of_file(&|serve| Some(spoken(serve.keep?)))),
    ];
    for (name, found) in all {
        told.extend(found.map(|(value, by)| (name, value, by)));
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_to_deliver_ends_within_the_grace() {
        assert!(GRACE > stepwell::webhook::ATTEMPT_TIMEOUT + Duration::from_secs(2));
    }
}
