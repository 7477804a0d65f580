//! A real private OCI registry on loopback: distribution's `registry` with TLS, a private authority and passwords.
//!
//! Rule: clients meet only the public listener, over TLS and with a password. Modules are put in through a second
//! process of the same program over the same files, on a Unix socket in a private directory (the operator's door), so
//! that this package needs no TLS of its own and no password is ever in our hands on the wire.

mod signer;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::certificate::Authority;
use crate::child::{Child, command, random_hex};
use crate::failure::{During as _, Failure, Outcome};
use crate::http::{Answer, Request};
use crate::module::{EMPTY, MANIFEST, Package, digest};
use crate::provider::{INDEX, ProviderPackage};
use signer::Signer;

/// How long the registry may take until it listens.
const START: Duration = Duration::from_secs(30);
/// What clients may call it. All are loopback, and Go programs use a proxy for the second alone; but for the last, which
/// only a proxy knows ([`crate::squid::DOMAIN`]).
pub const NAMES: [&str; 5] = ["localhost", "registry.localhost", "127.0.0.1", "::1", "registry.corp.test"];
/// bcrypt's lowest cost: these passwords live for minutes, and each pull checks several.
const COST: u32 = 4;

/// A running registry. Dropping it stops it; its directory is the caller's.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    program: PathBuf,
    directory: PathBuf,
    name: &'static str,
    port: u16,
    authority: Authority,
    signer: Option<Signer>,
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
    /// Starts `program` with everything that it keeps in `directory`, one user with a password (Basic
    /// authentication, from an htpasswd file), and a new authority.
    pub fn start(program: &Path, directory: &Path, user: &str, password: &str) -> Outcome<Self> {
        let authority = prepare(directory)?;
        write_password(directory, user, password)?;
        let authentication = json!({"htpasswd": {"realm": "test", "path": directory.join("htpasswd")}});
        Self::listen(program, directory, authority, &authentication)
    }

    /// The same with bearer tokens, as Docker Hub and GitLab have them: the registry sends clients to a signer, which
    /// asks for user and password and grants pulls.
    pub fn start_with_tokens(programs: [&Path; 2], directory: &Path, user: &str, password: &str) -> Outcome<Self> {
        Self::start_with_tokens_at("localhost", programs, directory, [user, password])
    }

    /// The same, with the signer at another name of this host: many clients take no signer of another local name than
    /// the registry's own.
    pub fn start_with_tokens_at(
        name: &'static str,
        programs: [&Path; 2],
        directory: &Path,
        login: [&str; 2],
    ) -> Outcome<Self> {
        let [program, signer] = programs;
        let authority = prepare(directory)?;
        let signer = Signer::start(signer, directory, &authority, login)?;
        let authentication = json!({"token": {
            "realm": signer.realm(name), "service": "test", "issuer": "test",
            "jwks": signer.keys_file(), "signingalgorithms": ["ES256"],
        }});
        let mut registry = Self::listen(program, directory, authority, &authentication)?;
        registry.signer = Some(signer);
        registry.name = name;
        Ok(registry)
    }

    fn listen(program: &Path, directory: &Path, authority: Authority, authentication: &Value) -> Outcome<Self> {
        let leaf = authority.leaf(&NAMES);
        let certificate = write(directory, "certificate.pem", &leaf.certificate)?;
        let key = write(directory, "key.pem", &leaf.key)?;
        let mut settings = settings(directory);
        settings["http"] = json!({"addr": "127.0.0.1:0", "tls": {"certificate": certificate, "key": key}});
        settings["auth"] = authentication.clone();
        let mut child = serve(program, directory, "registry", &settings)?;
        let port = port_in(&child.wait_for_line("listening on ", START)?)?;
        let (program, directory) = (program.to_owned(), directory.to_owned());
        Ok(Self { child, program, directory, name: "localhost", port, authority, signer: None })
    }

    /// From now on it is called by another of its names: `registry.localhost`, which Go programs reach by a proxy.
    #[must_use]
    pub fn called(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// `localhost:PORT`, or by the name that it is called, as module sources and integrations name it.
    pub fn host(&self) -> String {
        format!("{}:{}", self.name, self.port)
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
        match &self.signer {
            Some(signer) => signer.set_password(user, password),
            None => write_password(&self.directory, user, password),
        }
    }

    /// Puts a module in, under `repository:tag`; the manifest's digest comes back.
    pub fn push(&self, repository: &str, tag: &str, package: &Package) -> Outcome<String> {
        self.through_the_door(|socket| {
            for blob in [EMPTY, package.zip.as_slice()] {
                push_blob(socket, repository, blob)?;
            }
            push_manifest(socket, [repository, tag, MANIFEST], &package.manifest)
        })?;
        Ok(package.digest())
    }

    /// Puts a version of a provider in, under `repository:tag`; the index's digest comes back.
    pub fn push_provider(&self, repository: &str, tag: &str, package: &ProviderPackage) -> Outcome<String> {
        self.through_the_door(|socket| {
            push_blob(socket, repository, EMPTY)?;
            for (zip, manifest) in &package.platforms {
                push_blob(socket, repository, zip)?;
                push_manifest(socket, [repository, &digest(manifest), MANIFEST], manifest)?;
            }
            push_manifest(socket, [repository, tag, INDEX], &package.index)
        })?;
        Ok(package.digest())
    }

    /// The operator's door, as long as `push` takes.
    fn through_the_door(&self, push: impl FnOnce(&Path) -> Outcome<()>) -> Outcome<()> {
        let door = tempfile::Builder::new().prefix("door").tempdir().during("registry's door")?;
        let socket = door.path().join("s");
        let mut settings = settings(&self.directory);
        settings["http"] = json!({"net": "unix", "addr": socket, "secret": random_hex(16)});
        let mut child = serve(&self.program, &self.directory, "door", &settings)?;
        child.wait_for_line(&format!("listening on {}", socket.display()), START)?;
        push(&socket)?;
        child.stop().map(drop)
    }

    /// What it has answered so far, in order.
    pub fn requests(&self) -> Vec<Seen> {
        self.child.log().lines().filter_map(seen).collect()
    }

    /// What the signer of tokens has answered so far; nothing where there is none.
    pub fn token_requests(&self) -> Vec<Seen> {
        self.signer.as_ref().map(|signer| signer.log().lines().filter_map(seen).collect()).unwrap_or_default()
    }

    /// Leaves it running for good; gives the process ids.
    pub fn keep(self) -> Vec<u32> {
        let signer = self.signer.map(Signer::keep);
        [self.child.keep()].into_iter().chain(signer).collect()
    }

    /// Stops it; the next pull finds nobody.
    pub fn stop(&mut self) -> Outcome<()> {
        self.child.stop().map(drop)
    }
}

/// Makes the directory and a new authority, whose certificate is `ca.pem` in it.
fn prepare(directory: &Path) -> Outcome<Authority> {
    fs::create_dir_all(directory).during(directory.display())?;
    let authority = Authority::new("private authority of a test registry");
    write(directory, "ca.pem", &authority.pem())?;
    Ok(authority)
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

fn push_manifest(socket: &Path, [repository, reference, kind]: [&str; 3], manifest: &[u8]) -> Outcome<()> {
    let target = format!("/v2/{repository}/manifests/{reference}");
    let put = Request { method: "PUT", target: &target, headers: &[("Content-Type", kind)], body: manifest };
    expect(&put.over_socket(socket)?, 201, &target)
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
fn port_in(line: &str) -> Outcome<u16> {
    let rest = line.split_once("127.0.0.1:").map_or("", |(_, rest)| rest);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().during(format_args!("no port in {line:?}"))
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
mod tests;
