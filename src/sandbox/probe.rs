//! Whether this host lets a step run in the sandbox `namespace`: by running one.

use tokio::io::AsyncReadExt as _;

use super::{Launch, Launcher, Sandbox, StepError};
use crate::process::ExitReason;

/// What the trial of a sandbox showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probed {
    /// How the program ended.
    pub exit: ExitReason,
    /// See [`super::Step::has_processes`].
    pub has_processes: bool,
}

/// Runs `launch` in the sandbox `namespace`, whatever it says itself, and throws its output away.
pub async fn probe(launcher: &Launcher, mut launch: Launch) -> Result<Probed, StepError> {
    launch.sandbox = Sandbox::Namespace;
    let mut step = launcher.start(launch).await?;
    let has_processes = step.has_processes();
    let outputs = [step.stdout(), step.stderr()];
    for mut output in outputs.into_iter().flatten() {
        let mut thrown_away = Vec::new();
        // What cannot be read is of no interest; the end tells.
        let _ = output.read_to_end(&mut thrown_away).await;
    }
    Ok(Probed { exit: step.wait().await?.exit, has_processes })
}
