//! `nigari workspace …`
//!
//! Rule: a workspace is removed only by its name typed again, or `--yes`: its state goes with it.

use clap::{Args, Subcommand};

use super::error::CommandError;
use super::prompt;
use super::screen::{time, yes_no};
use super::session::Session;
use crate::protocol::api::{NewWorkspace, Workspace, WorkspaceChange};
use crate::protocol::delivery::DeliveryChoice;

/// Verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a workspace
    Create(CreateArguments),
    /// List the workspaces
    List,
    /// Show one workspace
    Show {
        /// Its name or id
        name: String,
    },
    /// Change a workspace; what is not given stays
    Update(UpdateArguments),
    /// Remove a workspace with its state, variables and runs
    Delete {
        /// Its name or id
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Even if it has a state: what that state knows is forgotten, not destroyed
        #[arg(long)]
        force: bool,
    },
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// Its name: letters, digits, `-`, `_`, `.`
    name: String,
    /// For people
    #[arg(long, default_value = "")]
    description: String,
    /// Agent pool whose agents take its runs [default: default]
    #[arg(long)]
    pool: Option<String>,
    /// Apply runs without approval unless they say otherwise
    #[arg(long)]
    auto_apply: bool,
    /// How credentials come to tofu: `auto`, `broker`, `helper`, or `file`, which each integration has to permit
    #[arg(long, value_name = "WAY", default_value_t)]
    delivery: DeliveryChoice,
    /// Want credentials for plan and apply too, where integrations permit it
    #[arg(long)]
    whole_run: bool,
}

/// Arguments of `update`.
#[derive(Debug, Args)]
pub(super) struct UpdateArguments {
    /// Its name or id
    name: String,
    /// New name
    #[arg(long, value_name = "NAME")]
    rename: Option<String>,
    /// New description
    #[arg(long)]
    description: Option<String>,
    /// New agent pool
    #[arg(long)]
    pool: Option<String>,
    /// Whether runs are applied without approval unless they say otherwise
    #[arg(long, value_name = "true|false")]
    auto_apply: Option<bool>,
    /// How credentials come to tofu: `auto`, `broker`, `helper`, or `file`, which each integration has to permit
    #[arg(long, value_name = "WAY")]
    delivery: Option<DeliveryChoice>,
    /// Whether credentials are wanted for plan and apply too, where integrations permit it
    #[arg(long, value_name = "true|false")]
    whole_run: Option<bool>,
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CommandError> {
    let Session { client, screen, .. } = session;
    match verb {
        Verb::Create(CreateArguments { name, description, pool, auto_apply, delivery, whole_run }) => {
            let new = NewWorkspace { name, description, pool, auto_apply, delivery, whole_run };
            show(&client.create_workspace(&new).await?, session)
        }
        Verb::List => screen.list(
            &client.workspaces().await?,
            &["NAME", "POOL", "STATE", "ACTIVE RUN", "DESCRIPTION"],
            |workspace| {
                vec![
                    workspace.name.clone(),
                    workspace.pool.clone(),
                    workspace.state_serial.map_or_else(|| "none".to_owned(), |serial| format!("serial {serial}")),
                    workspace.active_run.map(|run| run.to_string()).unwrap_or_default(),
                    workspace.description.clone(),
                ]
            },
        ),
        Verb::Show { name } => show(&client.workspace(&name).await?, session),
        Verb::Update(UpdateArguments { name, rename, description, pool, auto_apply, delivery, whole_run }) => {
            let change = WorkspaceChange { name: rename, description, pool, auto_apply, delivery, whole_run };
            show(&client.change_workspace(&name, &change).await?, session)
        }
        Verb::Delete { name, yes, force } => {
            confirm(&name, yes)?;
            if force {
                client.forget_workspace(&name).await?;
            } else {
                client.delete_workspace(&name).await?;
            }
            screen.note(format_args!("workspace `{name}` is removed"));
            Ok(())
        }
    }
}

fn confirm(name: &str, yes: bool) -> Result<(), CommandError> {
    if yes {
        return Ok(());
    }
    if !prompt::is_possible() {
        return Err(CommandError::usage("there is no terminal to ask on", "`--yes` removes it without asking"));
    }
    let question = format!("This removes `{name}` with its state. Type its name to go on: ");
    if prompt::ask(&question)?.trim() == name {
        Ok(())
    } else {
        Err(CommandError::refused("nothing was removed", "type the name as it is given"))
    }
}

fn show(workspace: &Workspace, session: &Session) -> Result<(), CommandError> {
    let screen = session.screen;
    if screen.json {
        return screen.json(workspace);
    }
    let state = workspace.state_serial.map_or_else(|| "none".to_owned(), |serial| format!("serial {serial}"));
    let lock = workspace.state_lock.as_ref().map(|lock| format!("{} ({}, {})", lock.id, lock.who, lock.created));
    screen.fields(&[
        ("name", workspace.name.clone()),
        ("id", workspace.id.to_string()),
        ("description", workspace.description.clone()),
        ("pool", workspace.pool.clone()),
        ("auto-apply", yes_no(workspace.auto_apply)),
        ("delivery", workspace.delivery.to_string()),
        ("whole run", yes_no(workspace.whole_run)),
        ("created", time(workspace.created_at)),
        ("state", state),
        ("state lock", lock.unwrap_or_default()),
        ("active run", workspace.active_run.map(|run| run.to_string()).unwrap_or_default()),
    ])
}
