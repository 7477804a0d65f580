//! What `explain` tells of one source, as data and as text.

use std::path::PathBuf;

use serde::Serialize;

use super::is_passed;
use super::serving::{Near, Serving, way};
use super::this_host::{Login, logins};
use crate::cli::error::CommandError;
use crate::cli::screen::Screen;
use crate::delivery::helper::several;
use crate::protocol::api::{ConnectionTest, RegistryIntegration};
use crate::protocol::delivery::DeliveryChoice;
use crate::tofu::ambient::Place;
use crate::tofu::modules::{ModuleSource, OciFault, OciSource, SourceKind};

/// What would become of one module source.
#[derive(Debug, Serialize)]
pub(super) struct Explanation {
    /// The source, without user information.
    source: String,
    /// The `module` block; empty when a source was given.
    #[serde(skip_serializing_if = "String::is_empty")]
    module: String,
    /// The file of that block.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// `oci`, `local`, `registry`, `git`, `http`, `other` or `expression`.
    kind: &'static str,
    /// Whether it would be fetched, from an OCI registry with a credential; absent: not known, or no business of nigari's.
    #[serde(skip_serializing_if = "Option::is_none")]
    served: Option<bool>,
    /// Why.
    reason: String,
    /// The registry integration, if one covers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    integration: Option<Covering>,
    /// The way that the credential would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<DeliveryChoice>,
    /// The logins of this user on this machine, which no run uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    this_host: Vec<Login>,
    /// What the connection test said.
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<ConnectionTest>,
    /// What is wrong or worth a word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
}

/// An integration that covers a source.
#[derive(Debug, Serialize)]
struct Covering {
    name: String,
    /// Host and path that matched.
    address: String,
    export_credentials: bool,
    disabled: bool,
}

#[derive(Debug, Serialize)]
struct Warning {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Explanation {
    /// A source that is in no OCI registry.
    pub(super) fn of_another_kind(module: ModuleSource) -> Self {
        let (kind, reason) = match &module.kind {
            SourceKind::Local => ("local", "a directory of the configuration itself".to_owned()),
            SourceKind::Registry { host } => (
                "registry",
                format!("a module registry: a private one needs `credentials \"{host}\"` in the agent's `cli_config`"),
            ),
            SourceKind::Git => ("git", "git: a private one needs `ssh_key_file`, an ssh agent or `home`".to_owned()),
            SourceKind::Http => ("http", "an archive over HTTP".to_owned()),
            SourceKind::Expression => ("expression", "only OpenTofu can tell where this leads".to_owned()),
            SourceKind::Other | SourceKind::Oci { .. } => ("other", "not from an OCI registry".to_owned()),
        };
        Self::new(module, kind, None, reason)
    }

    /// A local module that is not there.
    pub(super) fn of_a_missing_module(module: ModuleSource) -> Self {
        let reason = "there is no such directory, so that OpenTofu fails; hint: mend the source, or name the directory \
                      that a run uploads with `--root`";
        Self::new(module, "local", Some(false), reason.to_owned())
    }

    /// A source in an OCI registry, who serves it and by which wish; absent when the server could not be asked.
    pub(super) fn of_oci(
        module: ModuleSource,
        source: &OciSource,
        serving: Option<(&Serving<'_>, DeliveryChoice)>,
        places: &[Place],
    ) -> Self {
        let (served, reason) = verdict(source, serving);
        let mut explanation = Self::new(module, "oci", served, reason);
        if let Some((Serving::By(one) | Serving::Withheld(one), _)) = serving {
            explanation.integration = Some(Covering {
                name: one.name.clone(),
                address: one.address.to_string(),
                export_credentials: one.export_credentials,
                disabled: one.disabled,
            });
        }
        if let (Some(true), Some((_, wish))) = (served, serving) {
            explanation.delivery = way(source, wish);
        }
        explanation.warnings = source.faults.iter().map(Warning::from).collect();
        if let Some((Serving::None(near), _)) = serving {
            explanation.warnings.extend(near.iter().map(|near| Warning::near(near, &source.registry_host)));
        }
        explanation.this_host = logins(places, &source.registry_host);
        explanation
    }

    fn new(module: ModuleSource, kind: &'static str, served: Option<bool>, reason: String) -> Self {
        let ModuleSource { name, source, file, .. } = module;
        let file = (!name.is_empty()).then_some(file);
        let this = (None, None, Vec::new(), None, Vec::new());
        let (integration, delivery, this_host, test, warnings) = this;
        Self { source, module: name, file, kind, served, reason, integration, delivery, this_host, test, warnings }
    }

    /// Whether it is from an OCI registry and no registry was asked.
    pub(super) fn is_untested(&self) -> bool {
        self.kind == "oci" && self.test.is_none()
    }

    /// Adds what the connection test said.
    pub(super) fn tested(&mut self, test: ConnectionTest) {
        if !is_passed(&test) {
            self.served = Some(false);
            "the registry was asked, see the test".clone_into(&mut self.reason);
        }
        self.test = Some(test);
    }

    /// Whether there is nothing to be done about it.
    pub(super) fn is_good(&self) -> bool {
        self.served.unwrap_or(self.kind != "oci")
    }

    /// Whether a way for the credential is told.
    pub(super) fn has_delivery(&self) -> bool {
        self.delivery.is_some()
    }

    /// Whether it comes from elsewhere, so that it may call modules of which nothing is known here.
    pub(super) fn is_from_elsewhere(&self) -> bool {
        self.kind != "local"
    }
}

fn verdict(source: &OciSource, serving: Option<(&Serving<'_>, DeliveryChoice)>) -> (Option<bool>, String) {
    if source.is_refused() {
        return (Some(false), "as it is written, OpenTofu cannot fetch it with a credential".to_owned());
    }
    let Some((serving, wish)) = serving else { return (None, "the server could not be asked".to_owned()) };
    let way = way(source, wish);
    if source.is_unmatched() && way != Some(DeliveryChoice::Broker) {
        let why = "as it is written, OpenTofu cannot fetch it with a credential: the broker could add one, but the delivery is";
        return (Some(false), format!("{why} `{}`", way.unwrap_or(wish)));
    }
    let why_not = match (serving, way) {
        (Serving::By(_), None) => {
            "the workspace wants `broker`, which OpenTofu does not use for loopback: name it `registry.localhost`"
                .to_owned()
        }
        (Serving::By(one), Some(way)) => return (Some(true), chosen(source, one, way)),
        (Serving::Several(all), _) => {
            let names: Vec<String> = all.iter().map(|one| one.name.clone()).collect();
            several(all.first().map_or(source.registry_host.as_str(), |one| one.address.host()), &names)
        }
        (Serving::Withheld(one), _) => withheld(one),
        (Serving::None(_), _) => {
            "no registry integration covers it: OpenTofu would ask without a credential; `nigari registry \
                             add` stores one"
                .to_owned()
        }
    };
    (Some(false), why_not)
}

/// Why this one serves.
fn chosen(source: &OciSource, one: &RegistryIntegration, way: DeliveryChoice) -> String {
    let (name, address) = (&one.name, &one.address);
    match (way, address.path()) {
        (DeliveryChoice::Helper, None) => {
            format!("`{name}` is for the whole host, and the delivery `helper` is asked for a host alone")
        }
        (DeliveryChoice::Helper, Some(_)) => format!(
            "`{name}` is the only one for the host that is delivered, and the delivery `helper` gives it to all of the host, \
             not to {address} alone"
        ),
        _ if source.is_unmatched() => format!(
            "`{name}` is the narrowest integration that covers it and is delivered; the broker adds it in a run, and only there"
        ),
        _ => format!("`{name}` is the narrowest integration that covers it and is delivered"),
    }
}

fn withheld(one: &RegistryIntegration) -> String {
    let name = &one.name;
    if one.disabled {
        format!("`{name}` covers it but is disabled: `nigari registry update {name} --enable`")
    } else if one.export_credentials {
        format!(
            "`{name}` covers it but does not permit the delivery `file`, which the workspace wants: `nigari registry update \
             {name} --permit-file`"
        )
    } else {
        format!("`{name}` covers it but is not exported to runs: `nigari registry update {name} --export`")
    }
}

impl From<&OciFault> for Warning {
    fn from(fault: &OciFault) -> Self {
        Self { message: fault.message().to_owned(), hint: Some(fault.hint().to_owned()) }
    }
}

impl Warning {
    fn near(near: &Near<'_>, host: &str) -> Self {
        let (message, hint) = match near {
            Near::Port(address) => (
                format!("there is an integration for {address}, which is another port"),
                format!("write the source with `{}`, or add one for `{host}`", address.host()),
            ),
            Near::Path(address) => (
                format!("there is an integration for {address}, which is another path"),
                "add one for this path, or for the whole host".to_owned(),
            ),
            Near::Name(address) => (
                format!("there is an integration for {address}, which is nearly the same name"),
                format!("was `{}` meant?", address.host()),
            ),
            Near::Hub(address) => (
                format!("`{host}` is not where Docker Hub's registry is, and there is an integration for {address}"),
                format!("write the source with `{}`", address.host()),
            ),
        };
        Self { message, hint: Some(hint) }
    }
}

/// Writes all of them.
pub(super) fn tell(explanations: &[Explanation], screen: Screen) -> Result<(), CommandError> {
    if screen.json {
        return screen.json(explanations);
    }
    if explanations.is_empty() {
        screen.note("the configuration names no modules");
    }
    for (number, explanation) in explanations.iter().enumerate() {
        if number > 0 {
            screen.line("")?;
        }
        explanation.tell(screen)?;
    }
    Ok(())
}

impl Explanation {
    fn tell(&self, screen: Screen) -> Result<(), CommandError> {
        screen.line(&self.source)?;
        let file = self.file.as_ref().map(|file| format!("{} ({})", self.module, file.display()));
        let served = match self.served {
            _ if self.kind != "oci" => "",
            Some(true) => "yes: ",
            Some(false) => "no: ",
            None => "not known: ",
        };
        let word = if self.kind == "oci" { "served" } else { "source" };
        let rows = [
            ("module", file.unwrap_or_default()),
            (word, format!("{served}{}", self.reason)),
            ("integration", self.integration.as_ref().map(Covering::told).unwrap_or_default()),
            ("delivery", self.delivery.map(|way| way.to_string()).unwrap_or_default()),
            ("test", self.test.as_ref().map(told_of_test).unwrap_or_default()),
        ];
        for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
            screen.line(format_args!("  {name:<11}  {value}"))?;
        }
        for login in &self.this_host {
            screen.line(format_args!("  {:<11}  {}", "this host", login.told()))?;
        }
        for warning in &self.warnings {
            screen.line(format_args!("  {:<11}  {}", "warning", warning.message))?;
            if let Some(hint) = &warning.hint {
                screen.line(format_args!("  {:<11}  hint: {hint}", ""))?;
            }
        }
        Ok(())
    }
}

impl Covering {
    fn told(&self) -> String {
        format!("{} ({})", self.name, self.address)
    }
}

fn told_of_test(test: &ConnectionTest) -> String {
    let hint = test.hint.as_ref().map(|hint| format!("; hint: {hint}")).unwrap_or_default();
    format!("{}{hint}", test.message)
}
