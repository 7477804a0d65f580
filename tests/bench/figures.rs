//! Series of measurements and how they are printed.

#![expect(clippy::print_stdout, reason = "figures are what the program is for")]

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use support::Outcome;

/// Measurements of one thing.
#[derive(Debug, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// One more.
    pub(crate) fn add(&mut self, value: f64) {
        let place = self.0.partition_point(|known| *known < value);
        self.0.insert(place, value);
    }

    /// The value below which `percent` of them are (nearest rank).
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil().max(1.0) as usize;
        self.0.get(rank - 1).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |percent| self.percentile(percent);
        write!(f, "p50 {:.2}   p90 {:.2}   p99 {:.2}   (n = {})", at(50.0), at(90.0), at(99.0), self.0.len())
    }
}

/// Begins a group of figures.
pub(crate) fn title(text: &str) {
    println!("\n{text}");
}

/// One figure.
pub(crate) fn print(name: &str, value: fmt::Arguments<'_>) {
    println!("  {name:<48} {value}");
}

/// What one small durable write costs here: SQLite with `synchronous=FULL` pays it for each commit.
pub(crate) fn measure_fdatasync(directory: &Path) -> Outcome<Series> {
    let mut file = OpenOptions::new().create(true).append(true).open(directory.join("fdatasync"))?;
    let mut series = Series::default();
    for _ in 0..200 {
        file.write_all(&[7; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        series.add(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(series)
}
