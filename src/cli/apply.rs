//! `nigari plan`, `nigari apply`, `nigari destroy`: a directory becomes a run.
//!
//! Rule: nothing is uploaded before it is clear which workspace it is for, and a local state is never overlooked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::task::{JoinError, JoinHandle};

use super::error::CommandError;
use super::exit::ExitStatus;
use super::follow::{self, Approval};
use super::prompt;
use super::screen::Screen;
use super::session::Session;
use crate::configuration::{self, Limits, PackRequest, Packed};
use crate::protocol::api::{NewRun, NewWorkspace, Run, Workspace};
use crate::protocol::limits::of_configuration;
use crate::protocol::run::{RunKind, RunState};

/// How often it is shown how far a packing is.
const PROGRESS: Duration = Duration::from_secs(1);

/// What `plan`, `apply` and `destroy` have in common.
#[derive(Debug, Args)]
struct Source {
    /// Directory with the configuration
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// The workspace [default: the directory's name]
    #[arg(short, long, value_name = "NAME")]
    workspace: Option<String>,
    /// Make the workspace if there is none of that name
    #[arg(long)]
    create: bool,
    /// Directory above DIR to upload instead, for modules referenced by `../`
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// For people
    #[arg(short, long, default_value = "")]
    message: String,
    /// Do not follow the run; print its id
    #[arg(long)]
    detach: bool,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    source: Source,
    /// End with 4 when there are changes
    #[arg(long)]
    detailed_exitcode: bool,
}

/// Arguments of `apply` and `destroy`.
#[derive(Debug, Args)]
pub(super) struct ApplyArguments {
    #[command(flatten)]
    source: Source,
    /// Apply the plan without asking
    #[arg(long)]
    auto_approve: bool,
}

/// `nigari plan`.
pub(super) async fn plan(arguments: PlanArguments, session: &Session) -> Result<ExitStatus, CommandError> {
    let PlanArguments { source, detailed_exitcode } = arguments;
    let detach = source.detach;
    let run = start(source, RunKind::Plan, None, session).await?;
    if detach {
        return leave(&run, session);
    }
    let status = follow::to_the_end(run.id, Approval::Leave, session).await?;
    if status == ExitStatus::Ok && detailed_exitcode {
        let run = session.client.run(run.id).await?;
        return Ok(if run.state == RunState::PlanFinished { ExitStatus::Changes } else { status });
    }
    Ok(status)
}

/// `nigari apply`.
pub(super) async fn apply(arguments: ApplyArguments, session: &Session) -> Result<ExitStatus, CommandError> {
    change(arguments, RunKind::Apply, session).await
}

/// `nigari destroy`.
pub(super) async fn destroy(arguments: ApplyArguments, session: &Session) -> Result<ExitStatus, CommandError> {
    change(arguments, RunKind::Destroy, session).await
}

async fn change(arguments: ApplyArguments, kind: RunKind, session: &Session) -> Result<ExitStatus, CommandError> {
    let ApplyArguments { source, auto_approve } = arguments;
    let detach = source.detach;
    let run = start(source, kind, auto_approve.then_some(true), session).await?;
    if detach {
        return leave(&run, session);
    }
    let approval = if prompt::is_possible() { Approval::Ask } else { Approval::Leave };
    follow::to_the_end(run.id, approval, session).await
}

fn leave(run: &Run, session: &Session) -> Result<ExitStatus, CommandError> {
    if session.screen.json {
        session.screen.json(run)?;
    } else {
        session.screen.line(run.id)?;
    }
    session.screen.note(format_args!("follow it with `nigari run logs --follow {}`", run.id));
    Ok(ExitStatus::Ok)
}

async fn start(
    source: Source,
    kind: RunKind,
    auto_apply: Option<bool>,
    session: &Session,
) -> Result<Run, CommandError> {
    let directory = source.directory.canonicalize().map_err(|error| {
        CommandError::named_directory(format!("cannot use the directory {}", source.directory.display()), error)
    })?;
    let name = match source.workspace {
        Some(name) => name,
        None => name_of(&directory)?,
    };
    // Before the upload, so that a wrong directory is told before a workspace is asked for.
    let archive =
        tempfile::NamedTempFile::new().map_err(|error| CommandError::io("cannot make a temporary file", error))?;
    let packed = pack(directory, source.root, &archive, session.screen).await?;
    let workspace = workspace(&name, source.create, session).await?;
    refuse_local_state(&packed, &workspace)?;
    let working_directory = if packed.working_directory == "." { "" } else { &packed.working_directory };
    let id = workspace.id.to_string();
    let client = &session.client;
    let what =
        if packed.entries == 1 { "1 file".to_owned() } else { format!("{} files and directories", packed.entries) };
    session.screen.note(format_args!("uploading {what} to `{name}`"));
    let configuration = client.upload_configuration(&id, working_directory, archive.path().to_path_buf()).await?;
    let new = NewRun { configuration: configuration.id, kind, auto_apply, message: source.message };
    Ok(client.create_run(&id, &new).await?)
}

fn name_of(directory: &Path) -> Result<String, CommandError> {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let fits = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if fits {
        return Ok(name.to_owned());
    }
    Err(CommandError::usage(
        format!("the directory's name `{name}` is no name for a workspace"),
        "give one with `--workspace NAME`: letters, digits, `-`, `_`, `.`",
    ))
}

async fn pack(
    directory: PathBuf,
    root: Option<PathBuf>,
    archive: &tempfile::NamedTempFile,
    screen: Screen,
) -> Result<Packed, CommandError> {
    let request = PackRequest { directory, root, limits: of_configuration(Limits::new) };
    let file = archive.reopen().map_err(|error| CommandError::io("cannot write the temporary file", error))?;
    let packing = tokio::task::spawn_blocking(move || configuration::pack(&request, std::io::BufWriter::new(file)));
    let packed = watched(packing, archive, screen)
        .await
        .map_err(|error| CommandError::io("packing broke off", std::io::Error::other(error)))?;
    Ok(packed?)
}

/// Waits for the packing, and shows how far it is when it takes a while.
async fn watched<T>(packing: JoinHandle<T>, archive: &tempfile::NamedTempFile, screen: Screen) -> Result<T, JoinError> {
    let mut packing = std::pin::pin!(packing);
    let mut shown = false;
    loop {
        if let Ok(packed) = tokio::time::timeout(PROGRESS, packing.as_mut()).await {
            if shown {
                screen.progress("");
            }
            return packed;
        }
        let bytes = archive.as_file().metadata().map_or(0, |metadata| metadata.len());
        screen.progress(format_args!("packing: {} MiB so far", bytes / (1024 * 1024)));
        shown = true;
    }
}

async fn workspace(name: &str, create: bool, session: &Session) -> Result<Workspace, CommandError> {
    match session.client.workspace(name).await {
        Err(error) if error.status() == Some(404) && error.problem().is_some() => {}
        other => return Ok(other?),
    }
    if !create {
        if !prompt::is_possible() {
            return Err(CommandError::refused(
                format!("there is no workspace `{name}`"),
                format!("`--create` makes it, or `nigari workspace create {name}`"),
            ));
        }
        if !prompt::confirm(&format!("There is no workspace `{name}`. Make it?"))? {
            return Err(CommandError::refused("no workspace was made", "give another with `--workspace NAME`"));
        }
    }
    let new = NewWorkspace { name: name.to_owned(), ..NewWorkspace::default() };
    let workspace = session.client.create_workspace(&new).await?;
    session.screen.note(format_args!("made the workspace `{name}`"));
    Ok(workspace)
}

/// A local state beside an empty workspace: a run would make everything a second time.
fn refuse_local_state(packed: &Packed, workspace: &Workspace) -> Result<(), CommandError> {
    match &packed.existing_state {
        Some(state) if workspace.state_serial.is_none() => Err(CommandError::refused(
            format!("{} is a state, and the workspace `{}` has none", state.display(), workspace.name),
            format!(
                "`nigari state push -w {} {}` takes it over; move it away if it is not the state of this configuration",
                workspace.name,
                state.display()
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::name_of;

    #[test]
    fn a_workspace_is_named_after_the_directory_if_that_is_a_name() {
        assert_eq!(name_of(Path::new("/a/network-1.prod")).unwrap(), "network-1.prod");
        for path in ["/", "/a/my dir", "/a/.hidden", "/a/ä"] {
            assert!(name_of(Path::new(path)).is_err(), "{path}");
        }
    }
}
