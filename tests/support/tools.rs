//! Builds the real programs that tests need, with progress: `cargo run --example tools`.
//!
//! Rule: the same functions as in the tests, so that a test never builds what this has built.

use std::process::ExitCode;
use std::time::Instant;

use support::show::Show;
use support::systemd::root_file_system;
use support::tools::{CRANE, PROVIDER_HOSTILE, PROVIDER_TIME, Progress, REGISTRY, TOFU, TOKEN_SIGNER};

fn main() -> ExitCode {
    let mut show = Show::new();
    let begun = Instant::now();
    for tool in [&REGISTRY, &TOKEN_SIGNER, &CRANE, &PROVIDER_TIME, &PROVIDER_HOSTILE, &TOFU] {
        let built = tool.find_or_build(&mut |Progress { modules, packages }| {
            let text = format!("{}: {modules} modules, {packages} of {} packages", tool.name, tool.packages);
            show.progress(begun.elapsed(), &text);
        });
        show.progress_ends();
        match built {
            Ok(program) => show.say(&format!("{}: {}", tool.name, program.display())),
            Err(failure) => {
                show.say(&failure.to_string());
                return ExitCode::FAILURE;
            }
        }
    }
    // Only root can make and use it; the tests say when they do without.
    if rustix::process::geteuid().is_root() {
        show.say("root file system of the containers (the first time about a minute)");
        match root_file_system() {
            Ok(root) => show.say(&format!("root file system: {}", root.display())),
            Err(failure) => show.say(&failure.to_string()),
        }
    }
    ExitCode::SUCCESS
}
