//! The table of figures.

use std::fmt;

/// One line.
#[derive(Debug, Clone)]
struct Row {
    what: String,
    figure: String,
    ratio: String,
    goal: String,
}

/// Figures, each with its ratio to another one of the same run: those can be compared between machines.
#[derive(Debug, Clone, Default)]
pub(super) struct Table(Vec<Row>);

impl Table {
    /// Adds a line. `ratio` says to what, `goal` what it should be.
    pub(super) fn row(
        &mut self,
        what: impl Into<String>,
        figure: impl Into<String>,
        ratio: impl Into<String>,
        goal: impl Into<String>,
    ) {
        self.0.push(Row { what: what.into(), figure: figure.into(), ratio: ratio.into(), goal: goal.into() });
    }

    /// Adds the lines of another table.
    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = Row { what: "what".into(), figure: "figure".into(), ratio: "ratio".into(), goal: "goal".into() };
        let rows = || std::iter::once(&head).chain(&self.0);
        let width = |column: fn(&Row) -> &String| rows().map(|row| column(row).chars().count()).max().unwrap_or(0);
        let (what, figure, ratio) = (width(|row| &row.what), width(|row| &row.figure), width(|row| &row.ratio));
        for row in rows() {
            let line = format!("{:<what$}  {:>figure$}  {:<ratio$}  {}", row.what, row.figure, row.ratio, row.goal);
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A number with its thousands apart: `1,234,567`.
pub(super) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::default();
        table.row("health", thousands(50_123.4), "0.91 of an empty handler", "");
        table.row("GET one item", thousands(999.0), "", "0.18");
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "health        50,123  0.91 of an empty handler");
        assert_eq!(lines[2].find("0.18"), lines[0].find("goal"));
        assert_eq!(thousands(-1_234.0), "-1,234");
        assert_eq!(thousands(123.0), "123");
    }
}
