//! Lists: aligned columns for people, tab-separated values for programs.

use console::{Style, measure_text_width, truncate_str};

use super::clean;

/// Spaces between columns.
const GAP: usize = 2;
/// Columns of a terminal that does not say.
const WIDTH: usize = 100;

/// A list with columns. The last one takes what room is left.
pub(crate) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<(String, Style)>>,
}

impl Table {
    pub(crate) fn new(columns: &[&'static str]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
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
    /// Aligned, under the names of the columns, no line wider than the terminal.
    pub(crate) fn aligned(&self, width: Option<usize>) -> String {
        let width = width.unwrap_or(WIDTH);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|n| {
                let cells = self.rows.iter().filter_map(|row| row.get(n));
                cells.map(|(text, _)| measure_text_width(text)).max().unwrap_or(0).max(self.columns[n].len())
            })
            .collect();
        let header: Vec<(String, Style)> =
            self.columns.iter().map(|name| ((*name).to_owned(), Style::new().bold())).collect();
        let mut text = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let (mut line, mut used) = (String::new(), 0);
            for (n, (cell, style)) in row.iter().enumerate() {
                let is_last = n + 1 == row.len();
                let room = if is_last { width.saturating_sub(used).max(8) } else { widths[n] };
                let cell = truncate_str(cell, room, "…");
                let pad = if is_last { 0 } else { widths[n] - measure_text_width(&cell) + GAP };
                line.push_str(&style.apply_to(&cell).to_string());
                line.push_str(&" ".repeat(pad));
                used += widths[n] + GAP;
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
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
        let aligned = "ID       KIND       ERROR\n…7be2aa  é          a long …\n…1       mail.send\n";
        assert_eq!(table().aligned(Some(20)), aligned);
        assert_eq!(table().plain(), "…7be2aa\té\ta long error\n…1\tmail.send\t\n");
    }
}
