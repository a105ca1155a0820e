//! From start to exit code.

use std::{
    io::{self, Write},
    time::Duration,
};

use stepwell::{Builder, Retention, Stopwatch};
use stepwell_http::{Access, Tokens};

use super::{Options, demo::Demo};
use crate::{
    failure::{FailedTo, Failure},
    http::{Http, Listen},
    interrupts::Interrupts,
    output::beside,
};

/// Exit codes.
const SUCCESS: u8 = 0;
const NOT_DRAINED: u8 = 1;

pub(crate) async fn run(options: Options) -> Result<u8, Failure> {
    check(&options)?;
    // Before the store opens, which may take long.
    let mut interrupts = Interrupts::listen();
    let stepwell = tokio::select! {
        opened = builder(&options).open() => opened.failed_to(format!("open {}", options.store))?,
        () = interrupts.next() => return Ok(SUCCESS),
    };
    let store = stepwell.describe();
    for notice in &store.notices {
        beside(format_args!("stepwell: {notice}"));
    }
    let workers = stepwell.start();
    let access = if options.open_to_all { Access::unrestricted() } else { Access::tokens() };
    let listen = Listen {
        address: options.listen,
        further_ports: 0,
        hosts: options.hosts.clone(),
        access,
        requests_per_minute: options.requests_per_minute,
    };
    let http = match Http::start(&stepwell, listen).await {
        Ok(http) => http,
        Err(error) => {
            workers.shutdown(Duration::ZERO).await.ok();
            let hint = match error.kind() {
                io::ErrorKind::AddrInUse => "; another server has the port, choose one with --listen",
                _ => "",
            };
            return Err(Failure::to(format!("listen on {}", options.listen), format!("{error}{hint}")));
        }
    };
    let told = format!("serving {} on {}, {}\n", options.store, http.url(), store.durability);
    if let Some(config) = options.config.as_ref().filter(|config| config.has_kinds()) {
        let kinds: Vec<&str> = config.kinds().collect();
        beside(format_args!("stepwell: working {} of {}", kinds.join(", "), config.path().display()));
    }
    io::stdout().write_all(told.as_bytes()).and_then(|()| io::stdout().flush()).ok();
    if !options.open_to_all && Tokens::new(&stepwell).list().await.failed_to("list the tokens")?.is_empty() {
        beside(format_args!(
            "stepwell: nobody has a token yet; make one with: stepwell tokens create NAME --admin --store {}",
            options.store
        ));
    }

    let why = tokio::select! {
        () = interrupts.next() => "",
        () = workers.terminated() => ", because an operator wants it",
    };
    beside(format_args!(
        "stepwell: ending{why}: requests and phases that are under way may end; another signal shortens it"
    ));
    let begun = Stopwatch::start();
    let ending = async {
        // Beside each other, within one time; the store stays open for both.
        tokio::join!(http.stop(options.grace), workers.drain(options.grace));
        workers.shutdown(options.grace.saturating_sub(begun.elapsed())).await
    };
    tokio::pin!(ending);
    let outcome = tokio::select! {
        outcome = &mut ending => outcome,
        // What is still asked for is dropped with the process; the jobs are given back first.
        () = interrupts.next() => workers.shutdown(Duration::ZERO).await,
    };
    match outcome {
        Ok(()) => Ok(SUCCESS),
        Err(error) => {
            beside(format_args!("stepwell: {error}; these jobs go on at the next start"));
            Ok(NOT_DRAINED)
        }
    }
}

fn builder(options: &Options) -> Builder {
    let mut builder = options.store.builder();
    let mut webhooks = options.webhooks.clone();
    if let Some(config) = &options.config {
        builder = config.add_to(builder);
        webhooks = config.allow(webhooks);
    }
    builder = builder.webhooks(webhooks);
    if let Some(age) = options.keep {
        builder = builder.retention(Retention::for_age(age));
    }
    match options.demo {
        true => builder.worker(Demo),
        false => builder,
    }
}

/// Refuses what would be open to everybody.
fn check(options: &Options) -> Result<(), Failure> {
    let is_local = options.listen.ip().is_loopback();
    let refused = |why: &str| Err(Failure::to(format!("listen on {}", options.listen), why));
    if options.open_to_all && !is_local {
        return refused(
            "--insecure-no-auth is for loopback addresses: anybody who reaches another could do anything",
        );
    }
    if !is_local && !options.behind_proxy {
        return refused(
            "this server speaks no TLS, and tokens would be sent in clear; put a proxy before it and say \
             --behind-proxy, with --host for the name that it is reached under",
        );
    }
    Ok(())
}
