//! README's main command: a module from a private registry into an applied run, on real parts, with nothing to answer.
//!
//! Rule: it uses the `nigari` program as a newcomer would type it, says what it does, checks each step, removes what it
//! made, and exits 0 only if every step did what it says.

#[path = "quickstart/story.rs"]
mod story;

use std::process::ExitCode;

use support::builds::{self, Built};
use support::show::Show;
use support::{Failure, Outcome};

/// What `--help` says.
const HELP: &str = "\
The quickstart builds nigari, OpenTofu and an OCI registry, and takes a module out of the private registry into an
applied run on this machine.

Usage: cargo run --example quickstart [-- OPTIONS]

  --keep    leave registry, server and agent running, and say what to type next
  --help    this text";

fn main() -> ExitCode {
    let mut show = Show::new();
    let keep = match options() {
        Ok(Some(keep)) => keep,
        Ok(None) => {
            show.say(HELP);
            return ExitCode::SUCCESS;
        }
        Err(failure) => {
            show.say(&format!("quickstart: {failure}\n\n{HELP}"));
            return ExitCode::from(2);
        }
    };
    match build(&mut show).and_then(|built| story::tell(&mut show, built, keep)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            show.say(&format!("\nquickstart failed: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether to keep everything; `None` asks for help.
fn options() -> Outcome<Option<bool>> {
    let mut keep = false;
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--keep" => keep = true,
            "--help" | "-h" => return Ok(None),
            other => return Err(Failure::new(format!("there is no option {other:?}"))),
        }
    }
    Ok(Some(keep))
}

fn build(show: &mut Show) -> Outcome<Built> {
    show.say(
        "nigari quickstart: a module from a private OCI registry into an applied OpenTofu run.\n\
         The credential is stored once, lent to the one step that fetches modules, and gone before plan and apply.",
    );
    show.step("The programs");
    builds::check_host()?;
    let missing = builds::to_build();
    if missing.is_empty() {
        show.say("  tofu and registry are there; cargo looks whether nigari has changed.");
    } else {
        show.say(&format!(
            "  To be built: nigari (cargo) and {} (go), side by side.\n  \
             The first time that takes about ten minutes on two cores and 6 GB of disk; later starts take seconds.",
            missing.join(", ")
        ));
        if let Some(free) = builds::too_little_space() {
            show.say(&format!("  Only {} GB of disk are free: that may not be enough.", free / 1_000_000_000));
        }
    }
    let built = builds::side_by_side(&mut |elapsed, text| show.progress(elapsed, text));
    show.progress_ends();
    let built = built?;
    for program in [&built.programs.nigari, &built.programs.tofu, &built.registry] {
        show.say(&format!("  {}", program.display()));
    }
    Ok(built)
}
