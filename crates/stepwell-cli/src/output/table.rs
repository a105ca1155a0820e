//! Lists: aligned columns for people, tab-separated values for programs.

use console::{Style, measure_text_width, truncate_str};

use super::clean;

/// Spaces between columns.
const GAP: usize = 2;
/// What a column is left with, at least.
const WIDTH_MIN: usize = 6;
/// Columns of a terminal that does not say.
const WIDTH: usize = 100;

/// A list with columns.
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<(String, Style)>>,
}

impl Table {
    pub(crate) fn new(columns: &[impl ToString]) -> Self {
        Self { columns: columns.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }
    /// Adds a row of plain cells.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| (clean(&cell), Style::new())).collect());
    }
    /// Gives a cell of the last row a style.
    pub(crate) fn paint(&mut self, column: usize, style: Style) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.get_mut(column)) {
            cell.1 = style;
        }
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// One line a row, tabs between the cells, and no names of columns: for `cut` and `while read`.
    pub(crate) fn plain(&self) -> String {
        let line = |row: &Vec<(String, Style)>| {
            let cells: Vec<&str> = row.iter().map(|(text, _)| text.as_str()).collect();
            cells.join("\t") + "\n"
        };
        self.rows.iter().map(line).collect()
    }
    /// Aligned, under the names of the columns, no line wider than the terminal if that can be.
    pub(crate) fn aligned(&self, width: Option<usize>) -> String {
        let widths = self.widths(width.unwrap_or(WIDTH));
        let header: Vec<(String, Style)> =
            self.columns.iter().map(|name| (name.clone(), Style::new().bold())).collect();
        let mut text = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, style), room) in row.iter().zip(&widths) {
                let cell = truncate_str(cell, *room, "…");
                line.push_str(&style.apply_to(&cell).to_string());
                line.push_str(&" ".repeat(room - measure_text_width(&cell) + GAP));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
    /// How wide each column is. Where that is too much, the widest gives way, but never the first: by its id a thing is
    /// named.
    fn widths(&self, width: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = (0..self.columns.len())
            .map(|n| {
                let cells = self.rows.iter().filter_map(|row| row.get(n));
                let widest = cells.map(|(text, _)| measure_text_width(text)).max().unwrap_or(0);
                widest.max(measure_text_width(&self.columns[n]))
            })
            .collect();
        let all = widths.iter().map(|width| width + GAP).sum::<usize>().saturating_sub(GAP);
        for _ in width..all {
            let widest = widths.iter_mut().skip(1).max().filter(|widest| **widest > WIDTH_MIN);
            let Some(widest) = widest else { break };
            *widest -= 1;
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "KIND", "ERROR"]);
        table.row(["…7be2aa", "é", "a\tlong error"].map(String::from));
        table.row(["…1", "mail.send", ""].map(String::from));
        table
    }

    #[test]
    fn people_get_columns_and_programs_get_tabs() {
        let aligned = "ID       KIND       ERROR\n…7be2aa  é          a long error\n…1       mail.send\n";
        assert_eq!(table().aligned(Some(32)), aligned);
        assert_eq!(table().plain(), "…7be2aa\té\ta long error\n…1\tmail.send\t\n");
    }

    #[test]
    fn the_widest_columns_give_way_to_a_narrow_terminal_and_ids_do_not() {
        for width in 23..=32 {
            let aligned = table().aligned(Some(width));
            assert!(aligned.lines().all(|line| measure_text_width(line) <= width), "{width}:\n{aligned}");
            assert!(aligned.contains("…7be2aa  é"), "{aligned}");
        }
        assert!(table().aligned(Some(26)).contains("mail.se…"), "{}", table().aligned(Some(26)));
    }
}
