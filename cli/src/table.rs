//! Columns of text, aligned.

/// Rows of cells that are printed in columns.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    heading: Heading,
}

enum Heading {
    /// The first row names the columns.
    FirstRow,
    /// No row does.
    None,
}

impl Table {
    /// Makes a table without a heading.
    pub(crate) fn plain() -> Table {
        Table {
            rows: Vec::new(),
            heading: Heading::None,
        }
    }

    /// Makes a table whose columns have names.
    pub(crate) fn with_header<'a>(names: impl IntoIterator<Item = &'a str>) -> Table {
        let mut table = Table {
            rows: Vec::new(),
            heading: Heading::FirstRow,
        };
        table.row(names);
        table
    }

    /// Adds a row.
    pub(crate) fn row<'a>(&mut self, cells: impl IntoIterator<Item = &'a str>) {
        self.rows.push(cells.into_iter().map(str::to_owned).collect());
    }

    /// Prints the table, each line ended.
    pub(crate) fn print(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
            if index == 0 && matches!(self.heading, Heading::FirstRow) {
                let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                text.push_str(&rule.join("  "));
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other() {
        let mut table = Table::with_header(["job", "wall"]);
        table.row(["prio_dynamic_job", "4.1 s"]);
        assert_eq!(
            table.print(),
            "job               wall\n----------------  -----\nprio_dynamic_job  4.1 s\n"
        );
    }
}
