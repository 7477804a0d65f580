//! Builds the real programs that tests need, with progress: `cargo run --example tools`.
//!
//! Rule: the same functions as in the tests, so that a test never builds what this has built.

use std::process::ExitCode;
use std::time::Instant;

use support::show::Show;
use support::tools::{PROVIDER_TIME, Progress, REGISTRY, TOFU, TOKEN_SIGNER};

fn main() -> ExitCode {
    let mut show = Show::new();
    let begun = Instant::now();
    for tool in [&REGISTRY, &TOKEN_SIGNER, &PROVIDER_TIME, &TOFU] {
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
    ExitCode::SUCCESS
}
