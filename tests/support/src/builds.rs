//! nigari, tofu and registry, built side by side with progress.
//!
//! Rule: `go build` and a cargo without a terminal are silent for minutes, so what they do is read from their output
//! and told every second; somebody who waits always sees that something moves.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::statvfs;

use crate::child::{command, find_program, tail, variable};
use crate::failure::{During as _, Failure, Outcome};
use crate::nigari::Programs;
use crate::tools::{Progress, REGISTRY, TOFU, Tool, repository, target_directory};

/// What a cold build writes: cargo's and Go's caches and the programs, in bytes.
const DISK: u64 = 6_000_000_000;

/// The programs of the quickstart.
#[derive(Debug)]
pub struct Built {
    /// nigari and tofu.
    pub programs: Programs,
    /// The registry.
    pub registry: PathBuf,
}

/// What one of the builds says about itself, shared with the thread that shows it.
#[derive(Debug, Clone)]
struct Line(Arc<Mutex<String>>);

impl Line {
    fn new(text: &str) -> Self {
        Self(Arc::new(Mutex::new(text.to_owned())))
    }

    fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    fn get(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Names of the tools that have to be built, because they are neither on `PATH` nor built already.
pub fn to_build() -> Vec<&'static str> {
    [&TOFU, &REGISTRY].into_iter().filter(|tool| tool.find().is_none()).map(|tool| tool.name).collect()
}

/// Checks for what the builds cannot do without, before minutes are spent.
///
/// # Errors
/// One sentence: what is missing, and how to get it.
pub fn check_host() -> Outcome<()> {
    for tool in [&TOFU, &REGISTRY] {
        if tool.find().is_none() && find_program("go").is_none() {
            return Err(Failure::new(tool.missing()));
        }
    }
    if find_program("cc").is_none() && !nigari_file().is_file() {
        return Err(Failure::new("a C compiler is missing: install one (Debian: `apt-get install gcc libc6-dev`)"));
    }
    Ok(())
}

/// Bytes free where the builds write, if that is too little for a cold one.
pub fn too_little_space() -> Option<u64> {
    let disk = statvfs(target_directory()).ok()?;
    let free = disk.f_bavail * disk.f_frsize;
    (free < DISK).then_some(free)
}

/// Builds what is missing; `show` gets a line each second.
///
/// # Errors
/// When one of the builds fails; the other is waited for, because cargo and Go keep what they have done.
pub fn side_by_side(show: &mut dyn FnMut(Duration, &str)) -> Outcome<Built> {
    let begun = Instant::now();
    let (cargo, go) = (Line::new("nigari: waits"), Line::new("tools: wait"));
    let nigari = in_background(&cargo, build_nigari);
    // One after the other: they share most of what has to be compiled.
    let tools = in_background(&go, |line| Ok((build_tool(&REGISTRY, line)?, build_tool(&TOFU, line)?)));
    let mut last = Duration::ZERO;
    while !(nigari.is_finished() && tools.is_finished()) {
        thread::sleep(Duration::from_millis(50));
        if begun.elapsed() > last + Duration::from_secs(1) {
            last = begun.elapsed();
            show(last, &format!("{} | {}", cargo.get(), go.get()));
        }
    }
    let (nigari, (registry, tofu)) = (result(nigari)?, result(tools)?);
    Ok(Built { programs: Programs { nigari, tofu }, registry })
}

fn in_background<T: Send + 'static>(
    line: &Line,
    work: impl FnOnce(&Line) -> Outcome<T> + Send + 'static,
) -> JoinHandle<Outcome<T>> {
    let line = line.clone();
    thread::spawn(move || work(&line))
}

fn result<T>(thread: JoinHandle<Outcome<T>>) -> Outcome<T> {
    thread.join().map_err(|_| Failure::new("a build broke down"))?
}

fn build_tool(tool: &Tool, line: &Line) -> Outcome<PathBuf> {
    let name = tool.name;
    line.set(format!("{name}: looks for it"));
    let program = tool.find_or_build(&mut |Progress { modules, packages }| {
        line.set(format!("{name}: {modules} modules, {packages} of {} packages", tool.packages));
    })?;
    line.set(format!("{name}: ready"));
    Ok(program)
}

fn nigari_file() -> PathBuf {
    target_directory().join("debug/nigari")
}

fn build_nigari(line: &Line) -> Outcome<PathBuf> {
    let mut cargo = command(variable("CARGO").unwrap_or_else(|| "cargo".to_owned()));
    cargo.args(["build", "--package", "nigari", "--bin", "nigari", "--target-dir"]).arg(target_directory());
    // What cargo has set for this program is not meant for a build.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "LD_LIBRARY_PATH" {
            cargo.env_remove(name);
        }
    }
    cargo
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "100")
        .env("CARGO_TERM_COLOR", "never");
    cargo.current_dir(repository()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = cargo.spawn().during("cannot start cargo")?;
    let said = child.stderr.take().map(|stream| follow(stream, line)).transpose()?.unwrap_or_default();
    let status = child.wait().during("cargo build")?;
    if !status.success() {
        return Err(Failure::new(format!("cargo build of nigari failed ({status}):\n{}", tail(&said))));
    }
    line.set("nigari: ready".to_owned());
    Ok(nigari_file())
}

/// Reads cargo's output, in which the progress bar is drawn again and again on one line; gives the rest.
fn follow(mut stream: impl Read, line: &Line) -> Outcome<String> {
    let (mut said, mut pending, mut buffer) = (String::new(), Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).during("cargo build")?;
        if count == 0 {
            return Ok(said);
        }
        for &byte in &buffer[..count] {
            if byte != b'\r' && byte != b'\n' {
                pending.push(byte);
                continue;
            }
            let text = String::from_utf8_lossy(&pending).into_owned();
            pending.clear();
            if let Some((done, all)) = crates(&text) {
                line.set(format!("nigari: {done} of {all} crates"));
            } else if !text.trim().is_empty() {
                said.extend([text.as_str(), "\n"]);
            }
        }
    }
}

/// The numbers in `Building [====>   ] 12/340: tokio, hyper`.
fn crates(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once("Building [")?;
    let (done, rest) = rest.split_once("] ")?.1.split_once('/')?;
    let all: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((done.parse().ok()?, all.parse().ok()?))
}

/// Whether a directory has been removed and none of these processes runs.
///
/// # Errors
/// What is still there.
pub fn nothing_left(directory: &Path, processes: &[u32]) -> Outcome<()> {
    if directory.exists() {
        return Err(Failure::new(format!("{} is still there", directory.display())));
    }
    // A child of ours that was waited for has no entry any more.
    let alive: Vec<_> = processes.iter().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).collect();
    if alive.is_empty() { Ok(()) } else { Err(Failure::new(format!("still running: {alive:?}"))) }
}

#[cfg(test)]
mod tests {
    use super::crates;

    #[test]
    fn the_progress_bar_of_cargo_is_read() {
        assert_eq!(crates("    Building [====>          ] 12/340: tokio, hyper"), Some((12, 340)));
        assert_eq!(crates("   Compiling tokio v1.54.0"), None);
    }
}
