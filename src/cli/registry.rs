//! `nigari registry …`
//!
//! Rule: the secret comes from a prompt, a file or standard input, never from an argument; whether runs get it is
//! always somebody's decision, so `add` asks or refuses.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::error::CommandError;
use super::exit::ExitStatus;
use super::prompt;
use super::screen::{Screen, time, yes_no};
use super::session::{Session, read_registry_ca};
use crate::clock::Clock;
use crate::protocol::api::{
    ConnectionTest, ConnectionTestRequest, ConnectionVerdict, NewRegistryIntegration, RegistryIntegration,
    RegistryIntegrationChange,
};
use crate::secret::Secret;
use crate::settings::secret_file;
use crate::tls::summaries_of;

/// Verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Store a registry's address, user and secret
    Add(AddArguments),
    /// List the registry integrations
    List,
    /// Show one registry integration, without its secret
    Show {
        /// Its name or id
        name: String,
    },
    /// Change a registry integration; what is not given stays
    Update(UpdateArguments),
    /// Try a registry integration against its registry
    Test {
        /// Its name or id
        name: String,
        /// A repository to try a pull of, `team/net` or `team/net:1.0.0`
        #[arg(long)]
        repository: Option<String>,
    },
    /// Remove a registry integration with its secret
    Remove {
        /// Its name or id
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Where the secret comes from.
#[derive(Debug, Args)]
struct SecretArguments {
    /// File (mode 0600) with the password or token
    #[arg(long, value_name = "FILE", conflicts_with = "secret_stdin")]
    secret_file: Option<PathBuf>,
    /// Read the password or token from standard input
    #[arg(long)]
    secret_stdin: bool,
}

/// Whether runs get the credential.
#[derive(Debug, Args)]
struct ExportArguments {
    /// Export credentials: runs get them for their fetch step
    #[arg(long, conflicts_with = "no_export")]
    export: bool,
    /// Do not export credentials: they are stored, and runs do without
    #[arg(long)]
    no_export: bool,
}

/// What an integration permits beyond the usual.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "two flags for each switch, so that what is not said stays")]
struct PermitArguments {
    /// Permit the delivery `file`: the author of a configuration can read the credential during the fetch step
    #[arg(long, conflicts_with = "no_permit_file")]
    permit_file: bool,
    /// Do not permit the delivery `file`
    #[arg(long)]
    no_permit_file: bool,
    /// Permit the credential for plan and apply, by the broker, where a workspace wants that (`--whole-run`)
    #[arg(long, conflicts_with = "no_permit_whole_run")]
    permit_whole_run: bool,
    /// Do not permit the credential beyond the fetch step
    #[arg(long)]
    no_permit_whole_run: bool,
}

/// Arguments of `add`.
#[derive(Debug, Args)]
pub(super) struct AddArguments {
    /// Its name, for people
    name: String,
    /// `https://host[:port][/path]`
    #[arg(long, value_name = "URL")]
    url: String,
    /// User name
    #[arg(long, value_name = "USER")]
    username: String,
    #[command(flatten)]
    secret: SecretArguments,
    /// PEM file with the registry's private CA, trusted besides the host's roots
    #[arg(long, value_name = "PEM")]
    registry_ca_file: Option<PathBuf>,
    #[command(flatten)]
    export: ExportArguments,
    #[command(flatten)]
    permit: PermitArguments,
}

/// Arguments of `update`.
#[derive(Debug, Args)]
pub(super) struct UpdateArguments {
    /// Its name or id
    name: String,
    /// New name
    #[arg(long, value_name = "NAME")]
    rename: Option<String>,
    /// New address; demands the secret again
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// New user name; demands the secret again
    #[arg(long, value_name = "USER")]
    username: Option<String>,
    #[command(flatten)]
    secret: SecretArguments,
    /// PEM file with the new private CA; demands the secret again
    #[arg(long, value_name = "PEM", conflicts_with = "no_registry_ca")]
    registry_ca_file: Option<PathBuf>,
    /// Take the private CA away; demands the secret again
    #[arg(long)]
    no_registry_ca: bool,
    #[command(flatten)]
    export: ExportArguments,
    #[command(flatten)]
    permit: PermitArguments,
    /// Take it out of use, whatever *export credentials* says
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Take it into use again
    #[arg(long)]
    enable: bool,
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &Session) -> Result<ExitStatus, CommandError> {
    let Session { client, screen, .. } = session;
    match verb {
        Verb::Add(arguments) => add(arguments, session).await?,
        Verb::List => {
            let heading = &["NAME", "REGISTRY", "USER", "EXPORT CREDENTIALS", "LAST TEST"];
            screen.list(&client.registry_integrations().await?, heading, |integration| {
                vec![
                    integration.name.clone(),
                    integration.address.to_string(),
                    integration.username.clone(),
                    export(integration),
                    integration.last_test.as_ref().map(when_tested).unwrap_or_default(),
                ]
            })?;
        }
        Verb::Show { name } => show(&client.registry_integration(&name).await?, *screen)?,
        Verb::Update(arguments) => {
            let name = arguments.name.clone();
            show(&client.change_registry_integration(&name, &change(arguments)?).await?, *screen)?;
        }
        Verb::Test { name, repository } => {
            let request = ConnectionTestRequest { repository };
            return tell(&client.test_registry_integration(&name, &request).await?, *screen);
        }
        Verb::Remove { name, yes } => {
            let question = format!("This removes the registry integration `{name}` with its secret. Remove it?");
            prompt::confirm_removal(&question, yes)?;
            client.delete_registry_integration(&name).await?;
            screen.note(format_args!("registry integration `{name}` is removed with its secret"));
        }
    }
    Ok(ExitStatus::Ok)
}

async fn add(arguments: AddArguments, session: &Session) -> Result<(), CommandError> {
    let AddArguments { name, url, username, secret, registry_ca_file, export, permit } = arguments;
    // Standard input that holds the secret cannot answer as well.
    if export.decision().is_none() && (secret.secret_stdin || !prompt::is_possible()) {
        return Err(CommandError::usage(
            "whether runs get the credential is not said",
            "`--export` (runs get it for their fetch step) or `--no-export`",
        ));
    }
    let ca_pem = registry_ca_file.as_deref().map(read_registry_ca).transpose()?;
    let secret = match secret.read()? {
        Some(secret) => secret,
        None if prompt::is_possible() => prompt::ask_secret(&format!("Password or token of {username}: "))?,
        None => {
            return Err(CommandError::usage(
                "there is no secret and no terminal to ask on",
                "`--secret-file FILE` or `--secret-stdin`",
            ));
        }
    };
    let export_credentials = match export.decision() {
        Some(decision) => decision,
        None => prompt::confirm("Export credentials: may runs get them for their fetch step?")?,
    };
    let (permit_file, permit_whole_run) = (permit.file() == Some(true), permit.whole_run() == Some(true));
    let new = NewRegistryIntegration {
        name,
        url,
        username,
        secret,
        export_credentials,
        permit_file,
        permit_whole_run,
        ca_pem,
    };
    show(&session.client.create_registry_integration(&new).await?, session.screen)
}

fn change(arguments: UpdateArguments) -> Result<RegistryIntegrationChange, CommandError> {
    let demands_secret = arguments.url.is_some()
        || arguments.username.is_some()
        || arguments.registry_ca_file.is_some()
        || arguments.no_registry_ca;
    let secret = match arguments.secret.read()? {
        None if demands_secret && prompt::is_possible() => {
            Some(prompt::ask_secret("Where the secret is sent changes. Password or token: ")?)
        }
        other => other,
    };
    let ca_pem = match arguments.registry_ca_file.as_deref() {
        Some(path) => Some(read_registry_ca(path)?),
        None => arguments.no_registry_ca.then(String::new),
    };
    let disabled = if arguments.disable { Some(true) } else { arguments.enable.then_some(false) };
    Ok(RegistryIntegrationChange {
        name: arguments.rename,
        url: arguments.url,
        username: arguments.username,
        secret,
        export_credentials: arguments.export.decision(),
        permit_file: arguments.permit.file(),
        permit_whole_run: arguments.permit.whole_run(),
        ca_pem,
        disabled,
    })
}

impl SecretArguments {
    fn read(&self) -> Result<Option<Secret>, CommandError> {
        match &self.secret_file {
            Some(path) => secret_file::read(path).map(Some).map_err(CommandError::named_secret),
            None if self.secret_stdin => prompt::secret_from_stdin().map(Some),
            None => Ok(None),
        }
    }
}

impl ExportArguments {
    fn decision(&self) -> Option<bool> {
        decided(self.export, self.no_export)
    }
}

impl PermitArguments {
    fn file(&self) -> Option<bool> {
        decided(self.permit_file, self.no_permit_file)
    }

    fn whole_run(&self) -> Option<bool> {
        decided(self.permit_whole_run, self.no_permit_whole_run)
    }
}

fn decided(yes: bool, no: bool) -> Option<bool> {
    if yes { Some(true) } else { no.then_some(false) }
}

fn export(integration: &RegistryIntegration) -> String {
    if integration.disabled { "disabled".to_owned() } else { yes_no(integration.export_credentials) }
}

fn verdict(verdict: ConnectionVerdict) -> String {
    match verdict {
        ConnectionVerdict::Ok => "ok",
        ConnectionVerdict::Unproven => "unproven",
        ConnectionVerdict::Unreachable => "unreachable",
        ConnectionVerdict::Tls => "certificate",
        ConnectionVerdict::NotARegistry => "not a registry",
        ConnectionVerdict::Denied => "denied",
        ConnectionVerdict::NoAccess => "no access",
        ConnectionVerdict::NotFound => "not found",
        ConnectionVerdict::RegistryFault => "registry's fault",
    }
    .to_owned()
}

/// What a test found, and when: what was good a year ago may not be now.
fn when_tested(test: &ConnectionTest) -> String {
    format!("{}, {}", verdict(test.verdict), time(test.tested_at))
}

/// Whose certificates are trusted besides, and until when.
fn private_ca(integration: &RegistryIntegration) -> String {
    let Some(pem) = &integration.ca_pem else { return yes_no(false) };
    let told: Vec<String> = summaries_of(pem)
        .iter()
        .map(|ca| {
            let over = if ca.not_after < Clock::new().now() { "expired" } else { "until" };
            format!("`{}`, {over} {}", ca.subject, time(ca.not_after))
        })
        .collect();
    if told.is_empty() { yes_no(true) } else { told.join("; ") }
}

fn show(integration: &RegistryIntegration, screen: Screen) -> Result<(), CommandError> {
    if screen.json {
        return screen.json(integration);
    }
    let test = integration.last_test.as_ref().map(|test| format!("{}: {}", when_tested(test), test.message));
    screen.fields(&[
        ("name", integration.name.clone()),
        ("id", integration.id.to_string()),
        ("registry", integration.address.to_url()),
        ("user", integration.username.clone()),
        ("secret", format!("set {} (version {})", time(integration.secret_set_at), integration.secret_version)),
        ("export credentials", export(integration)),
        ("permit file", yes_no(integration.permit_file)),
        ("permit whole run", yes_no(integration.permit_whole_run)),
        ("private CA", private_ca(integration)),
        ("token service", integration.token_service.clone().unwrap_or_default()),
        ("last test", test.unwrap_or_default()),
    ])?;
    if integration.permit_file {
        screen.note(format_args!(
            "note: with the delivery `file` the author of a configuration can read this credential during the fetch step"
        ));
    }
    for note in &integration.notes {
        screen.note(format_args!("note: {note}"));
    }
    if !integration.export_credentials && !integration.disabled {
        let name = &integration.name;
        screen.note(format_args!(
            "note: runs do not get this credential; `nigari registry update {name} --export` lets them have it"
        ));
    }
    Ok(())
}

fn tell(test: &ConnectionTest, screen: Screen) -> Result<ExitStatus, CommandError> {
    if screen.json {
        screen.json(test)?;
    } else {
        screen.line(format_args!("{}: {}", verdict(test.verdict), test.message))?;
        if let Some(hint) = &test.hint {
            screen.note(format_args!("hint: {hint}"));
        }
    }
    Ok(match test.verdict {
        ConnectionVerdict::Ok | ConnectionVerdict::Unproven => ExitStatus::Ok,
        ConnectionVerdict::Unreachable | ConnectionVerdict::RegistryFault => ExitStatus::Unavailable,
        ConnectionVerdict::Tls
        | ConnectionVerdict::NotARegistry
        | ConnectionVerdict::Denied
        | ConnectionVerdict::NoAccess
        | ConnectionVerdict::NotFound => ExitStatus::Failed,
    })
}
