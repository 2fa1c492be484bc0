//! Tables in Markdown, records in JSON, and the rerun of a binary for one contestant in a process of its own.

use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Write;
use std::process::Command;

/// A table with a heading and notes under it.
#[derive(Clone, Debug, Default)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// Starts a table; the first column holds names, the others figures.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Table {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        Table { title: title.into(), columns, ..Table::default() }
    }

    /// Adds a row; missing cells stay empty.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Adds a sentence below the table.
    pub fn note(&mut self, sentence: impl Into<String>) {
        self.notes.push(sentence.into());
    }

    /// Renders the table with padded columns, names to the left and figures to the right.
    pub fn markdown(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.chain([&self.columns[column]]).map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[String]| {
            let mut line = String::from("|");
            for (column, &width) in widths.iter().enumerate() {
                let cell = cells.get(column).map_or("", String::as_str);
                let written = if column == 0 {
                    write!(line, " {cell:<width$} |")
                } else {
                    write!(line, " {cell:>width$} |")
                };
                written.expect("a String takes every write");
            }
            line + "\n"
        };
        let rule = |(column, &width): (usize, &usize)| {
            if column == 0 { "-".repeat(width + 2) } else { "-".repeat(width + 1) + ":" }
        };
        let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
        let mut text = format!("### {}\n\n", self.title);
        text += &line(&self.columns);
        text += &format!("|{}|\n", rules.join("|"));
        for row in &self.rows {
            text += &line(row);
        }
        for note in &self.notes {
            text += &format!("\n{note}\n");
        }
        text
    }
}

/// Renders a figure with about three digits; a dash for what was not measured.
pub fn figure(value: f64) -> String {
    match value.abs() {
        size if !size.is_finite() => "–".to_owned(),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Renders a ratio as `0.65x`.
pub fn ratio(value: f64) -> String {
    if value.is_finite() { format!("{}x", figure(value)) } else { "–".to_owned() }
}

/// Renders nanoseconds with a unit.
pub fn duration(ns: f64) -> String {
    match ns {
        ns if !ns.is_finite() => "–".to_owned(),
        ns if ns >= 1e9 => format!("{} s", figure(ns / 1e9)),
        ns if ns >= 1e6 => format!("{} ms", figure(ns / 1e6)),
        ns if ns >= 1e3 => format!("{} us", figure(ns / 1e3)),
        ns => format!("{ns:.0} ns"),
    }
}

/// Renders a count as `10 k`, `2 M`.
pub fn count(value: u64) -> String {
    match value {
        value if value >= 1_000_000 => format!("{} M", value as f64 / 1e6),
        value if value >= 1_000 => format!("{} k", value as f64 / 1e3),
        value => value.to_string(),
    }
}

/// What the figures were taken on, for the head of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Model name of the processor.
    pub processor: String,
    /// Threads that can run at once.
    pub cores: usize,
    /// Operating system and architecture.
    pub system: String,
    /// Bytes of memory and the kernel's huge page setting.
    pub memory: String,
    /// The cost of timing one operation, which no figure has been freed of.
    pub timer_ns: f64,
}

impl Machine {
    /// Reads what the system tells about itself.
    pub fn read(timer_ns: f64) -> Machine {
        let field = |file: &str, name: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or("unknown", |(_, value)| value.trim()).to_owned()
        };
        let pages =
            std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        Machine {
            processor: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            memory: format!("{}, huge pages {}", field("/proc/meminfo", "MemTotal"), pages.trim()),
            timer_ns,
        }
    }

    /// Renders it as one line.
    pub fn line(&self) -> String {
        format!(
            "{}, {} cores, {}, memory {}; timing one operation costs {:.1} ns, which is not subtracted.\n",
            self.processor, self.cores, self.system, self.memory, self.timer_ns
        )
    }
}

/// Runs this binary again with other arguments and reads the one line of JSON that it prints.
///
/// # Panics
///
/// When the child cannot be started, fails, or prints something else: there is no figure then.
pub fn rerun<T: DeserializeOwned>(arguments: &[String]) -> T {
    let program = std::env::current_exe().expect("the system knows the running program");
    let output = Command::new(program).args(arguments).output().expect("this very program can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {errors}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_padded_markdown() {
        let mut table = Table::new("Reads", &["name", "ns"]);
        table.row(vec!["larder".into(), "30".into()]);
        table.row(vec!["x".into()]);
        table.note("Two rows.");
        let lines =
            ["### Reads", "", "| name   |  ns |", "|--------|----:|", "| larder |  30 |", "| x      |     |"];
        assert_eq!(table.markdown(), lines.join("\n") + "\n\nTwo rows.\n");
    }

    #[test]
    fn figures_have_three_digits() {
        let cases = [(0.654, "0.65"), (12.34, "12.3"), (99.96, "100"), (1234.5, "1234"), (f64::NAN, "–")];
        for (value, text) in cases {
            assert_eq!(figure(value), text);
        }
        assert_eq!(ratio(1.5), "1.50x");
        assert_eq!((duration(580.0), duration(46_000.0)), ("580 ns".to_owned(), "46.0 us".to_owned()));
        assert_eq!((count(10_000), count(2_000_000)), ("10 k".to_owned(), "2 M".to_owned()));
    }
}
