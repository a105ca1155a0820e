//! The words of `stepwell webhooks`.

use std::process::ExitCode;

use clap::Subcommand;

use super::{delivery, endpoint, listen};
use crate::{
    client::{Session, Target},
    failure::Failure,
    output::{Fields, Format},
    webhooks::WebhookArguments,
};

/// What a script wants to know.
const CODES: &str = "\
Webhooks and deliveries are named by their ids, or by the last 6 digits of them or more.

Exit codes:
  0    it was done
  2    the arguments are wrong
  3    there is no such webhook or delivery
  4    the token is missing, wrong, or not for this
  5    it has changed since
  6    the server does not answer";

#[derive(clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    allowed: WebhookArguments,
    #[command(subcommand)]
    command: Which,
}

#[derive(Subcommand)]
enum Which {
    #[command(flatten)]
    Asks(Command),
    /// Listens on this machine, verifies what arrives, and prints it: for whoever writes a receiver. It makes an
    /// endpoint for that, which goes away again. The server must be let to send here: serve --webhook-allow 127.0.0.1.
    Listen(listen::Listen),
}

#[derive(Subcommand)]
enum Command {
    /// Lists the endpoints that are told of what happens.
    List(Fields),
    /// Shows an endpoint, and how it has been doing.
    Get(Named),
    /// Makes an endpoint, and prints its id and its secret. The secret is shown this once.
    Create(endpoint::Create),
    /// Changes an endpoint. What is not named stays.
    Set(endpoint::Set),
    /// Sends something to an endpoint, and says how that went.
    Test(Named),
    /// Gives an endpoint a new secret, and prints it. The old one is used beside it for a while.
    RotateSecret(endpoint::Rotate),
    /// Tells an endpoint of what happens from now on.
    Enable(Named),
    /// Tells an endpoint of nothing more.
    Disable(Named),
    /// Removes an endpoint.
    Delete(endpoint::Delete),
    /// Lists deliveries, the newest first.
    Deliveries(delivery::List),
    /// Shows a delivery: what is sent, and how each attempt went.
    Delivery(Named),
    /// Sends deliveries again, under the same ids.
    Redeliver(delivery::Several),
    /// Gives up deliveries that have not arrived.
    Skip(delivery::Several),
    /// Sends all failed deliveries to an endpoint again, or those that are chosen.
    Replay(delivery::Replay),
}

#[derive(clap::Args)]
struct Named {
    /// Which one.
    id: String,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { target, format, allowed, command } = arguments;
    let target = target.with_webhooks(&allowed);
    let command = match command {
        Which::Asks(command) => command,
        Which::Listen(asked) => return listen::run(&target, &format.into(), &asked).await,
    };
    Session::run(&target, format.into(), async |session| match &command {
        Command::List(fields) => endpoint::list(session, fields).await,
        Command::Get(named) => endpoint::get(session, &named.id).await,
        Command::Create(create) => endpoint::create(session, create).await,
        Command::Set(set) => endpoint::set(session, set).await,
        Command::Test(named) => delivery::test(session, &named.id).await,
        Command::RotateSecret(rotate) => endpoint::rotate(session, rotate).await,
        Command::Enable(named) => endpoint::switch(session, &named.id, "enable").await,
        Command::Disable(named) => endpoint::switch(session, &named.id, "disable").await,
        Command::Delete(delete) => endpoint::delete(session, delete).await,
        Command::Deliveries(list) => delivery::list(session, list).await,
        Command::Delivery(named) => delivery::get(session, &named.id).await,
        Command::Redeliver(several) => delivery::act(session, several, "redeliver").await,
        Command::Skip(several) => delivery::act(session, several, "skip").await,
        Command::Replay(replay) => delivery::replay(session, replay).await,
    })
    .await
}
