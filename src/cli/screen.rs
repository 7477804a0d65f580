//! Where commands write: data to stdout, everything else to stderr.
//!
//! Rule: colour only on a terminal and without `NO_COLOR`; with `--json` stdout holds JSON and nothing else. All text
//! goes through [`super::harmless`], whoever wrote it.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstyle::Style;
use serde::Serialize;
use serde_json::Value;

use super::error::CommandError;
use super::harmless::{harmless, harmless_json, printable};
use super::table::Table;
use crate::protocol::Timestamp;
use crate::secret::Secret;
use crate::settings::cli::no_color;

/// Where a command writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    /// Whether data is wanted as JSON.
    pub(super) json: bool,
    /// Whether stdout takes colours.
    pub(super) colour: bool,
    /// Whether stderr takes colours and progress.
    pub(super) live: bool,
}

impl Screen {
    /// Looks at the process' own streams.
    pub(super) fn new(json: bool) -> Self {
        let allowed = !no_color();
        Self { json, colour: allowed && io::stdout().is_terminal(), live: allowed && io::stderr().is_terminal() }
    }

    /// Writes data.
    pub(super) fn data(self, text: impl Display) -> Result<(), CommandError> {
        self.write(&harmless(&text.to_string(), self.colour))
    }

    /// Writes a line of data.
    pub(super) fn line(self, text: impl Display) -> Result<(), CommandError> {
        self.data(format_args!("{text}\n"))
    }

    /// Writes data as it is, except to a terminal.
    pub(super) fn bytes(self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        if stdout.is_terminal() {
            return self.data(String::from_utf8_lossy(bytes));
        }
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(CommandError::Output)
    }

    #[expect(clippy::unused_self, reason = "where a screen writes to is its own business")]
    fn write(self, text: &str) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(CommandError::Output)
    }

    /// Writes a harmless piece of a run's log: data, unless stdout is wanted for JSON.
    pub(super) fn log(self, text: &str) -> Result<(), CommandError> {
        if self.json {
            return io::stderr().lock().write_all(text.as_bytes()).map_err(CommandError::Output);
        }
        self.write(text)
    }

    /// Whether a log may have colours where it goes.
    pub(super) fn log_colours(self) -> bool {
        if self.json { self.live } else { self.colour }
    }

    /// Writes a thing as JSON, readable, with times as RFC 3339.
    pub(super) fn json<T: Serialize + ?Sized>(self, thing: &T) -> Result<(), CommandError> {
        self.write(&format!(
            "{}\n",
            harmless_json(&serde_json::to_string_pretty(&with_times(serde_json::to_value(thing)?))?)
        ))
    }

    /// Writes `items` as JSON if that is wanted, else the table that `rows` fills.
    pub(super) fn list<T: Serialize>(
        self,
        items: &[T],
        heading: &[&'static str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), CommandError> {
        if self.json {
            return self.json(items);
        }
        if items.is_empty() {
            self.note("nothing there");
            return Ok(());
        }
        let mut table = Table::new(heading);
        for item in items {
            table.row(row(item));
        }
        self.data(table.render())
    }

    /// Writes what is known of one thing, a line for each; what is empty is left out.
    pub(super) fn fields(self, fields: &[(&str, String)]) -> Result<(), CommandError> {
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let line = |(name, value): &(&str, String)| format!("{name:<width$}  {}\n", printable(value));
        let present = fields.iter().filter(|(_, value)| !value.is_empty());
        self.data(present.map(line).collect::<String>())
    }

    /// Writes a secret as data: only for a new token, whose text is shown this once.
    pub(super) fn secret(self, secret: &Secret) -> Result<(), CommandError> {
        self.line(secret.expose())
    }

    /// Tells the person something that is no data.
    pub(super) fn note(self, text: impl Display) {
        // Whoever closed stderr does not want to know.
        let _ = writeln!(io::stderr().lock(), "{}", harmless(&text.to_string(), self.live));
    }

    /// Shows how far something is, in one line that the next one replaces; nothing ends it. Only where stderr takes it.
    pub(super) fn progress(self, text: impl Display) {
        if self.live {
            let _ = write!(io::stderr().lock(), "\r\u{1b}[K{}", printable(&text.to_string()));
        }
    }

    /// Text in a style, where stderr takes colours.
    pub(super) fn styled(self, style: Style, text: impl Display) -> String {
        if self.live { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    /// A heading between parts of a long output on stderr.
    pub(super) fn heading(self, text: impl Display) {
        self.note(self.styled(Style::new().bold(), text));
    }
}

/// A time for people: UTC, to the second.
pub(super) fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at)
        .map_or_else(|_| "-".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// JSON as the API has it, its times (`at`, `…_at`: microseconds) as RFC 3339.
fn with_times(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let is_time = name == "at" || name.ends_with("_at");
                    let at =
                        value.as_i64().filter(|_| is_time).and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
                    let value = at.map_or_else(|| with_times(value), |at| Value::String(at.to_string()));
                    (name, value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(with_times).collect()),
        other => other,
    }
}

/// A time that may be absent.
pub(super) fn time_or(at: Option<Timestamp>, absent: &str) -> String {
    at.map_or_else(|| absent.to_owned(), time)
}

/// `yes` or `no`.
pub(super) fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::with_times;

    #[test]
    fn times_in_json_are_for_every_program_to_read() {
        let from_api = json!([{ "created_at": 1_000_000, "at": 1_500_000, "bytes": 7, "in": { "finished_at": null } }]);
        let written = json!([{ "created_at": "1970-01-01T00:00:01Z", "at": "1970-01-01T00:00:01.5Z", "bytes": 7,
            "in": { "finished_at": null } }]);
        assert_eq!(with_times(from_api), written);
    }
}
