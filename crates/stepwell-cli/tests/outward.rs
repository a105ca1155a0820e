//! From outside: the real program is killed again and again while jobs run, fail and are retried, one by one and in
//! bulk, ended ones are deleted, webhooks go out and streams are followed. Whoever listens outside saw everything, and
//! nothing is missing.
//!
//! It is killed after an event of an end was seen, when the receiver of webhooks gets a connection, when it has the
//! request, when it has answered, when the delivery is recorded, and at random. `STEPWELL_OUTWARD_ROUNDS` and
//! `STEPWELL_OUTWARD_SEED` set how often, and the moments.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

#[path = "outward/bulk.rs"]
mod bulk;
#[path = "outward/check.rs"]
mod check;
#[path = "outward/follower.rs"]
mod follower;
#[path = "outward/poster.rs"]
mod poster;
mod rig;
#[path = "outward/strike.rs"]
mod strike;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use check::{Evidence, check};
use follower::Follower;
use poster::Poster;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rig::{Client, Moment, Program, Reply, Sink, setting, token};
use serde_json::json;
use strike::{Point, Strike};
use tokio::sync::watch;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Ended jobs and events go after this time. The receiver puts off some deliveries for longer, so that their jobs are
/// gone when they arrive; whoever follows the events is never away for so long.
const KEEP: &str = "8s";
const PUT_OFF_SECONDS: u64 = 13;
/// Rounds in which the receiver puts deliveries off; later ones would only make the end longer.
const PUT_OFF_ROUNDS: u64 = 20;
/// How long the end may take: a delivery may have to be tried again twice.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_told_whatever_kills_the_server() {
    let (rounds, seed) = (setting("STEPWELL_OUTWARD_ROUNDS", 54), setting("STEPWELL_OUTWARD_SEED", 0x0a7));
    println!("kill -9 of the server: {rounds} rounds, seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let place = tempfile::tempdir().unwrap();
    let strike = Arc::new(Strike::default());
    let may_put_off = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let refused = Arc::new(Mutex::new(None));
    let sink = receiver(strike.clone(), may_put_off.clone(), refused.clone()).await;
    let options = ["--webhook-allow", "127.0.0.0/8", "--keep", KEEP, "--demo", "--requests-per-minute", "0"];

    let program = Program::start(place.path(), &options);
    let token = token(place.path(), "outward", &["--admin"]);
    let client = Client::new(program.address, &token);
    let endpoint = json!({ "url": sink.url("/endpoint"), "secret": SECRET });
    client.post("/api/v1/webhooks", &endpoint).await.unwrap().good("the endpoint");
    let (moved, address) = watch::channel(program.address);
    let followers = [20..200, 3..40]
        .map(|cuts| Follower::start(address.clone(), &token, strike.clone(), random.random(), cuts));
    program.kill();

    let poster = Poster::new(sink.url("/own"), SECRET);
    let mut killed: BTreeMap<Point, u64> = BTreeMap::new();
    for round in 0..rounds {
        may_put_off.store(round < PUT_OFF_ROUNDS, std::sync::atomic::Ordering::SeqCst);
        let point = Point::of_round(round);
        let program = Program::start(place.path(), &options);
        let struck = strike.arm(point, random.random_range(1..4), program.killer());
        moved.send_replace(program.address);
        let client = Client::new(program.address, &token);
        let post = poster.post(&client, round, followers[0].failed(), random.random());
        // A place that is not passed is no reason to wait for ever; but then the round counts for nothing.
        let alive = match point {
            Point::Random => Duration::from_millis(random.random_range(1..400)),
            _ => Duration::from_secs(10),
        };
        let by_itself = tokio::select! {
            () = struck => true,
            () = async { tokio::join!(post, tokio::time::sleep(alive)); } => false,
        };
        strike.disarm();
        program.kill();
        *killed.entry(point).or_default() += u64::from(by_itself == (point != Point::Random));
    }

    let program = Program::start(place.path(), &options);
    moved.send_replace(program.address);
    let client = Client::new(program.address, &token);
    tokio::time::timeout(PATIENCE, outlive(&client, &poster, &refused))
        .await
        .expect("retention takes the job");
    let evidence = || Evidence {
        seen: followers.each_ref().map(Follower::seen),
        received: sink.received(),
        acknowledged: poster.acknowledged(),
        groups: poster.groups().all(),
        secret: SECRET.into(),
    };
    tokio::time::timeout(PATIENCE, poster.groups().finish(&client)).await.expect("the bulk operation ends");
    // Until all that was acknowledged has ended, and every end is told and recorded.
    let end = std::time::Instant::now() + PATIENCE;
    while let Err(missing) = evidence().is_complete() {
        assert!(std::time::Instant::now() < end, "seed {seed}: it did not come in time: {missing}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (code, told) = program.end();
    assert_eq!(code, Some(0), "{told}");
    let evidence = evidence();
    let counted = check(&evidence).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    let check::Counted { events, ends, requests, again, deleted, outlived, in_bulk } = counted;
    println!(
        "{events} events with {ends} ends, seen over {} and {} connections; {requests} requests, \
         {again} of them again; {in_bulk} jobs retried in bulk; {deleted} jobs deleted, {outlived} deliveries \
         outlived theirs; killed {killed:?}",
        followers[0].connections(),
        followers[1].connections(),
    );
    for point in Point::ALL.into_iter().take(usize::try_from(rounds).unwrap_or(0)) {
        assert!(
            rounds < 12 || killed.get(&point).is_some_and(|n| *n > 0),
            "never killed {point:?}: {killed:?}"
        );
    }
    assert!(rounds < 12 || again > 0, "no delivery was ever repeated: the rounds prove nothing");
    assert!(rounds < 12 || deleted > 0, "no job was ever deleted: the rounds prove nothing");
    assert!(rounds < 12 || in_bulk > 0, "no job was ever retried in bulk: the rounds prove nothing");
    assert!(outlived > 0, "no delivery outlived its job: the rounds prove nothing");
}

/// A delivery that is refused for as long as its job exists, and arrives when retention has taken it.
async fn outlive(client: &Client, poster: &Poster, refused: &Mutex<Option<String>>) {
    // It must not end before it is known whose delivery is to be refused.
    client.post("/api/v1/queues/default/pause", &json!({})).await.unwrap().good("the pause");
    let id = poster.post_with_own(client).await;
    *refused.lock().unwrap() = Some(id.clone());
    client.post("/api/v1/queues/default/resume", &json!({})).await.unwrap().good("the end of the pause");
    while client.get(&format!("/api/v1/jobs/{id}")).await.unwrap().status != 404 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    *refused.lock().unwrap() = None;
    let found = client.get(&format!("/api/v1/deliveries?job={id}")).await.unwrap().good("the deliveries");
    for delivery in found["data"].as_array().unwrap() {
        let path = format!("/api/v1/deliveries/{}/redeliver", delivery["id"].as_str().unwrap());
        client.post(&path, &json!({})).await.unwrap().good("the delivery");
    }
}

/// A receiver that fails now and then at the first attempt, and tells of every moment.
async fn receiver(
    strike: Arc<Strike>,
    may_put_off: Arc<std::sync::atomic::AtomicBool>,
    refused: Arc<Mutex<Option<String>>>,
) -> Sink {
    let seen = Mutex::new((HashSet::new(), 0_u64));
    let script = move |received: &rig::Received| {
        let is_refused = |job: &String| received.path == "/own" && received.body.contains(job.as_str());
        if refused.lock().unwrap().as_ref().is_some_and(is_refused) {
            return Reply::Later(503, 3_600);
        }
        let (ids, nth) = &mut *seen.lock().unwrap();
        if !ids.insert(received.id().to_owned()) {
            return Reply::Status(200);
        }
        *nth += 1;
        let may_put_off = may_put_off.load(std::sync::atomic::Ordering::SeqCst);
        match *nth % 24 {
            3 => Reply::Status(500),
            15 => Reply::Cut,
            // An endpoint would be spared as a whole, and not only this delivery.
            5..=8 if may_put_off && received.path == "/own" => Reply::Later(503, PUT_OFF_SECONDS),
            _ => Reply::Status(204),
        }
    };
    Sink::witnessed(script, move |moment| {
        strike.pass(match moment {
            Moment::Connected => Point::Connected,
            Moment::Received => Point::Received,
            Moment::Answered => Point::Answered,
        });
    })
    .await
}
