//! Tables for people: columns aligned by hand, the last one as wide as it likes.
//!
//! Rule: nothing from the server reaches a terminal with its control characters.

use std::fmt::Write;

use super::harmless::printable;

/// Rows below a heading.
#[derive(Debug)]
pub(super) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// No rows yet.
    pub(super) fn new(heading: &[&'static str]) -> Self {
        Self { heading: heading.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; an empty cell becomes `-`.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cell = |text: String| if text.is_empty() { "-".to_owned() } else { printable(&text) };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// The table as text, one line for each row.
    pub(super) fn render(&self) -> String {
        let heading: Vec<String> = self.heading.iter().map(|&word| word.to_owned()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&heading).chain(&self.rows).collect();
        let width = |column: usize| {
            lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.heading.len()).map(width).collect();
        let mut text = String::new();
        for line in lines {
            let mut row = String::new();
            for (cell, width) in line.iter().zip(&widths) {
                let _ = write!(row, "{cell:<width$}  ");
            }
            let _ = writeln!(text, "{}", row.trim_end());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_aligned_and_empty_cells_are_visible() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(["a".to_owned(), "queued".to_owned()]);
        table.row(["long-äname".to_owned(), String::new()]);
        assert_eq!(table.render(), "NAME        STATE\na           queued\nlong-äname  -\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new(&["NAME"]);
        table.row(["a\u{1b}[31m\nb\u{9b}".to_owned()]);
        assert_eq!(table.render(), "NAME\na␛[31m b·\n");
    }
}
