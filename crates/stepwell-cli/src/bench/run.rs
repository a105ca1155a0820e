//! From start to exit code.

use super::{
    Options, here,
    report::{self, Measured, Place},
    there,
};
use crate::{
    client::Session,
    failure::{Failure, code},
    interrupts::Interrupts,
    output::{Output, field, text_of},
    store::StoreAddress,
};

/// Measures beside a store, which is not even opened.
pub(crate) async fn run_here(store: &StoreAddress, options: &Options, out: Output) -> Result<u8, Failure> {
    let mut interrupts = Interrupts::listen();
    let place = here::Place::beside(store, &token())?;
    out.say(&format!("measuring in {}, which goes away again", place.words()));
    let told = Place {
        target: format!("{}, beside {store}", place.words()),
        store: String::new(),
        durability: String::new(),
    };
    let outcome = match here::Queue::open(&place, options).await {
        Ok(mut queue) => {
            let description = queue.stepwell.describe();
            let outcome = tokio::select! {
                measured = queue.measure(options, out) => measured.map(Some),
                () = interrupts.next() => Ok(None),
            };
            let closed = queue.close().await;
            let told =
                Place { store: description.store.to_owned(), durability: description.durability, ..told };
            outcome.and_then(|measured| closed.map(|()| measured.map(|measured| (told, measured))))
        }
        Err(failure) => Err(failure),
    };
    let removed = place.remove().await;
    let measured = outcome?;
    removed?;
    tell(out, options, measured)
}

/// Measures on a server, in a queue that nobody else has.
pub(crate) async fn run_there(
    session: &Session,
    options: &Options,
    interrupts: &mut Interrupts,
) -> Result<u8, Failure> {
    let opened = async {
        let version = session.client.get("read the version", "/api/v1/version").await?.value()?;
        Ok::<_, Failure>((version, there::Queue::open(session, options).await?))
    };
    let (version, queue) = tokio::select! {
        opened = opened => opened?,
        // A worker that has just registered is forgotten by itself.
        () = interrupts.next() => return Ok(code::INTERRUPTED),
    };
    session.out.say("measuring in a queue of its own, stepwell-bench, which is emptied again");
    let outcome = tokio::select! {
        measured = queue.measure(options) => measured.map(Some),
        () = interrupts.next() => Ok(None),
    };
    // What was made is taken back, whether or not it was measured.
    let closed = tokio::select! {
        closed = queue.close() => closed,
        () = interrupts.next() => {
            session.out.say("interrupted; jobs may be left: stepwell queues purge stepwell-bench");
            return Ok(code::INTERRUPTED);
        }
    };
    let told = Place {
        target: "a server, over HTTP".to_owned(),
        store: field(&version, "store").to_owned(),
        durability: text_of(&version, "durability"),
    };
    let measured = outcome?;
    closed?;
    tell(session.out, options, measured.map(|measured| (told, measured)))
}

fn tell(out: Output, options: &Options, measured: Option<(Place, Measured)>) -> Result<u8, Failure> {
    let Some((place, measured)) = measured else {
        out.say("interrupted; what was made is gone again");
        return Ok(code::INTERRUPTED);
    };
    report::tell(out, &place, options, &measured)?;
    if !measured.counted.is_right() {
        let why = "not every job was stored and worked once; this is a defect";
        return Err(Failure::to("count the jobs", why));
    }
    out.say("what else this machine does counts, too; measure several times");
    Ok(0)
}

/// What makes a name one's own.
fn token() -> String {
    format!("{}_{}", std::process::id(), stepwell::Clock::system().wall().as_micros())
}
