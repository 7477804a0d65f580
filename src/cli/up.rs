//! `nigari up`: server and agent in one process, for one person on one machine.
//!
//! Rule: loopback, SQLite, everything below one directory; the agent ends before the server, so that it can report.

use std::path::{Path, PathBuf};

use clap::Args;

use super::error::CommandError;
use super::exit::ExitStatus;
use super::screen::Screen;
use super::server::Listening;
use super::session::client;
use super::{agent, login, private_file, runtime};
use crate::agent::prepare;
use crate::client::TokenSource;
use crate::lifecycle::Shutdown;
use crate::settings::agent::SandboxChoice;
use crate::settings::agent_layer::AgentLayer;
use crate::settings::cli::{self, Context, ContextLayer, server_url};
use crate::settings::environment::state_home;
use crate::settings::server_layer::ServerLayer;
use crate::settings::{AgentSettings, ServerSettings, secret_file};

/// Arguments of `up`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Directory that everything is kept in [default: `$XDG_STATE_HOME/nigari/up`]
    #[arg(long, env = "NIGARI_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Loopback address and port to listen on [default: 127.0.0.1:7077]
    #[arg(long, env = "NIGARI_LISTEN", value_name = "ADDR")]
    listen: Option<String>,
    /// The tofu program [default: the first on PATH]
    #[arg(long, env = "NIGARI_TOFU", value_name = "PATH")]
    tofu: Option<PathBuf>,
    /// Your own CLI configuration of tofu, merged into the one that each run gets
    #[arg(long, env = "NIGARI_CLI_CONFIG", value_name = "FILE")]
    cli_config: Option<PathBuf>,
    /// Directory on tmpfs or ramfs for secrets
    #[arg(long, env = "NIGARI_SECRET_ROOT", value_name = "DIR")]
    secret_root: Option<PathBuf>,
    /// Runs at the same time [default: 1, because in the sandbox `process` programs of runs beside each other can look
    /// into each other]
    #[arg(long, env = "NIGARI_CONCURRENCY", value_name = "N")]
    concurrency: Option<u32>,
}

/// Runs both until Ctrl-C.
pub(super) fn run(arguments: Arguments, screen: Screen) -> Result<ExitStatus, CommandError> {
    let directory = arguments.state_dir.clone().unwrap_or_else(|| state_home().join("up"));
    let directory = std::path::absolute(&directory).unwrap_or(directory);
    private_file::make_directory(&directory)?;
    let state_dir = directory.join("server");
    let server = ServerSettings::load(
        None,
        ServerLayer { listen: arguments.listen.clone(), state_dir: Some(state_dir.clone()), ..ServerLayer::default() },
    )?;
    let launcher = agent::launcher()?;
    runtime::for_service()?.run(async move {
        let shutdown = Shutdown::new();
        shutdown.on_signals().map_err(|source| CommandError::io("cannot listen for signals", source))?;
        let listening = Listening::bind(server).await?;
        let settings = agent_settings(arguments, &directory, &listening.url)?;
        // Before anything is announced: what is missing on this host is the first thing to say.
        let prepared = prepare(settings, launcher).await.map_err(|error| agent::failed(&error))?;
        let context = Context {
            server: server_url("server", &listening.url)?,
            token_file: state_dir.join("admin.token"),
            ca_file: None,
        };
        say_what_next(&context, &directory, keep_context(&context)?, screen);
        let server_shutdown = Shutdown::new();
        let serving = listening.run(&server_shutdown);
        let working = async {
            take_back(&context, prepared.name(), screen).await;
            let ended = prepared.run(shutdown.clone()).await.map_err(|error| agent::failed(&error));
            if ended.is_ok() && !shutdown.soft.is_cancelled() {
                screen.note("the agent was drained, so both end; `nigari up` takes it back");
            }
            server_shutdown.soft.cancel();
            ended
        };
        let (server_end, agent_end) = tokio::join!(
            async {
                let end = serving.await;
                // Without its server the agent has nothing to do.
                shutdown.now();
                end
            },
            working
        );
        agent_end.and(server_end)?;
        screen.note("both are stopped");
        Ok(ExitStatus::Ok)
    })
}

fn agent_settings(arguments: Arguments, directory: &Path, url: &str) -> Result<AgentSettings, CommandError> {
    let layer = AgentLayer {
        server: Some(url.to_owned()),
        join_token_file: Some(directory.join("server/join.token")),
        state_dir: Some(directory.join("agent")),
        run_root: Some(directory.join("runs")),
        tofu: arguments.tofu,
        cli_config: arguments.cli_config,
        secret_root: arguments.secret_root,
        concurrency: arguments.concurrency,
        sandbox: Some(SandboxChoice::Own),
        ..AgentLayer::default()
    };
    Ok(AgentSettings::load(None, layer)?)
}

/// A drain outlives the process, and here nobody could end it: while the agent is away, so is the server.
async fn take_back(context: &Context, name: &str, screen: Screen) {
    let taken = async {
        let token = TokenSource::fixed(secret_file::read(&context.token_file)?);
        let client = client(context.server.as_str(), token, None)?;
        let agents = client.agents().await?;
        for agent in agents.iter().filter(|agent| agent.draining && agent.name == name) {
            client.resume_agent(&agent.id.to_string()).await?;
            screen.note(format_args!("the agent `{name}` was drained; it takes runs again"));
        }
        Ok::<(), CommandError>(())
    };
    if let Err(error) = taken.await {
        screen.note(format_args!("if the agent `{name}` was drained, it stays so: {}", error.describe().trim_end()));
    }
}

/// Writes the context that the other commands use, unless a person has logged in to another server.
fn keep_context(context: &Context) -> Result<bool, CommandError> {
    let stored = Context::load(&ContextLayer::default()).ok();
    let is_ours = stored.is_none_or(|stored| stored.token_file == context.token_file);
    if is_ours {
        login::store(&cli::directory(), context)?;
    }
    Ok(is_ours)
}

fn say_what_next(context: &Context, directory: &Path, is_stored: bool, screen: Screen) {
    screen.heading(format_args!("nigari is up: {}", context.server));
    let others = if is_stored {
        String::new()
    } else {
        format!(
            "  export NIGARI_SERVER={} NIGARI_TOKEN_FILE={}    # you are logged in elsewhere\n",
            context.server,
            context.token_file.display()
        )
    };
    screen.note(format_args!(
        "Everything is kept in {}. In another terminal:\n\n{others}  nigari registry add ghcr --url https://ghcr.io \
         --username USER     # asks for its token, and whether runs get it\n  nigari apply DIR                                   \
         # a directory with .tf files\n\nCtrl-C stops both, when what runs has ended.\n",
        directory.display()
    ));
}
