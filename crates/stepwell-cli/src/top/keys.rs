//! What a key does. What changes the queue takes an upper-case letter, and then a `y`.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::board::{Act, Board, Pane};
use crate::output::field;

/// What a key asks for beyond the board itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Leave,
    /// Looks at a job.
    Read(String),
    Do(Act),
}

pub(super) const HELP: [(&str, &str); 9] = [
    ("← → tab", "another pane"),
    ("↑ ↓ j k", "another row"),
    ("enter", "look at the job; esc goes back"),
    ("/", "only rows that hold what is typed"),
    ("p", "hold what is shown, or go on"),
    ("R", "retry the job"),
    ("C", "cancel the job"),
    ("P", "pause the queue, or resume it"),
    ("q", "leave; the queue goes on"),
];

pub(super) fn press(board: &mut Board, key: KeyEvent) -> Wish {
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Wish::Leave;
    }
    if board.typing {
        return type_filter(board, key.code);
    }
    if let Some(act) = board.asked.take() {
        return match key.code {
            KeyCode::Char('y' | 'Y') => Wish::Do(act),
            _ => {
                board.said = "nothing was changed".into();
                Wish::Nothing
            }
        };
    }
    match key.code {
        KeyCode::Char('q') => return Wish::Leave,
        KeyCode::Char('?') => board.help = !board.help,
        KeyCode::Esc => (board.help, board.detail) = (false, None),
        KeyCode::Right | KeyCode::Tab | KeyCode::Char('l') => turn_to(board, board.pane.next(1)),
        KeyCode::Left | KeyCode::BackTab | KeyCode::Char('h') => {
            turn_to(board, board.pane.next(Pane::ALL.len() - 1));
        }
        KeyCode::Down | KeyCode::Char('j') => {
            board.row = (board.row + 1).min(board.rows().len().saturating_sub(1));
        }
        KeyCode::Up | KeyCode::Char('k') => board.row = board.row.saturating_sub(1),
        KeyCode::Home | KeyCode::Char('g') => board.row = 0,
        KeyCode::Char('/') => (board.typing, board.filter) = (true, String::new()),
        KeyCode::Char('p') => board.frozen = !board.frozen,
        KeyCode::Enter => return job(board).map_or(Wish::Nothing, Wish::Read),
        KeyCode::Char('R') => board.asked = job(board).map(Act::Retry),
        KeyCode::Char('C') => board.asked = job(board).map(Act::Cancel),
        KeyCode::Char('P') => board.asked = queue(board),
        _ => {}
    }
    Wish::Nothing
}

fn type_filter(board: &mut Board, key: KeyCode) -> Wish {
    match key {
        KeyCode::Enter => board.typing = false,
        KeyCode::Esc => (board.typing, board.filter) = (false, String::new()),
        KeyCode::Backspace => drop(board.filter.pop()),
        KeyCode::Char(letter) => board.filter.push(letter),
        _ => {}
    }
    board.row = 0;
    Wish::Nothing
}

fn turn_to(board: &mut Board, pane: Pane) {
    (board.pane, board.row, board.detail) = (pane, 0, None);
}

/// The job of the row, or the one that is looked at.
fn job(board: &Board) -> Option<String> {
    if let Some(job) = &board.detail {
        return Some(field(job, "id").to_owned());
    }
    let row = board.selected()?;
    let name = match board.pane {
        Pane::Jobs | Pane::Failed => "id",
        Pane::Events => "jobId",
        Pane::Queues => return None,
    };
    Some(field(row, name).to_owned()).filter(|id| !id.is_empty())
}

fn queue(board: &Board) -> Option<Act> {
    let row = board.selected().filter(|_| board.pane == Pane::Queues)?;
    let name = field(row, "name").to_owned();
    Some(if row["paused"] == true { Act::Resume(name) } else { Act::Pause(name) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::top::board::Known;

    fn press_all(board: &mut Board, keys: &str) -> Wish {
        let mut wish = Wish::Nothing;
        for letter in keys.chars() {
            let code = match letter {
                '>' => KeyCode::Right,
                '<' => KeyCode::Left,
                '\n' => KeyCode::Enter,
                letter => KeyCode::Char(letter),
            };
            wish = press(board, code.into());
        }
        wish
    }

    fn board() -> Board {
        let known = Known {
            jobs: vec![json!({ "id": "job-a", "kind": "mail" }), json!({ "id": "job-b", "kind": "video" })],
            queues: vec![json!({ "name": "default", "paused": false })],
            ..Known::default()
        };
        Board { known, ..Board::default() }
    }

    #[test]
    fn what_changes_the_queue_takes_a_capital_and_a_yes() {
        assert_eq!(press_all(&mut board(), "R"), Wish::Nothing);
        assert_eq!(press_all(&mut board(), "jRy"), Wish::Do(Act::Retry("job-b".into())));
        assert_eq!(press_all(&mut board(), "Cn"), Wish::Nothing);
        assert_eq!(press_all(&mut board(), ">>Py"), Wish::Do(Act::Pause("default".into())));
        assert_eq!(press_all(&mut board(), "<P"), Wish::Nothing, "an event is no queue");
    }

    #[test]
    fn rows_are_found_and_looked_at() {
        assert_eq!(press_all(&mut board(), "/vid\n\n"), Wish::Read("job-b".into()));
        assert_eq!(
            press_all(&mut board(), "jjjj\n"),
            Wish::Read("job-b".into()),
            "there is no row below the last"
        );
        assert_eq!(press_all(&mut board(), ">\n"), Wish::Nothing);
        assert_eq!(press_all(&mut board(), "/q\nq"), Wish::Leave, "what is typed is no key");
    }
}
