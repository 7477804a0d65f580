//! A real private OCI registry on loopback: distribution's `registry` with TLS, a private authority and passwords.
//!
//! Rule: clients meet only the public listener, over TLS and with a password. Modules are put in through a second
//! process of the same program over the same files, on a Unix socket in a private directory (the operator's door), so
//! that this package needs no TLS of its own and no password is ever in our hands on the wire.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::certificate::Authority;
use crate::child::{Child, command, random_hex};
use crate::failure::{During as _, Failure, Outcome};
use crate::http::{Answer, Request};
use crate::module::{EMPTY, MANIFEST, Package, digest};

/// How long the registry may take until it listens.
const START: Duration = Duration::from_secs(30);
/// bcrypt's lowest cost: these passwords live for minutes, and each pull checks several.
const COST: u32 = 4;

/// How the registry wants to be convinced.
#[derive(Debug)]
pub enum Authentication {
    /// User and password in each request, from an htpasswd file.
    Basic,
    /// A bearer token that somebody else signs (distribution's `auth.token`).
    Token {
        /// Where clients get one: `https://localhost:PORT/token`. A name, because tofu refuses private literals.
        realm: String,
        /// JWK set with the signer's public key.
        keys: PathBuf,
    },
}

/// A running registry. Dropping it stops it; its directory is the caller's.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    program: PathBuf,
    directory: PathBuf,
    port: u16,
    authority: Authority,
}

/// One request that the registry has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The answer's status code.
    pub status: u16,
}

impl Registry {
    /// Starts `program` with everything that it keeps in `directory`, one user, and a new authority.
    pub fn start(program: &Path, directory: &Path, user: &str, password: &str) -> Outcome<Self> {
        fs::create_dir_all(directory).during(directory.display())?;
        write_password(directory, user, password)?;
        Self::start_with(program, directory, &Authentication::Basic)
    }

    /// Like [`Registry::start`], with the authentication given and no user made.
    pub fn start_with(program: &Path, directory: &Path, authentication: &Authentication) -> Outcome<Self> {
        fs::create_dir_all(directory).during(directory.display())?;
        let authority = Authority::new("private authority of a test registry");
        let leaf = authority.leaf(&["localhost", "registry.localhost", "127.0.0.1", "::1"]);
        write(directory, "ca.pem", &authority.pem())?;
        let certificate = write(directory, "certificate.pem", &leaf.certificate)?;
        let key = write(directory, "key.pem", &leaf.key)?;
        let mut settings = settings(directory);
        settings["http"] = json!({"addr": "127.0.0.1:0", "tls": {"certificate": certificate, "key": key}});
        settings["auth"] = match authentication {
            Authentication::Basic => json!({"htpasswd": {"realm": "test", "path": directory.join("htpasswd")}}),
            Authentication::Token { realm, keys } => json!({"token": {
                "realm": realm, "service": "test", "issuer": "test", "jwks": keys, "signingalgorithms": ["ES256"],
            }}),
        };
        let mut child = serve(program, directory, "registry", &settings)?;
        let line = child.wait_for_line("listening on ", START)?;
        let port = port_in(&line).ok_or_else(|| Failure::new(format!("registry: no port in {line:?}")))?;
        Ok(Self { child, program: program.to_owned(), directory: directory.to_owned(), port, authority })
    }

    /// `localhost:PORT`, as module sources and integrations name it.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// The authority's certificate, which clients have to trust.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// The authority itself, for other listeners that the same clients shall trust.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// From now on `user` with `password` is the only one who is let in. The registry notices by itself.
    pub fn set_password(&self, user: &str, password: &str) -> Outcome<()> {
        write_password(&self.directory, user, password)
    }

    /// Puts a module in, under `repository:tag`; the manifest's digest comes back.
    pub fn push(&self, repository: &str, tag: &str, package: &Package) -> Outcome<String> {
        let door = tempfile::Builder::new().prefix("door").tempdir().during("registry's door")?;
        let socket = door.path().join("s");
        let mut settings = settings(&self.directory);
        settings["http"] = json!({"net": "unix", "addr": socket, "secret": random_hex(16)});
        let mut child = serve(&self.program, &self.directory, "door", &settings)?;
        child.wait_for_line(&format!("listening on {}", socket.display()), START)?;
        for blob in [EMPTY, package.zip.as_slice()] {
            push_blob(&socket, repository, blob)?;
        }
        let target = format!("/v2/{repository}/manifests/{tag}");
        let headers = [("Content-Type", MANIFEST)];
        let put = Request { method: "PUT", target: &target, headers: &headers, body: &package.manifest };
        expect(&put.over_socket(&socket)?, 201, &target)?;
        child.stop()?;
        Ok(package.digest())
    }

    /// What it has answered so far, in order.
    pub fn requests(&self) -> Vec<Seen> {
        self.child.log().lines().filter_map(seen).collect()
    }

    /// Stops it; the next pull finds nobody.
    pub fn stop(&mut self) -> Outcome<()> {
        self.child.stop().map(drop)
    }
}

/// What both processes have in common. JSON, because that is YAML too.
fn settings(directory: &Path) -> Value {
    json!({
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": false}},
        "storage": {"filesystem": {"rootdirectory": directory.join("storage")}},
    })
}

fn serve(program: &Path, directory: &Path, name: &str, settings: &Value) -> Outcome<Child> {
    let file = write(directory, &format!("{name}.json"), &settings.to_string())?;
    let mut command = command(program);
    // Otherwise it tries to send traces to a collector on loopback.
    command.env_clear().env("OTEL_TRACES_EXPORTER", "none").arg("serve").arg(file);
    let log = directory.join(format!("{name}.log"));
    if name == "door" {
        let _ = fs::remove_file(&log);
    }
    Child::start(name, command, &log)
}

fn push_blob(socket: &Path, repository: &str, blob: &[u8]) -> Outcome<()> {
    let target = format!("/v2/{repository}/blobs/uploads/");
    let answer = Request { method: "POST", target: &target, headers: &[], body: b"" }.over_socket(socket)?;
    expect(&answer, 202, &target)?;
    let location = answer.header("location").ok_or_else(|| Failure::new("registry: no upload location"))?;
    // The location may be absolute; only its path and query matter on a socket.
    let path = location.split_once("://").map_or(location, |(_, rest)| &rest[rest.find('/').unwrap_or(rest.len())..]);
    let target = format!("{path}{}digest={}", if path.contains('?') { '&' } else { '?' }, digest(blob));
    let headers = [("Content-Type", "application/octet-stream")];
    let answer = Request { method: "PUT", target: &target, headers: &headers, body: blob }.over_socket(socket)?;
    expect(&answer, 201, &target)
}

fn expect(answer: &Answer, status: u16, what: &str) -> Outcome<()> {
    if answer.status == status {
        return Ok(());
    }
    Err(Failure::new(format!("registry: {what} gave {} instead of {status}: {}", answer.status, answer.text())))
}

/// Replaces the file in one step; the registry reads it again when its time has changed.
fn write_password(directory: &Path, user: &str, password: &str) -> Outcome<()> {
    let hash = bcrypt::hash(password, COST).during("bcrypt")?;
    let new = write(directory, "htpasswd.new", &format!("{user}:{hash}\n"))?;
    fs::rename(new, directory.join("htpasswd")).during("htpasswd")
}

fn write(directory: &Path, name: &str, text: &str) -> Outcome<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, text).during(path.display())?;
    Ok(path)
}

/// The port in `listening on 127.0.0.1:43210, tls`.
fn port_in(line: &str) -> Option<u16> {
    let rest = &line[line.find("listening on ")?..];
    let digits: String = rest[rest.find("127.0.0.1:")? + 10..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// One line of the log, if it is of the access log: `… "GET /v2/ HTTP/2.0" 401 …`.
fn seen(line: &str) -> Option<Seen> {
    let mut parts = line.split('"').skip(1);
    let mut request = parts.next()?.split(' ');
    let (method, target, version) = (request.next()?, request.next()?, request.next()?);
    let status = parts.next()?.split_whitespace().next()?.parse().ok()?;
    version.starts_with("HTTP/").then(|| Seen { method: method.to_owned(), target: target.to_owned(), status })
}

#[cfg(test)]
mod tests {
    use super::{Package, Registry};
    use crate::child::{Finished, command, run};
    use crate::require;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use std::fs;
    use std::path::Path;

    /// `tofu init` by hand, with the credential in the way that OpenTofu reads.
    fn init(tofu: &Path, registry: &Registry, directory: &Path, password: &str) -> Finished {
        let auth = STANDARD.encode(format!("someone:{password}"));
        let docker = directory.join("config.json");
        fs::write(&docker, format!("{{\"auths\":{{\"{}\":{{\"auth\":\"{auth}\"}}}}}}", registry.host())).unwrap();
        let settings = directory.join("tofu.tfrc");
        let text = format!("oci_default_credentials {{\n  docker_style_config_files = [{docker:?}]\n}}\n");
        fs::write(&settings, text).unwrap();
        let source = format!("oci://{}/team/greeting?tag=1.0.0", registry.host());
        let configuration = directory.join("configuration");
        let _ = fs::remove_dir_all(&configuration);
        fs::create_dir(&configuration).unwrap();
        let main = format!("module \"greeting\" {{\n  source = {source:?}\n  name = \"all\"\n}}\n");
        fs::write(configuration.join("main.tf"), main).unwrap();
        let mut command = command(tofu);
        command.args(["init", "-no-color"]).current_dir(configuration).env_clear();
        command.env("TF_CLI_CONFIG_FILE", settings).env("SSL_CERT_FILE", registry.ca_file()).env("HOME", directory);
        run(command).unwrap()
    }

    #[test]
    fn tofu_pulls_a_pushed_module_with_the_right_password_alone() {
        let (Some(tofu), Some(program)) = (require::tofu(), require::registry()) else { return };
        let directory = tempfile::tempdir().unwrap();
        let mut registry =
            Registry::start(&program, &directory.path().join("registry"), "someone", "first~pass").unwrap();
        registry.push("team/greeting", "1.0.0", &Package::greeting()).unwrap();

        let wrong = init(&tofu, &registry, directory.path(), "wrong");
        assert!(wrong.code == Some(1) && wrong.err.contains("401"), "{wrong:?}");
        init(&tofu, &registry, directory.path(), "first~pass").succeeded().unwrap();

        registry.set_password("someone", "second+pass").unwrap();
        assert_eq!(init(&tofu, &registry, directory.path(), "first~pass").code, Some(1));
        init(&tofu, &registry, directory.path(), "second+pass").succeeded().unwrap();

        let seen = registry.requests();
        assert!(seen.iter().any(|request| request.status == 200 && request.target.contains("/blobs/")), "{seen:?}");
        assert!(seen.iter().any(|request| request.status == 401), "{seen:?}");
        registry.stop().unwrap();
        assert_eq!(init(&tofu, &registry, directory.path(), "second+pass").code, Some(1));
    }
}
