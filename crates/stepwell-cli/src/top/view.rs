//! What it looks like.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Row, Table, TableState, Tabs},
};
use serde_json::Value;

use super::{
    board::{Board, Pane},
    keys::HELP,
};
use crate::output::{Ago, clean, event_text, field, phase_bar, short, text_of};

pub(super) fn draw(frame: &mut Frame<'_>, board: &Board, ago: Ago) {
    let rows = [Constraint::Length(1), Constraint::Length(1), Constraint::Min(3), Constraint::Length(1)];
    let [head, tabs, body, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(Paragraph::new(counters(&board.known.stats)), head);
    let names = Pane::ALL.map(Pane::name);
    let strong = Style::new().add_modifier(Modifier::REVERSED);
    frame.render_widget(Tabs::new(names).select(board.pane.place()).highlight_style(strong), tabs);
    match &board.detail {
        Some(job) => detail(frame, body, job),
        None => list(frame, body, board, ago),
    }
    frame.render_widget(Paragraph::new(bottom(board)), foot);
    if board.help {
        help(frame, body);
    }
}

fn counters(stats: &Value) -> Line<'static> {
    let jobs = &stats["jobs"];
    let mut spans = vec![Span::styled("stepwell  ", Style::new().add_modifier(Modifier::BOLD))];
    for state in ["pending", "running", "completed", "failed", "cancelled"] {
        let n = jobs[state].as_u64().unwrap_or(0);
        let style = if n > 0 { style(state) } else { Style::new() };
        spans.push(Span::styled(format!("{n} {state}  "), style));
    }
    spans.push(Span::raw(format!("{} workers, {} slots", shown(stats, "workers"), shown(stats, "slots"))));
    Line::from(spans)
}

fn shown(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or(0)
}

fn style(state: &str) -> Style {
    match state {
        "completed" => Style::new().fg(Color::Green),
        "failed" => Style::new().fg(Color::Red),
        "running" => Style::new().fg(Color::Cyan),
        "cancelling" | "cancelled" | "paused" => Style::new().fg(Color::Yellow),
        _ => Style::new(),
    }
}

fn list(frame: &mut Frame<'_>, area: Rect, board: &Board, ago: Ago) {
    let (names, widths): (Vec<&str>, Vec<Constraint>) = match board.pane {
        Pane::Jobs | Pane::Failed => (
            vec!["ID", "KIND", "QUEUE", "STATE", "PHASES", "AGE", "ERROR"],
            vec![
                Constraint::Length(7),
                Constraint::Length(18),
                Constraint::Length(12),
                Constraint::Length(10),
                Constraint::Length(18),
                Constraint::Length(11),
                Constraint::Min(10),
            ],
        ),
        Pane::Queues => (
            vec!["QUEUE", "STATE", "PENDING", "RUNNING", "SLOTS", "WORKERS", "FAILED", "WHY"],
            vec![
                Constraint::Length(18),
                Constraint::Length(8),
                Constraint::Length(8),
                Constraint::Length(8),
                Constraint::Length(6),
                Constraint::Length(8),
                Constraint::Length(7),
                Constraint::Min(10),
            ],
        ),
        Pane::Events => (vec!["EVENT"], vec![Constraint::Min(20)]),
    };
    let rows: Vec<Row<'_>> = board.rows().into_iter().map(|row| line(board.pane, row, ago)).collect();
    if rows.is_empty() {
        let words =
            if board.filter.is_empty() { "there is nothing here" } else { "nothing holds what is typed" };
        frame.render_widget(Paragraph::new(words), area);
        return;
    }
    let head = Row::new(names).style(Style::new().add_modifier(Modifier::BOLD));
    let strong = Style::new().add_modifier(Modifier::REVERSED);
    let table = Table::new(rows, widths).header(head).row_highlight_style(strong);
    let mut state = TableState::new().with_selected(Some(board.row));
    frame.render_stateful_widget(table, area, &mut state);
}

fn line(pane: Pane, row: &Value, ago: Ago) -> Row<'static> {
    match pane {
        Pane::Jobs | Pane::Failed => {
            let state = field(row, "state");
            let error = clean(field(&row["failure"], "message"));
            let running = row["phases"].as_array().into_iter().flatten();
            let running = running.filter(|phase| matches!(field(phase, "state"), "running" | "failed"));
            let name = running.map(|phase| clean(field(phase, "name"))).next().unwrap_or_default();
            let cells = [
                short(field(row, "id")),
                clean(field(row, "kind")),
                clean(field(row, "queue")),
                state.to_owned(),
                format!("{} {name}", phase_bar(row)),
                ago.of(field(row, "enqueuedAt")),
                error,
            ];
            Row::new(cells).style(style(state))
        }
        Pane::Queues => {
            let jobs = &row["jobs"];
            let state = if row["paused"] == true { "paused" } else { "open" };
            let running = shown(jobs, "running") + shown(jobs, "cancelling");
            let cells = [
                clean(field(row, "name")),
                state.to_owned(),
                shown(jobs, "pending").to_string(),
                running.to_string(),
                shown(row, "slots").to_string(),
                shown(row, "workers").to_string(),
                shown(jobs, "failed").to_string(),
                clean(field(row, "pausedReason")),
            ];
            Row::new(cells).style(style(state))
        }
        Pane::Events => Row::new([event_text(row)]),
    }
}

fn detail(frame: &mut Frame<'_>, area: Rect, job: &Value) {
    let mut lines = Vec::new();
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(Line::from(format!("{name:<12}{}", clean(&value))));
        }
    };
    for name in ["id", "kind", "queue", "state", "reason", "priority", "tags", "enqueuedAt", "finishedAt"] {
        fact(name, text_of(job, name));
    }
    fact("failure", text_of(&job["failure"], "message"));
    fact("payload", job["payload"].to_string());
    lines.push(Line::default());
    for phase in job["phases"].as_array().into_iter().flatten() {
        let state = field(phase, "state");
        let tries = format!("{}/{}", phase["tries"], phase["maxTries"]);
        let (name, error) = (clean(field(phase, "name")), clean(field(phase, "error")));
        lines.push(Line::styled(format!("{name:<20}{state:<12}{tries:<8}{error}"), style(state)));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn bottom(board: &Board) -> Line<'static> {
    if board.typing {
        return Line::from(format!("/{}▏", clean(&board.filter)));
    }
    if let Some(act) = &board.asked {
        let words = format!("{}? y does it, any other key does not", clean(&act.words()));
        return Line::styled(words, Style::new().fg(Color::Yellow));
    }
    let mut words = Vec::new();
    if board.frozen {
        words.push("held: p goes on".to_owned());
    }
    if !board.filter.is_empty() {
        words.push(format!("only {:?}", clean(&board.filter)));
    }
    if !board.said.is_empty() {
        words.push(clean(&board.said));
    }
    words.push("? help, q leaves".to_owned());
    Line::from(words.join("  ·  "))
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let height = u16::try_from(HELP.len() + 2).unwrap_or(u16::MAX).min(area.height);
    let area = Rect { width: area.width.min(52), height, ..area };
    let lines: Vec<Line<'_>> =
        HELP.iter().map(|(key, what)| Line::from(format!(" {key:<10}{what}"))).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), area);
}
