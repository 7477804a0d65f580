//! Other clients of registries than OpenTofu: each pulls by the broker what is private, with nothing but the proxy's address
//! and `SSL_CERT_FILE`, and has no credential of its own.

use std::path::{Path, PathBuf};

use nigari::gateway::broker::Broker;
use nigari::protocol::agent::RegistryCredential;
use nigari::protocol::id::IntegrationId;
use serde_json::json;
use support::canary::Canary;
use support::child::{Finished, command, run};
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
    async fn start(package: &Package) -> Option<Self> {
        let (program, directory) = (require::registry()?, tempfile::tempdir().unwrap());
        let login = Canary::new("reader");
        let at = directory.path().join("registry");
        let registry =
            Registry::start(&program, &at, &login.user, &login.password).unwrap().called("registry.localhost");
        registry.push(REPOSITORY, "1.0.0", package).unwrap();
        let credential = RegistryCredential {
            integration: IntegrationId::generate(),
            name: "ours".to_owned(),
            address: format!("https://{}", registry.host()).parse().unwrap(),
            username: login.user.clone(),
            secret: login.password.as_str().into(),
            ca_pem: Some(std::fs::read_to_string(registry.ca_file()).unwrap()),
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

    fn reference(&self) -> String {
        format!("{}/{REPOSITORY}:1.0.0", self.registry.host())
    }

    /// A program as a step has it, but for the `more` of its environment.
    async fn run(&self, program: &Path, arguments: &[&str], more: Vec<(String, String)>) -> Finished {
        let mut command = command(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.path("home")).args(arguments);
        command.env("DOCKER_CONFIG", self.path("docker")).env("REGISTRY_AUTH_FILE", self.path("docker/config.json"));
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

    /// Pulls with the broker, and is refused without; gives what it said.
    async fn pulls(&self, program: &Path, arguments: &[&str], tells: &str) -> Finished {
        let refused = self.run(program, arguments, self.alone()).await;
        assert!(refused.code != Some(0), "{}", refused.all());
        let said = self.run(program, arguments, self.by_broker()).await;
        assert!(said.code == Some(0) && said.all().contains(tells), "{arguments:?}: {}", said.all());
        said
    }

    /// What the broker has seen; nothing of the client's has the password.
    async fn ends(self, package: &Package) {
        let seen = self.broker.close().await;
        let pulled = format!("{}/{REPOSITORY}@{}", self.registry.host(), package.digest());
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
    let Some(place) = Place::start(&package).await else { return };
    let reference = place.reference();
    place.pulls(&crane, &["pull", "--format=oci", &reference, "pulled"], "").await;
    assert!(has_layer(&place.path("pulled")));
    place.pulls(&crane, &["digest", &reference], &package.digest()).await;
    place.pulls(&crane, &["ls", &format!("{}/{REPOSITORY}", place.registry.host())], "1.0.0").await;
    place.ends(&package).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_pulls_by_the_broker_with_no_credential() {
    let (Some(skopeo), package) = (require::program("skopeo"), image()) else { return };
    let Some(place) = Place::start(&package).await else { return };
    let reference = format!("docker://{}", place.reference());
    place.pulls(&skopeo, &["--insecure-policy", "copy", &reference, "dir:pulled"], "").await;
    assert!(has_layer(&place.path("pulled")));
    place.pulls(&skopeo, &["inspect", "--raw", &reference], &digest(CONTENT)).await;
    place.ends(&package).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_reads_a_manifest_by_the_broker_with_no_credential() {
    let (Some(docker), package) = (require::program("docker"), image()) else { return };
    let Some(place) = Place::start(&package).await else { return };
    place.pulls(&docker, &["manifest", "inspect", &place.reference()], &digest(CONTENT)).await;
    place.ends(&package).await;
}
