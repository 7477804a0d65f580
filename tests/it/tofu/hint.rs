//! The hints, from what the real tofu prints about a real registry.

use std::net::TcpListener;
use std::path::Path;

use nigari::tofu::arguments;
use nigari::tofu::hint::{Delivered, Known, Withheld, WithheldReason, find};
use support::module::Package;
use support::registry::Registry;

use super::Bench;

struct Scene {
    bench: Bench,
    registry: Registry,
}

impl Scene {
    fn new() -> Option<Self> {
        let bench = Bench::new(&[])?;
        let program = support::require::registry()?;
        let registry = Registry::start(&program, &bench.path("registry"), "robot", "right-password").unwrap();
        registry.push("team/net", "1", &Package::new(&[("main.tf", "locals {}\n")])).unwrap();
        Some(Self { bench, registry })
    }

    /// Fetches `source` with a Docker-style file that has `password` for the registry, and gives what tofu printed.
    fn get(&self, source: &str, password: Option<&str>, trusted: bool) -> support::child::Finished {
        use base64::Engine as _;
        let login = password.map(|password| {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("robot:{password}"));
            format!("\"{}\": {{\"auth\": \"{pair}\"}}", self.registry.host())
        });
        let text = format!("{{\"auths\": {{{}}}}}", login.unwrap_or_default());
        let docker_config = self.bench.write("docker/config.json", &text);
        let merged = nigari::tofu::cli_configuration::OperatorConfiguration::none().for_fetch(&docker_config).unwrap();
        self.bench.write("cli.tfrc", merged.expose());
        let main = format!("module \"m\" {{\n  source = \"{source}\"\n}}\n");
        self.bench.write("configuration/main.tf", &main);
        let authority = if trusted { self.registry.ca_file() } else { self.bench.write("none.pem", "") };
        let mut tofu = support::child::command(&self.bench.tofu);
        tofu.args(arguments::get()).current_dir(self.bench.configuration()).env_clear();
        tofu.env("HOME", self.bench.path("home")).env("TF_CLI_CONFIG_FILE", self.bench.path("cli.tfrc"));
        tofu.env("SSL_CERT_FILE", authority).env("SSL_CERT_DIR", self.bench.path("home"));
        support::child::run(tofu).unwrap()
    }

    fn source(&self, rest: &str) -> String {
        format!("oci://{}/{rest}", self.registry.host())
    }

    fn hint(&self, source: &str, password: Option<&str>, trusted: bool, known: Known<'_>) -> String {
        let done = self.get(source, password, trusted);
        assert_eq!(done.code, Some(1), "{}", done.all());
        find(&done.all(), &[], known).ok_or_else(|| done.all()).unwrap()
    }
}

#[test]
fn the_right_password_needs_no_hint() {
    let Some(scene) = Scene::new() else { return };
    let done = scene.get(&scene.source("team/net?tag=1"), Some("right-password"), true);
    assert_eq!(done.code, Some(0), "{}", done.all());
    assert_eq!(find(&done.all(), &[], Known::default()), None);
}

#[test]
fn each_refusal_of_a_real_registry_has_its_hint() {
    let Some(scene) = Scene::new() else { return };
    let host = scene.registry.host();
    let delivered = [Delivered { integration: "team".to_owned(), registry_host: host.clone(), path: String::new() }];
    let withheld = [Withheld {
        integration: "private".to_owned(),
        registry_host: host.clone(),
        path: "team".to_owned(),
        reason: WithheldReason::ExportOff,
    }];
    let source = scene.source("team/net?tag=1");
    let off = scene.hint(&source, None, true, Known { delivered: &[], withheld: &withheld });
    assert_eq!(
        off,
        format!(
            "registry integration \"private\" for {host}/team exists but *export credentials* is off: `nigari registry \
             update private --export`"
        )
    );
    let none = scene.hint(&source, None, true, Known::default());
    assert!(
        none.contains(&format!("`nigari registry add NAME --url https://{host} --username USER --export`")),
        "{none}"
    );
    let with = Known { delivered: &delivered, withheld: &[] };
    let wrong = scene.hint(&source, Some("wrong"), true, with);
    assert!(wrong.contains("new secret"), "{wrong}");
    let gone = scene.hint(&scene.source("team/net?tag=2"), Some("right-password"), true, with);
    assert!(gone.contains("no such repository or tag"), "{gone}");
    let untrusted = scene.hint(&source, Some("right-password"), false, with);
    assert!(untrusted.contains("CA certificate") && untrusted.contains(&host), "{untrusted}");
}

#[test]
fn each_failed_connection_has_its_hint() {
    let Some(scene) = Scene::new() else { return };
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = plain.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in plain.incoming().filter_map(Result::ok) {
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let hint = scene.hint(&format!("oci://localhost:{port}/a/b"), None, true, Known::default());
    assert!(hint.contains("plain HTTP"), "{hint}");
    let closed = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() };
    let hint = scene.hint(&format!("oci://127.0.0.1:{closed}/a/b"), None, true, Known::default());
    assert!(hint.contains("nothing listens"), "{hint}");
    let hint = scene.hint("oci://registry.invalid/a/b", None, true, Known::default());
    assert!(hint.contains("not known") || hint.contains("cannot be reached"), "{hint}");
}

#[test]
fn a_broken_cli_configuration_and_a_missing_variable_have_theirs() {
    let Some(bench) = Bench::new(&[("main.tf", "variable \"x\" {}\n\nmodule \"m\" {\n  source = var.x\n}\n")]) else {
        return;
    };
    let done = bench.tofu(&arguments::get());
    assert!(find(&done.all(), &[], Known::default()).unwrap().contains("nigari variable set"), "{}", done.all());
    let broken = bench.write("broken.tfrc", "a = = 1");
    let done = bench.tofu_with(Path::new(&broken), &arguments::get());
    assert!(find(&done.all(), &[], Known::default()).unwrap().contains("CLI configuration"), "{}", done.all());
}
