//! Other clients of registries than OpenTofu: each pulls by the broker what is private, with nothing but the proxy's address
//! and `SSL_CERT_FILE`, and has no credential of its own.

use std::path::{Path, PathBuf};

use nigari::gateway::broker::Broker;
use nigari::protocol::agent::RegistryCredential;
use nigari::protocol::id::IntegrationId;
use serde_json::json;
use support::canary::Canary;
use support::child::{Finished, command, run, run_with_input};
use support::module::{EMPTY, MANIFEST, Package, digest};
use support::registry::Registry;
use support::require;
use support::search::Search;

use super::open;

const REPOSITORY: &str = "team/thing";
const CONTENT: &[u8] = b"the only layer";

/// A registry with an artifact, and a broker that has its credential.
struct Place {
    directory: tempfile::TempDir,
    registry: Registry,
    broker: Broker,
    login: Canary,
}

/// An image in form: one layer, and a configuration that says nothing.
fn image() -> Package {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(EMPTY), "size": EMPTY.len()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(CONTENT), "size": CONTENT.len()}],
    });
    Package { zip: CONTENT.to_vec(), manifest: manifest.to_string().into_bytes() }
}

impl Place {
    /// With an image in it.
    async fn with_image(package: &Package) -> Option<Self> {
        let place = Self::start().await?;
        place.registry.push(REPOSITORY, "1.0.0", package).unwrap();
        Some(place)
    }

    async fn start() -> Option<Self> {
        let (program, directory) = (require::registry()?, tempfile::tempdir().unwrap());
        let login = Canary::new("reader");
        let at = directory.path().join("registry");
        let registry =
            Registry::start(&program, &at, &login.user, &login.password).unwrap().called("registry.localhost");
        let credential = RegistryCredential {
            integration: IntegrationId::generate(),
            name: "ours".to_owned(),
            address: format!("https://{}", registry.host()).parse().unwrap(),
            username: login.user.clone(),
            secret: login.password.as_str().into(),
            ca_pem: Some(std::fs::read_to_string(registry.ca_file()).unwrap()),
            token_service: None,
            whole_run: false,
        };
        let broker = open(vec![credential]).await;
        std::fs::write(directory.path().join("broker.pem"), broker.authority()).unwrap();
        std::fs::create_dir(directory.path().join("docker")).unwrap();
        std::fs::write(directory.path().join("docker/config.json"), r#"{"auths":{}}"#).unwrap();
        Some(Self { directory, registry, broker, login })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The registry as clients reach it without a proxy: not every resolver knows its other name.
    fn direct(&self) -> String {
        format!("localhost:{}", self.registry.port())
    }

    fn reference(&self) -> String {
        format!("{}/{REPOSITORY}:1.0.0", self.registry.host())
    }

    /// A program as a step has it, but for the `more` of its environment.
    async fn run(&self, program: &Path, arguments: &[&str], more: Vec<(String, String)>) -> Finished {
        let mut command = command(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.path("home")).args(arguments);
        command.env("DOCKER_CONFIG", self.path("docker")).env("REGISTRY_AUTH_FILE", self.path("docker/config.json"));
        command.env("HELM_REGISTRY_CONFIG", self.path("docker/config.json"));
        command.current_dir(self.directory.path()).envs(more);
        tokio::task::spawn_blocking(move || run(command).unwrap()).await.unwrap()
    }

    /// What a delivery gives it.
    fn by_broker(&self) -> Vec<(String, String)> {
        let proxy = [self.broker.proxy(), self.broker.passing_proxy()].map(|proxy| proxy.expose().to_owned());
        let names = ["HTTPS_PROXY", "https_proxy"].map(str::to_owned);
        let ca = self.path("broker.pem").display().to_string();
        names.into_iter().zip(proxy).chain([("SSL_CERT_FILE".to_owned(), ca)]).collect()
    }

    /// The control: the registry itself, with its authority and no credential.
    fn alone(&self) -> Vec<(String, String)> {
        vec![("SSL_CERT_FILE".to_owned(), self.registry.ca_file().display().to_string())]
    }

    /// Pulls with the broker, and without it is refused by the registry; gives what it said.
    async fn pulls(&self, program: &Path, arguments: &[&str], tells: &str) -> Finished {
        let direct: Vec<String> =
            arguments.iter().map(|word| word.replace(&self.registry.host(), &self.direct())).collect();
        let direct: Vec<&str> = direct.iter().map(String::as_str).collect();
        let refused = self.run(program, &direct, self.alone()).await;
        let said = refused.all().to_lowercase();
        let is_refused = ["unauthorized", "authentication required", "no basic auth", "basic credential not found"];
        assert!(refused.code != Some(0) && is_refused.iter().any(|word| said.contains(word)), "{direct:?}: {said}");
        let said = self.run(program, arguments, self.by_broker()).await;
        assert!(said.code == Some(0) && said.all().contains(tells), "{arguments:?}: {}", said.all());
        said
    }

    /// What the broker has seen; nothing of the client's has the password.
    async fn ends(self, digest: &str) {
        let seen = self.broker.close().await;
        let pulled = format!("{}/{REPOSITORY}@{digest}", self.registry.host());
        assert!(seen.pulled.contains(&pulled), "{seen:?}");
        assert!(seen.used.iter().any(|used| used.integrations == ["ours"]), "{seen:?}");
        let mut search = Search::new(&[self.login]);
        for name in ["home", "docker", "pulled"] {
            search.directory(&self.directory.path().join(name));
        }
        assert!(search.hits().is_empty(), "{:?}", search.hits());
    }
}

/// The layer, somewhere below what was pulled.
fn has_layer(place: &Path) -> bool {
    let name = digest(CONTENT).replace("sha256:", "");
    let found = [place.join(&name), place.join("blobs/sha256").join(&name)];
    found.iter().any(|path| std::fs::read(path).is_ok_and(|content| content == CONTENT))
}

#[tokio::test(flavor = "multi_thread")]
async fn crane_pulls_by_the_broker_with_no_credential() {
    let (Some(crane), package) = (require::crane(), image()) else { return };
    let Some(place) = Place::with_image(&package).await else { return };
    let reference = place.reference();
    place.pulls(&crane, &["pull", "--format=oci", &reference, "pulled"], "").await;
    assert!(has_layer(&place.path("pulled")));
    place.pulls(&crane, &["digest", &reference], &package.digest()).await;
    place.pulls(&crane, &["ls", &format!("{}/{REPOSITORY}", place.registry.host())], "1.0.0").await;
    place.ends(&package.digest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_pulls_by_the_broker_with_no_credential() {
    let (Some(skopeo), package) = (require::program("skopeo"), image()) else { return };
    let Some(place) = Place::with_image(&package).await else { return };
    let reference = format!("docker://{}", place.reference());
    place.pulls(&skopeo, &["--insecure-policy", "copy", &reference, "dir:pulled"], "").await;
    assert!(has_layer(&place.path("pulled")));
    place.pulls(&skopeo, &["inspect", "--raw", &reference], &digest(CONTENT)).await;
    place.ends(&package.digest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_reads_a_manifest_by_the_broker_with_no_credential() {
    let (Some(docker), package) = (require::program("docker"), image()) else { return };
    let Some(place) = Place::with_image(&package).await else { return };
    place.pulls(&docker, &["manifest", "inspect", &place.reference()], &digest(CONTENT)).await;
    place.ends(&package.digest()).await;
}

/// Makes a chart and pushes it as its owner would, with a login of its own; gives the manifest's digest.
fn push_chart(helm: &Path, place: &Place) -> String {
    let owner = place.path("owner");
    let (ca, registry) = (place.registry.ca_file().display().to_string(), place.direct());
    let chart = [("Chart.yaml", "apiVersion: v2\nname: thing\nversion: 1.0.0\n"), ("templates/note.txt", "a chart\n")];
    for (name, text) in chart {
        let file = owner.join("thing").join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let types = |arguments: &[&str], input: &str| {
        let mut command = command(helm);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &owner).current_dir(&owner).args(arguments);
        run_with_input(command, input.as_bytes()).unwrap().succeeded().unwrap().all()
    };
    let login = ["registry", "login", &registry, "--ca-file", &ca, "--username", &place.login.user, "--password-stdin"];
    types(&login, &place.login.password);
    types(&["package", "thing"], "");
    let team = format!("oci://{registry}/team");
    let said = types(&["push", "thing-1.0.0.tgz", &team, "--ca-file", &ca], "");
    let (_, digest) = said.split_once("Digest: ").unwrap_or_else(|| panic!("{said}"));
    digest.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_pulls_a_chart_by_the_broker_with_no_credential() {
    let Some(helm) = require::helm() else { return };
    let Some(place) = Place::start().await else { return };
    let digest = push_chart(&helm, &place);
    std::fs::create_dir(place.path("pulled")).unwrap();
    let chart = format!("oci://{}/{REPOSITORY}", place.registry.host());
    place.pulls(&helm, &["pull", &chart, "--version", "1.0.0", "--destination", "pulled"], &digest).await;
    let pulled = std::fs::read(place.path("pulled/thing-1.0.0.tgz")).unwrap();
    assert_eq!(pulled, std::fs::read(place.path("owner/thing-1.0.0.tgz")).unwrap());
    place.pulls(&helm, &["show", "chart", &chart, "--version", "1.0.0"], "name: thing").await;
    place.ends(&digest).await;
}
