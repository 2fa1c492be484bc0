//! Tables for the terminal, and numbers written with their units.

use std::fmt;

/// A table: the first column to the left, the others to the right.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Starts a table with its heading.
    #[must_use]
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(str::to_owned).to_vec()] }
    }

    /// Adds a row; a row shorter than the heading leaves the rest empty.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// Returns the rows below the heading.
    #[must_use]
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows[1..]
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width_of = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width_of).collect();
        for (index, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, &width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                let cell = if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") };
                line.push_str("  ");
                line.push_str(&cell);
            }
            writeln!(f, "{}", line.trim_end())?;
            if index == 0 {
                let rules: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
                writeln!(f, "  {}", rules.join("  "))?;
            }
        }
        Ok(())
    }
}

/// Writes a count with a comma between thousands: `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes bytes with a unit: `812 B`, `64.0 KiB`, `1.50 MiB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    let number_f = number as f64;
    if number < 1 << 10 {
        format!("{number} B")
    } else if number < 1 << 20 {
        format!("{:.1} KiB", number_f / f64::from(1 << 10))
    } else {
        format!("{:.2} MiB", number_f / f64::from(1 << 20))
    }
}

/// Writes nanoseconds with three digits and a unit: `87 ns`, `4.21 us`, `1.35 ms`.
#[must_use]
pub fn nanoseconds(ns: f64) -> String {
    let (number, unit) = match ns {
        _ if ns < 1e3 => return format!("{ns:.0} ns"),
        _ if ns < 1e6 => (ns / 1e3, "us"),
        _ if ns < 1e9 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    let decimals = if number < 10.0 {
        2
    } else if number < 100.0 {
        1
    } else {
        0
    };
    format!("{number:.decimals$} {unit}")
}

/// Writes a share as a percentage with one decimal; a share of nothing is a dash.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::{Table, bytes, count, nanoseconds, percent};

    #[test]
    fn numbers_are_written_with_units() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!([bytes(1_023), bytes(65_536), bytes(1_572_864)], ["1023 B", "64.0 KiB", "1.50 MiB"]);
        assert_eq!(nanoseconds(87.4), "87 ns");
        assert_eq!(nanoseconds(4_210.0), "4.21 us");
        assert_eq!(nanoseconds(13_500_000.0), "13.5 ms");
        assert_eq!(nanoseconds(2e9), "2.00 s");
        assert_eq!([percent(1, 8), percent(0, 0)], ["12.5 %", "-"]);
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["what", "n"]);
        table.row(["a long name".to_owned(), "7".to_owned()]);
        table.row(["é".to_owned(), "1,000".to_owned()]);
        let text = table.to_string();
        let expected =
            "  what             n\n  -----------  -----\n  a long name      7\n  é            1,000\n";
        assert_eq!(text, expected);
        assert_eq!(table.rows().len(), 2);
    }
}
