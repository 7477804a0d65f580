//! What a person types: `nigari <noun> <verb>`, one file for each noun or verb.
//!
//! Rule: data on stdout, the rest on stderr; an error says what happened and what to do next; no secret is ever an
//! argument. Exit codes are in [`exit`] alone.

mod agent;
mod apply;
mod approval;
mod audit;
mod doctor;
mod error;
// Exit codes.
pub mod exit;
mod explain;
mod follow;
mod harmless;
mod login;
mod private_file;
mod prompt;
mod registry;
mod run;
mod run_choice;
mod run_log;
mod run_show;
mod runtime;
mod screen;
mod server;
mod session;
mod state;
mod table;
mod token;
mod up;
mod variable;
mod waiting;
mod workspace;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::error::CommandError;
use self::exit::ExitStatus;
use self::screen::Screen;
use self::session::Session;
use crate::logging;
use crate::settings::cli::ContextLayer;
use crate::settings::log::LogSettings;

/// Runs OpenTofu with private modules: registry credentials are stored once, delivered for the fetch step alone and
/// gone before plan and apply
#[derive(Debug, Parser)]
#[command(name = "nigari", version, subcommand_required = true, arg_required_else_help = true, after_help = AFTER)]
struct Cli {
    #[command(flatten)]
    context: ContextLayer,
    /// Write data as JSON; times are RFC 3339, UTC
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
Begin with `nigari up` in one terminal; it says what to type in the next.

Exit codes: 0 ok (also when Ctrl-C detaches from a run, which goes on), 1 failed, 2 usage, 3 canceled or discarded, 4 changes not applied,
69 not reachable, 74 secrets may remain on this host, 75 run lost, 77 refused, 78 settings";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run server and agent on this machine, with SQLite, for one person
    Up(up::Arguments),
    /// The control plane
    #[command(subcommand)]
    Server(server::Verb),
    /// The agents, which run OpenTofu
    #[command(subcommand)]
    Agent(agent::Verb),
    /// Upload a directory and plan it; nothing is applied
    Plan(apply::PlanArguments),
    /// Upload a directory, plan it, ask, and apply the plan
    Apply(apply::ApplyArguments),
    /// Upload a directory and, after asking, destroy everything that its state knows
    Destroy(apply::ApplyArguments),
    /// Runs: what was planned and applied
    #[command(subcommand)]
    Run(run::Verb),
    /// Workspaces: each keeps one configuration's state, variables and settings
    #[command(subcommand)]
    Workspace(workspace::Verb),
    /// Registry integrations: a registry's address, user and secret, stored once
    #[command(subcommand)]
    Registry(registry::Verb),
    /// Variables of a workspace
    #[command(subcommand)]
    Variable(variable::Verb),
    /// State of a workspace
    #[command(subcommand)]
    State(state::Verb),
    /// Tokens of people, programs and joining agents
    #[command(subcommand)]
    Token(token::Verb),
    /// Audit records: who did what to which resource
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Store a server and a token for the other commands
    Login(login::Arguments),
    /// Remove what `login` has stored
    Logout,
    /// Say whose token this is
    Whoami,
    /// Say which version this is
    Version,
    /// Look for what is missing on this host, and say what to do
    Doctor(doctor::Arguments),
    /// Say what a run would do with a module source, and why
    Explain(explain::Arguments),
}

/// Parses the process' arguments, runs the command, prints its error, gives the exit code.
pub fn main() -> ExitCode {
    match Cli::try_parse_from(std::env::args_os()) {
        Ok(cli) => {
            logging::start(&LogSettings::load(), cli.command.is_service());
            run(cli).into()
        }
        Err(error) => {
            // Help and version go to stdout with 0, wrong words to stderr with 2.
            if !error.use_stderr() {
                let _ = error.print();
                return ExitStatus::Ok.into();
            }
            let screen = Screen::new(false);
            let text = error.render();
            let text = if screen.live { text.ansi().to_string() } else { text.to_string() };
            screen.note(text.trim_end());
            ExitStatus::Usage.into()
        }
    }
}

/// The whole vocabulary as clap knows it: for tests and generated documentation.
pub fn vocabulary() -> clap::Command {
    Cli::command()
}

/// Whether clap takes these words, the program's name first: for tests.
///
/// # Errors
/// What clap says.
pub fn check_words(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<(), clap::Error> {
    Cli::try_parse_from(words).map(|_| ())
}

fn run(cli: Cli) -> ExitStatus {
    let screen = Screen::new(cli.json);
    match dispatch(cli, screen) {
        Ok(status) => status,
        // `nigari run list | head` is no failure.
        Err(CommandError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitStatus::Ok,
        Err(error) => {
            let _ = std::io::stderr().lock().write_all(error.describe().as_bytes());
            ExitStatus::from(&error)
        }
    }
}

impl Command {
    fn is_service(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Server(_) | Self::Agent(agent::Verb::Start(_)))
    }
}

fn dispatch(cli: Cli, screen: Screen) -> Result<ExitStatus, CommandError> {
    let Cli { context, command, .. } = cli;
    match command {
        Command::Up(arguments) => up::run(arguments, screen),
        Command::Server(verb) => server::run(verb),
        Command::Agent(agent::Verb::Start(arguments)) => agent::start(*arguments, context),
        Command::Agent(agent::Verb::Sweep(arguments)) => agent::sweep(*arguments, context, screen),
        Command::Version => version(screen),
        other => runtime::for_command()?.run(async move {
            match other {
                Command::Login(arguments) => login::login(arguments, &context, screen).await,
                Command::Logout => login::logout(screen),
                Command::Doctor(arguments) => doctor::run(arguments, &context, screen).await,
                Command::Explain(arguments) => explain::run(arguments, &context, screen).await,
                other => talk(other, Session::open(&context, screen)?).await,
            }
        }),
    }
}

/// Commands that need a server and a token.
async fn talk(command: Command, session: Session) -> Result<ExitStatus, CommandError> {
    let done = |()| ExitStatus::Ok;
    match command {
        Command::Plan(arguments) => apply::plan(arguments, &session).await,
        Command::Apply(arguments) => apply::apply(arguments, &session).await,
        Command::Destroy(arguments) => apply::destroy(arguments, &session).await,
        Command::Run(verb) => run::run(verb, &session).await,
        Command::Workspace(verb) => workspace::run(verb, &session).await.map(done),
        Command::Registry(verb) => registry::run(verb, &session).await,
        Command::Variable(verb) => variable::run(verb, &session).await.map(done),
        Command::State(verb) => state::run(verb, &session).await.map(done),
        Command::Token(verb) => token::run(verb, &session).await.map(done),
        Command::Audit(verb) => audit::run(verb, &session).await.map(done),
        Command::Agent(verb) => agent::run(verb, &session).await,
        Command::Whoami => login::whoami(&session).await.map(done),
        Command::Up(_)
        | Command::Server(_)
        | Command::Version
        | Command::Login(_)
        | Command::Logout
        | Command::Doctor(_)
        | Command::Explain(_) => Ok(ExitStatus::Usage),
    }
}

fn version(screen: Screen) -> Result<ExitStatus, CommandError> {
    let version = env!("CARGO_PKG_VERSION");
    if screen.json {
        screen.json(&serde_json::json!({ "version": version, "protocol": crate::protocol::PROTOCOL }))?;
    } else {
        screen.line(format_args!("nigari {version}"))?;
    }
    Ok(ExitStatus::Ok)
}
