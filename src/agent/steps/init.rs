//! The step `init`: the full one, after the modules are there and the credentials are gone.
//!
//! Rule: the backend that tofu chose is compared with the one that was expected before anything is planned, because
//! an uploaded override file can change it without a word.

use super::{Fetched, Run, Start, failed, files};
use crate::agent::directory::Prepared;
use crate::agent::failure::Stop;
use crate::agent::needles;
use crate::delivery::cli_config;
use crate::gateway::{Gateway, Notes, Patience};
use crate::protocol::run::Step;
use crate::secret::Secret;
use crate::tofu::backend::Backend;
use crate::tofu::{arguments, backend, hint};

/// The run is initialized; with a backend of ours, the door to its state is open.
#[derive(Debug)]
pub(crate) struct Initialized {
    pub(super) gateway: Option<Gateway>,
    backend: Backend,
}

/// The name of the backend that keeps the state, for reports.
pub(crate) fn backend_name(backend: &Backend) -> &str {
    match backend {
        Backend::Ours => "nigari",
        Backend::Kept(name) => name,
    }
}

impl Initialized {
    /// What the steps after `init` get, and `init` itself.
    pub(super) fn variables(&self, run: &Run<'_>) -> Vec<(String, Secret)> {
        let mut variables = vec![cli_config::variable(run.directory.private().path())];
        if let Some(gateway) = &self.gateway {
            variables.extend(gateway.environment());
        }
        variables
    }
}

/// Initializes.
pub(crate) async fn init(run: &Run<'_>, prepared: &Prepared, _modules: Fetched) -> Result<Initialized, Stop> {
    let during = |stop: Stop| stop.during(Step::Init);
    write_cli_configuration(run).map_err(during)?;
    files::write(run).map_err(during)?;
    failpoint!("agent.init.written");
    let gateway = open_gateway(run, &prepared.backend).await.map_err(during)?;
    let initialized = Initialized { gateway, backend: prepared.backend.clone() };
    failpoint!("agent.gateway.opened");
    run.report(Step::Init).await?;
    failpoint!("agent.init.reported");
    let ended = run.start(Start::new(Step::Init, arguments::init(), initialized.variables(run))).await?;
    if !ended.is_success() {
        return Err(failed(Step::Init, &ended, hint::find_after_fetch(&ended.tail)));
    }
    backend::check_chosen(&run.directory.data_directory(), &initialized.backend)
        .map_err(|error| during(error.into()))?;
    failpoint!("agent.init.checked");
    Ok(initialized)
}

/// In memory, because the operator may have chosen to keep tokens in it.
fn write_cli_configuration(run: &Run<'_>) -> Result<(), Stop> {
    let (operator, _) = run.host.operator.current(&run.host.secrets)?;
    // An apply on another host than its plan's begins here.
    run.log.redactions().add(needles::of_operator(&operator));
    let file = cli_config::for_steps(&operator, run.host.settings.keep_cli_credentials, &run.directory.providers())?;
    run.directory.private().write_secret(&file).map_err(|error| Stop::io("cannot write the CLI configuration", &error))
}

async fn open_gateway(run: &Run<'_>, backend: &Backend) -> Result<Option<Gateway>, Stop> {
    if *backend != Backend::Ours {
        return Ok(None);
    }
    let log = run.log.clone();
    let notes: Notes = std::sync::Arc::new(move |note: &str| log.note(note));
    let patience = run.host.settings.patience;
    let patience = Patience { request: patience.request, write: patience.state_write };
    let gateway = Gateway::open(run.lease.server.clone(), patience, notes).await?;
    run.log.redactions().add(needles::of_gateway(&gateway));
    Ok(Some(gateway))
}
