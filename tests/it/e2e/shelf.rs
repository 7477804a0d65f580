//! A registry with modules, and how a person stores its integration.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::canary::Canary;
use support::child::{Finished, command, run};
use support::module::Package;
use support::registry::Registry;
use support::require;
use tempfile::TempDir;

use super::guard::Guard;
use super::world::{USER, World};
use super::{with_modules, write};

/// What every registry has in it.
pub(super) const REPOSITORY: &str = "team/greeting";

/// Loopback too, but Go programs do use a proxy for it.
const FAR: &str = "registry.localhost";

/// A registry whose user is [`USER`].
pub(super) struct Shelf {
    pub(super) registry: Registry,
    pub(super) password: String,
    directory: TempDir,
    guard: Option<Guard>,
}

impl Shelf {
    /// With Basic authentication.
    pub(super) fn start(password: &str) -> Option<Self> {
        let program = require::registry()?;
        Some(Self::fill(password, |directory| Registry::start(&program, directory, USER, password).unwrap()))
    }

    /// With Basic authentication that compares every byte.
    pub(super) fn start_guarded(password: &str) -> Option<Self> {
        Self::start(password).map(Self::guarded)
    }

    /// The same under a name that OpenTofu reaches by the broker.
    pub(super) fn start_far_guarded(password: &str) -> Option<Self> {
        Self::start_far(password).map(Self::guarded)
    }

    fn guarded(mut self) -> Self {
        self.guard = Some(Guard::start(&self.registry, USER, &self.password));
        self
    }

    /// With bearer tokens from a signer.
    pub(super) fn start_with_tokens(password: &str) -> Option<Self> {
        let (program, signer) = (require::registry()?, require::token_signer()?);
        let start =
            |directory: &Path| Registry::start_with_tokens([&program, &signer], directory, USER, password).unwrap();
        Some(Self::fill(password, start))
    }

    /// The same two, under a name that OpenTofu reaches by the broker.
    pub(super) fn start_far(password: &str) -> Option<Self> {
        Self::start_called(password, FAR)
    }

    /// Distribution 2.8 as Debian has it, under that name of this host.
    pub(super) fn start_old(password: &str, name: &'static str) -> Option<Self> {
        let program = require::program("docker-registry")?;
        let start = |directory: &Path| Registry::start(&program, directory, USER, password).unwrap();
        Some(Self::fill(password, |directory| start(directory).called(name)))
    }

    /// With Basic authentication, under a name of its certificate.
    pub(super) fn start_called(password: &str, name: &'static str) -> Option<Self> {
        let program = require::registry()?;
        let start = |directory: &Path| Registry::start(&program, directory, USER, password).unwrap();
        Some(Self::fill(password, |directory| start(directory).called(name)))
    }

    /// With bearer tokens from a signer.
    pub(super) fn start_far_with_tokens(password: &str) -> Option<Self> {
        let (program, signer) = (require::registry()?, require::token_signer()?);
        let programs = [program.as_path(), signer.as_path()];
        let start =
            |directory: &Path| Registry::start_with_tokens_at(FAR, programs, directory, [USER, password]).unwrap();
        Some(Self::fill(password, start))
    }

    fn fill(password: &str, start: impl FnOnce(&Path) -> Registry) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let registry = start(directory.path());
        registry.push(REPOSITORY, "1.0.0", &Package::greeting()).unwrap();
        Self { registry, password: password.to_owned(), directory, guard: None }
    }

    pub(super) fn host(&self) -> String {
        let host = self.registry.host();
        let Some(guard) = &self.guard else { return host };
        format!("{}:{}", host.rsplit_once(':').unwrap().0, guard.port())
    }

    /// `oci://…` of a repository in it.
    pub(super) fn source(&self, repository: &str) -> String {
        format!("oci://{}/{repository}?tag=1.0.0", self.host())
    }

    /// A configuration with the one module.
    pub(super) fn main(&self) -> String {
        with_modules(&[("greeting", self.source(REPOSITORY))])
    }

    /// Everything that it wrote.
    pub(super) fn log(&self) -> String {
        support::child::read_text(&self.directory.path().join("registry.log"))
    }

    /// A file of it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Types `registry add`.
    pub(super) fn add(&self, world: &World, name: &str, more: &[&str]) -> Finished {
        self.add_at(world, name, "", more)
    }

    /// The same for a path (`/team`) of it.
    pub(super) fn add_at(&self, world: &World, name: &str, path: &str, more: &[&str]) -> Finished {
        let (url, ca) = (format!("https://{}{path}", self.host()), self.registry.ca_file().display().to_string());
        let words = ["registry", "add", name, "--url", &url, "--username", USER, "--secret-stdin"];
        let arguments = [&words[..], &["--registry-ca-file", &ca], more].concat();
        world.types_with(&arguments, &self.password)
    }

    /// Adds an integration for a path of its host.
    pub(super) fn add_path(&self, world: &World, path: &str, login: &Canary) {
        let (url, ca) = (format!("https://{}/{path}", self.host()), self.registry.ca_file().display().to_string());
        let name = path.replace('/', "-");
        let words = ["registry", "add", &name, "--url", &url, "--username", &login.user, "--secret-stdin", "--export"];
        let arguments = [&words[..], &["--registry-ca-file", &ca, "--permit-file"]].concat();
        world.types_with(&arguments, &login.password).succeeded().unwrap();
    }

    /// The users whose pulls of a repository's manifest the registry has let in.
    pub(super) fn pulled_by(&self, repository: &str) -> Vec<String> {
        let target = format!("/v2/{repository}/manifests/");
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains(&target) && line.contains("auth.user.name="));
        let user = |line: &str| line.split("auth.user.name=").nth(1).unwrap().trim_start_matches('"').to_owned();
        let mut users: Vec<String> =
            lines.map(user).map(|rest| rest[..rest.find(['"', ' ']).unwrap_or(rest.len())].to_owned()).collect();
        users.sort();
        users.dedup();
        users
    }

    /// tofu alone, with a login in a file that its CLI configuration names.
    pub(super) fn tofu_alone(&self, place: &Path, directory: &Path, step: &str) -> Finished {
        let auth = STANDARD.encode(format!("{USER}:{}", self.password));
        let login = place.join("login.json");
        write(&login, &format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{auth}\"}}}}}}", self.host()));
        let block =
            format!("oci_default_credentials {{\n  docker_style_config_files = [\"{}\"]\n}}\n", login.display());
        write(&place.join("tofu.tfrc"), &block);
        let mut tofu = command(require::tofu().unwrap());
        tofu.args([step, "-no-color"])
            .current_dir(directory)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", place);
        tofu.env("TF_CLI_CONFIG_FILE", place.join("tofu.tfrc")).env("SSL_CERT_FILE", self.registry.ca_file());
        run(tofu).unwrap()
    }

    /// Stores the integration `demo`, exported.
    pub(super) fn store(&self, world: &World) {
        self.add(world, "demo", &["--export"]).succeeded().unwrap();
    }
}
