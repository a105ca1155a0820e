//! From start to exit code.

use std::io::{self, IsTerminal};

use crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use ratatui::DefaultTerminal;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{
    acts,
    board::{Board, Known},
    feed,
    keys::{self, Wish},
    view,
};
use crate::{
    client::Session,
    failure::{FailedTo, Failure, code},
    output::{Ago, is_dumb},
};

/// What the board is told.
pub(super) enum Told {
    Known(Box<Known>),
    Event(Value),
    Detail(Value),
    Words(String),
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
}

/// The terminal as it was before, whatever happens.
struct Screen(DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows the queue until somebody leaves.
pub(crate) async fn run(session: &Session) -> Result<u8, Failure> {
    let what = "show the queue live";
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() || is_dumb() {
        let why = "this is no terminal with a cursor that moves; `stepwell queues list` and `stepwell events tail` \
                   work anywhere";
        return Err(Failure::with_code(code::USAGE, what, why));
    }
    // Whoever cannot be asked is told of here, and not on a screen that goes away.
    session.client.get(what, "/api/v1/stats").await?;
    let (told, heard) = unbounded_channel();
    let (wish, wishes) = unbounded_channel();
    let mut screen = Screen(ratatui::try_init().failed_to(what)?);
    listen_to_keys(told.clone());
    let client = &session.client;
    tokio::select! {
        left = show(&mut screen.0, heard, &wish) => left.failed_to(what)?,
        () = feed::look(client, &told) => {}
        () = feed::follow(client, &told) => {}
        () = acts::perform(client, wishes, &told) => {}
    }
    Ok(0)
}

/// Reading keys blocks, so it has a thread. It ends with the program, or with the first key that nobody wants.
fn listen_to_keys(told: UnboundedSender<Told>) {
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let message = match event {
                Event::Key(key) if key.kind != KeyEventKind::Release => Told::Key(key),
                Event::Resize(..) => Told::Resized,
                _ => continue,
            };
            if told.send(message).is_err() {
                return;
            }
        }
    });
}

async fn show(
    terminal: &mut DefaultTerminal,
    mut heard: UnboundedReceiver<Told>,
    wish: &UnboundedSender<Wish>,
) -> io::Result<()> {
    let mut board = Board::default();
    loop {
        terminal.draw(|frame| view::draw(frame, &board, Ago::now()))?;
        let Some(mut message) = heard.recv().await else { return Ok(()) };
        // What came meanwhile is shown together.
        loop {
            match message {
                Told::Known(known) => board.learn(*known),
                Told::Event(event) => board.hear(event),
                Told::Detail(job) => board.detail = Some(job),
                Told::Words(words) => board.said = words,
                Told::Resized => {}
                Told::Key(key) => match keys::press(&mut board, key) {
                    Wish::Leave => return Ok(()),
                    Wish::Nothing => {}
                    wished => drop(wish.send(wished)),
                },
            }
            match heard.try_recv() {
                Ok(next) => message = next,
                Err(_) => break,
            }
        }
    }
}
