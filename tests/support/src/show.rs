//! What the quickstart says: headed steps, typed commands, progress.
//!
//! Rule: everything can be read without colour and in a log file; colour and the moving line are for terminals, and
//! `NO_COLOR` is honoured.

#![expect(clippy::print_stdout, reason = "this module is what the quickstart prints with")]

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::Duration;

use crate::child::variable;

/// How often progress is told where there is no terminal.
const SELDOM: Duration = Duration::from_secs(15);

/// The quickstart's voice.
#[derive(Debug)]
pub struct Show {
    terminal: bool,
    colour: bool,
    step: u32,
    told: Duration,
}

impl Default for Show {
    fn default() -> Self {
        Self::new()
    }
}

impl Show {
    /// Speaks on stdout.
    pub fn new() -> Self {
        let terminal = stdout().is_terminal();
        Self { terminal, colour: terminal && variable("NO_COLOR").is_none(), step: 0, told: Duration::ZERO }
    }

    /// Begins a step.
    pub fn step(&mut self, title: &str) {
        self.step += 1;
        println!("\n{}", self.paint("1", &format!("{}. {title}", self.step)));
    }

    /// Plain text.
    pub fn say(&self, text: &str) {
        println!("{text}");
    }

    /// A command as a person would type it.
    pub fn typed(&self, line: &str) {
        println!("  {}", self.paint("36", &format!("$ {line}")));
    }

    /// What a program wrote, indented; a long middle is left out.
    pub fn output(&self, text: &str) {
        const MOST: usize = 24;
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let skipped = lines.len().saturating_sub(MOST);
        for (number, line) in lines.iter().enumerate() {
            if skipped == 0 || number < MOST / 2 || number >= MOST / 2 + skipped {
                println!("    {line}");
            } else if number == MOST / 2 {
                println!("    ({skipped} lines left out)");
            }
        }
    }

    /// Something was checked and is so.
    pub fn checked(&self, text: &str) {
        println!("  {} {text}", self.paint("32", "ok:"));
    }

    /// A moving line on a terminal, a line now and then elsewhere.
    pub fn progress(&mut self, elapsed: Duration, text: &str) {
        let line = format!("{}:{:02}  {text}", elapsed.as_secs() / 60, elapsed.as_secs() % 60);
        if self.terminal {
            // Cut to what fits, because a line that wraps cannot be drawn again.
            let short: String = line.chars().take(100).collect();
            print!("\r\u{1b}[2K  {short}");
            let _ = stdout().flush();
        } else if self.told == Duration::ZERO || elapsed > self.told + SELDOM {
            self.told = elapsed;
            println!("  {line}");
        }
    }

    /// Takes the moving line away.
    pub fn progress_ends(&self) {
        if self.terminal {
            print!("\r\u{1b}[2K");
            let _ = stdout().flush();
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
