//! Builds the real programs that tests need, with progress: `cargo run --example tools`.
//!
//! Rule: the same functions as in the tests, so that a test never builds what this has built.

use std::process::ExitCode;
use std::time::Instant;

use support::show::Show;
use support::systemd::root_file_system;
use support::tools::{CRANE, HELM, PROVIDER_HOSTILE, PROVIDER_TIME, Progress, REGISTRY, TOFU, TOKEN_SIGNER, Tool};

fn main() -> ExitCode {
    let mut show = Show::new();
    let begun = Instant::now();
    for tool in [&REGISTRY, &TOKEN_SIGNER, &CRANE, &PROVIDER_TIME, &PROVIDER_HOSTILE, &TOFU] {
        if !build(tool, begun, &mut show) {
            return ExitCode::FAILURE;
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
    // Last, because it takes longest and one test alone needs it.
    if build(&HELM, begun, &mut show) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Builds one and says where it is, or why it could not be built.
fn build(tool: &Tool, begun: Instant, show: &mut Show) -> bool {
    let built = tool.find_or_build(&mut |Progress { modules, packages }| {
        let text = format!("{}: {modules} modules, {packages} of {} packages", tool.name, tool.packages);
        show.progress(begun.elapsed(), &text);
    });
    show.progress_ends();
    let (text, is_built) = match built {
        Ok(program) => (format!("{}: {}", tool.name, program.display()), true),
        Err(failure) => (failure.to_string(), false),
    };
    show.say(&text);
    is_built
}
