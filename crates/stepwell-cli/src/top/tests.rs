//! Screens as they look, held against files. `STEPWELL_BLESS=1` writes them anew.

use std::{fs, path::Path};

use crossterm::event::KeyCode;
use ratatui::{Terminal, backend::TestBackend};
use serde_json::{Value, json};
use stepwell::wire;

use super::{
    board::{Board, Known},
    keys, view,
};
use crate::output::Ago;

fn job(id: &str, kind: &str, state: &str, phases: &[(&str, &str)]) -> Value {
    let phase =
        |(name, state): &(&str, &str)| json!({ "name": name, "state": state, "tries": 1, "maxTries": 5 });
    json!({
        "id": format!("01981b3e-8a4f-7c06-9c39-4d1f6a{id}"), "kind": kind, "queue": "default", "state": state,
        "priority": 0, "enqueuedAt": "2027-03-01T08:58:30.000000Z", "payload": { "to": "ana" },
        "phases": phases.iter().map(phase).collect::<Vec<_>>(),
    })
}

fn board() -> Board {
    let mut failed =
        job("91c004", "invoice.send", "failed", &[("render", "completed"), ("charge", "failed")]);
    failed["failure"] = json!({ "phase": "charge", "message": "the gateway did not answer\u{1b}[2J in 10s" });
    let running = job(
        "7f3a2b",
        "thumbnail",
        "running",
        &[("probe", "completed"), ("render", "running"), ("keep", "pending")],
    );
    let counts = json!({ "pending": 1204, "running": 1, "completed": 88, "failed": 1, "cancelled": 0 });
    let queue = |name: &str, paused: bool, why: &str| {
        let mut queue =
            json!({ "name": name, "paused": paused, "pausedReason": why, "slots": 16, "workers": 2 });
        queue["jobs"] = counts.clone();
        queue
    };
    let mut board = Board::default();
    board.learn(Known {
        stats: json!({ "jobs": counts, "workers": 2, "slots": 32 }),
        queues: vec![queue("default", false, ""), queue("reports", true, "database maintenance")],
        jobs: vec![running, failed.clone()],
        failed: vec![failed],
    });
    board.hear(json!({
        "type": "job:phase:completed", "at": "2027-03-01T08:58:31.000000Z", "kind": "thumbnail", "phase": "probe",
        "jobId": "01981b3e-8a4f-7c06-9c39-4d1f6a7f3a2b", "data": { "tries": 1 },
    }));
    board
}

fn screen(board: &Board) -> String {
    let mut terminal = Terminal::new(TestBackend::new(100, 16)).unwrap();
    let now = wire::parse_rfc3339("2027-03-01T09:00:00Z").unwrap();
    terminal.draw(|frame| view::draw(frame, board, Ago::at(now))).unwrap();
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(buffer.area.width));
    let text = |line: &[ratatui::buffer::Cell]| {
        line.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n"
    };
    lines.map(text).collect()
}

/// The screen after these keys must look as it did.
fn looks(name: &str, pressed: &[KeyCode], change: impl FnOnce(&mut Board)) {
    let mut board = board();
    for key in pressed {
        keys::press(&mut board, (*key).into());
    }
    change(&mut board);
    let said = screen(&board);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/top/screens").join(name).with_extension("txt");
    if std::env::var_os("STEPWELL_BLESS").is_some() {
        fs::write(&file, &said).unwrap();
    }
    assert_eq!(said, fs::read_to_string(&file).unwrap(), "{name}");
}

#[test]
fn the_jobs() {
    looks("jobs", &[], |_| {});
}

#[test]
fn what_failed_with_a_question() {
    looks("failed", &[KeyCode::Right, KeyCode::Char('R')], |_| {});
}

#[test]
fn the_queues() {
    looks("queues", &[KeyCode::Tab, KeyCode::Tab, KeyCode::Down, KeyCode::Char('p')], |_| {});
}

#[test]
fn the_events_filtered() {
    looks("events", &[KeyCode::Left, KeyCode::Char('/'), KeyCode::Char('t')], |_| {});
}

#[test]
fn one_job() {
    looks("detail", &[], |board| board.detail = board.known.jobs.last().cloned());
}

#[test]
fn the_keys() {
    looks("help", &[KeyCode::Char('?')], |_| {});
}

#[test]
fn a_server_that_does_not_answer() {
    looks("nothing", &[], |board| {
        *board = Board { said: "failed to read the counters: it does not answer".into(), ..Board::default() };
    });
}
