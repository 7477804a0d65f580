//! `nigari explain`: what would happen with a module source in a run, and why.
//!
//! Rule: it changes nothing and fetches nothing. What the source itself says is told without a server; what the server
//! would have to say is told to be missing when it cannot be asked. No value of a credential is ever shown.

mod mirrors;
mod report;
mod serving;
mod this_host;

use std::path::{Path, PathBuf};

use clap::Args;

use self::report::Explanation;
use self::serving::Serving;
use super::error::CommandError;
use super::exit::ExitStatus;
use super::screen::Screen;
use super::session::Session;
use crate::client::Client;
use crate::protocol::api::{ConnectionTest, ConnectionTestRequest, ConnectionVerdict, RegistryIntegration};
use crate::protocol::delivery::DeliveryChoice;
use crate::settings::cli::ContextLayer;
use crate::settings::environment;
use crate::tofu::ambient::{self, Surroundings};
use crate::tofu::language;
use crate::tofu::modules::{self, ModuleSource, SourceKind};

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// An `oci://…` source, or a directory with a configuration whose module sources are explained
    #[arg(value_name = "SOURCE|DIR")]
    what: String,
    /// The directory that `nigari plan` would upload, when the configuration's modules are beside it
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The workspace whose wish for a delivery counts [default: none wishes anything]
    #[arg(short, long)]
    workspace: Option<String>,
    /// The agent's CLI configuration, whose `oci_mirror` blocks are explained as well [default: none]
    #[arg(long, value_name = "FILE")]
    cli_config: Option<PathBuf>,
    /// Let the server ask the registry for the module, with the integration that would serve it
    #[arg(long)]
    test: bool,
}

/// What the server says.
struct Told {
    client: Client,
    integrations: Vec<RegistryIntegration>,
    /// How the workspace wants its credentials delivered.
    wish: DeliveryChoice,
}

/// The error is why the server could not be asked.
type Asked = Result<Told, String>;

/// Explains, and ends with 0 when everything from an OCI registry would be fetched with a credential.
pub(super) async fn run(
    arguments: Arguments,
    flags: &ContextLayer,
    screen: Screen,
) -> Result<ExitStatus, CommandError> {
    let (sources, root) = sources(&arguments)?;
    let mirrors = arguments.cli_config.as_deref().map(mirrors::read).transpose()?.unwrap_or_default();
    let asked = ask(flags, arguments.workspace.as_deref(), screen).await?;
    let mut explanations = Vec::new();
    for source in sources {
        explanations.push(match &root {
            Some(root) if is_missing(root, &source) => Explanation::of_a_missing_module(source),
            _ => explain(source, &asked, arguments.test).await?,
        });
    }
    let is_partial = root.is_some() && explanations.iter().any(Explanation::is_from_elsewhere);
    // Before the mirrors, which no test can try.
    let is_untested = arguments.test && explanations.iter().any(Explanation::is_untested);
    for mirror in mirrors {
        // Which providers there are only a configuration can tell, so there is nothing to test.
        explanations.push(explain(mirror, &asked, false).await?);
    }
    report::tell(&explanations, screen)?;
    if is_partial {
        screen.note("note: what the modules from elsewhere call themselves is not known here, and not explained");
    }
    if explanations.iter().any(Explanation::has_delivery) {
        screen.note(
            "note: `delivery` is what the workspace wants, or the usual way; an agent that is started with its own \
             `--delivery` uses that one, unless the workspace wants one that leaves less open",
        );
    }
    if is_untested {
        return Err(untested(asked.err()));
    }
    if let Err(why) = &asked {
        screen.note(format_args!(
            "note: the server could not be asked, so which integration would serve is not known: {why}"
        ));
    }
    let is_good = explanations.iter().all(Explanation::is_good);
    Ok(if is_good { ExitStatus::Ok } else { ExitStatus::Failed })
}

/// That a test was wanted which could not be made; with `why` the server could not be asked.
fn untested(why: Option<String>) -> CommandError {
    match why {
        Some(why) => CommandError::Service {
            message: format!("`--test` was asked for, but the server could not be asked: {why}"),
            hint: Some("without `--test`, what the source itself says is told without a server".to_owned()),
            status: ExitStatus::Unavailable,
        },
        None => CommandError::refused(
            "`--test` was asked for, but not every source could be tried: no integration that runs get serves it",
            "see `served` above; `nigari registry test NAME --repository REPOSITORY` tries an integration by its name",
        ),
    }
}

/// The sources that are asked about; with the root of their configuration, if there is one.
fn sources(arguments: &Arguments) -> Result<(Vec<ModuleSource>, Option<PathBuf>), CommandError> {
    let what = arguments.what.as_str();
    let source = ModuleSource::of(String::new(), what, PathBuf::new());
    if source.oci.is_some() {
        if arguments.root.is_some() {
            return Err(CommandError::usage("`--root` is for a directory", "leave it out"));
        }
        return Ok((vec![source], None));
    }
    let directory = Path::new(what);
    if !directory.is_dir() {
        return Err(CommandError::usage(
            format!("`{}` is neither an `oci://` source nor a directory", source.source),
            "`nigari explain oci://HOST/REPOSITORY?tag=TAG`, or the directory of a configuration",
        ));
    }
    if language::list(directory).is_ok_and(|files| files.is_empty()) {
        return Err(CommandError::usage(
            format!("{} has no configuration: there is no `.tf` or `.tofu` file in it", directory.display()),
            "name the directory in which `tofu init` would be run",
        ));
    }
    let root = arguments.root.as_deref().unwrap_or(directory);
    let absolute = |path: &Path| {
        path.canonicalize()
            .map_err(|source| CommandError::named_directory(format!("cannot find {}", path.display()), source))
    };
    let (root, directory) = (absolute(root)?, absolute(directory)?);
    let Ok(below) = directory.strip_prefix(&root) else {
        return Err(CommandError::usage(
            format!("{} is not below {}", directory.display(), root.display()),
            "`--root` names a directory above the configuration",
        ));
    };
    let named = modules::named(&root, below).map_err(|error| {
        let hint = error.hint().unwrap_or_else(|| "a run would refuse this configuration too".to_owned());
        CommandError::refused(error.to_string(), hint)
    })?;
    Ok((named, Some(root)))
}

/// Whether it is a local module whose directory is not there.
fn is_missing(root: &Path, module: &ModuleSource) -> bool {
    let beside = module.file.parent().unwrap_or(Path::new(""));
    module.kind == SourceKind::Local && !root.join(beside).join(module.source.replace('\\', "/")).is_dir()
}

async fn ask(flags: &ContextLayer, workspace: Option<&str>, screen: Screen) -> Result<Asked, CommandError> {
    let client = match Session::open(flags, screen) {
        Ok(session) => session.client,
        Err(error) => return Ok(Err(first_line(&error.to_string()))),
    };
    let integrations = match client.registry_integrations().await {
        Ok(integrations) => integrations,
        Err(error) => return Ok(Err(first_line(&error.to_string()))),
    };
    let wish = match workspace {
        Some(workspace) => client.workspace(workspace).await?.delivery,
        None => DeliveryChoice::Auto,
    };
    Ok(Ok(Told { client, integrations, wish }))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

async fn explain(module: ModuleSource, asked: &Asked, test: bool) -> Result<Explanation, CommandError> {
    let Some(source) = module.oci.clone() else { return Ok(Explanation::of_another_kind(module)) };
    let places = ambient::look(&surroundings(), &source.registry_host, &source.repository);
    let Ok(told) = asked else { return Ok(Explanation::of_oci(module, &source, None, &places)) };
    let serving = serving::of(&source, &told.integrations, told.wish);
    let mut explanation = Explanation::of_oci(module, &source, Some((&serving, told.wish)), &places);
    if let (true, Serving::By(integration)) = (test, &serving) {
        let request = ConnectionTestRequest { repository: Some(source.reference()) };
        let result = told.client.test_registry_integration(&integration.id.to_string(), &request).await?;
        explanation.tested(result);
    }
    Ok(explanation)
}

/// What leads OpenTofu to files of this user.
fn surroundings() -> Surroundings {
    let named = ["TF_CLI_CONFIG_FILE", "TERRAFORM_CONFIG"].into_iter().find_map(environment::variable);
    Surroundings {
        named: named.map(PathBuf::from),
        runtime: environment::path("XDG_RUNTIME_DIR"),
        configuration: environment::path("XDG_CONFIG_HOME"),
        home: environment::path("HOME"),
    }
}

/// Whether a test leaves hope: the registry gave a module, or did not look at the credential.
fn is_passed(test: &ConnectionTest) -> bool {
    matches!(test.verdict, ConnectionVerdict::Ok | ConnectionVerdict::Unproven) && test.is_module != Some(false)
}
