//! Whoever is shown what a delivery makes or keeps, and says it: no log and no error has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::canary::Canary;
use support::module::{MANIFEST, digest};

use super::recorder::Recorder;
use super::shelf::Shelf;
use super::world::{Setup, USER, World};
use super::{with_modules, write};
use crate::registry::stage::{Act, Authority, Stage, answer, bearer};

/// A tofu that says what its step was given, and fails by it.
const TELLS: &str = r#"if [ "$1" = get ]; then
  login=${HTTPS_PROXY#http://}
  echo "out: $HTTPS_PROXY $(printf %s "${login%@*}" | base64 -w0)"
  cat "$TF_CLI_CONFIG_FILE"
  echo "Error: no way by $HTTPS_PROXY or $https_proxy" >&2
  exit 1
fi"#;

/// All that the commands say of the newest run.
fn told(world: &World, said: &str) -> String {
    let id = world.newest();
    let log = world.ends(&["run", "logs", &id], 0);
    format!("{said}\n{log}\n{}\n{}", world.ends(&["run", "show", &id], 0), world.run(&id))
}

#[test]
fn a_tofu_that_tells_the_brokers_nonce_is_not_heard() {
    let Some(recorder) = Recorder::with(TELLS) else { return };
    let tofu = recorder.program();
    let Some(world) = World::with(Setup { tofu: Some(&tofu), ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start_far(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let said = world.apply(&world.configuration(&shelf.main()), 1);
    let told = told(&world, &said);
    let proxy: url::Url = recorder.only("get").variable("HTTPS_PROXY").unwrap().parse().unwrap();
    let nonce = proxy.password().unwrap();
    assert_eq!(nonce.len(), 64);
    for form in [nonce, &STANDARD.encode(format!("run:{nonce}")), &STANDARD.encode(format!("passing:{nonce}"))] {
        assert!(!told.contains(form), "{told}");
    }
    for text in ["out: http://run:(redacted)@127.0.0.1:", "or http://passing:(redacted)@127.0.0.1:"] {
        assert!(told.contains(text), "{text}: {told}");
    }
    world.stack.search(&[Canary { user: "run".into(), password: nonce.into() }]).verdict().unwrap();
}

#[test]
fn a_tofu_that_tells_the_operators_token_is_not_heard() {
    let Some(recorder) = Recorder::with(TELLS) else { return };
    let place = tempfile::tempdir().unwrap();
    let token = Canary::of("canary-operators-token-77d0a9");
    let operator = place.path().join("operator.tfrc");
    write(&operator, &format!("credentials \"modules.example.com\" {{\n  token = \"{}\"\n}}\n", token.password));
    let (tofu, operator) = (recorder.program(), operator.display().to_string());
    let agent = ["--cli-config", &operator, "--delivery", "file"];
    let setup =
        Setup { tofu: Some(&tofu), agent: &agent, canaries: vec![Canary::new(USER), token], ..Setup::default() };
    let Some(world) = World::with(setup) else { return };
    let said = world.apply(&world.configuration(super::PLAIN), 1);
    let told = told(&world, &said);
    assert!(told.contains("token = \"(redacted)\"") || told.contains("token  = \"(redacted)\""), "{told}");
}

/// What the token service gives; the registry says it in an error.
const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.canary-4711-aBcD.geheim+und/mehr==";

#[test]
fn a_registry_that_tells_the_token_that_it_was_shown_is_not_heard() {
    let authority = Authority::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let manifest = r#"{"schemaVersion":2}"#;
    let stage = runtime.block_on(Stage::start(&authority, move |heard| {
        let host = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        Act::Say(match heard.authorization() {
            _ if heard.line.starts_with("GET /token") => answer("200 OK", &[], &format!("{{\"token\":\"{TOKEN}\"}}")),
            Some(shown) if shown == format!("Bearer {TOKEN}") && heard.line.starts_with("HEAD ") => {
                let headers = [("Content-Type", MANIFEST), ("Docker-Content-Digest", &digest(manifest.as_bytes()))];
                answer("200 OK", &headers, manifest)
            }
            Some(_) if heard.line.starts_with("GET /v2/ ") => answer("200 OK", &[], "{}"),
            Some(shown) if shown == format!("Bearer {TOKEN}") => {
                let text = format!("shown {TOKEN} and {}", STANDARD.encode(TOKEN));
                answer(
                    "400 Bad Request",
                    &[],
                    &format!("{{\"errors\":[{{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"{text}\"}}]}}"),
                )
            }
            _ => bearer(&format!("https://{host}/token")),
        })
    }));
    let place = tempfile::tempdir().unwrap();
    write(&place.path().join("ca.pem"), &authority.pem);
    let canaries = vec![Canary::new(USER), Canary::of(TOKEN)];
    let Some(world) = World::with(Setup { canaries, ..Setup::default() }) else { return };
    let host = format!("registry.localhost:{}", stage.port);
    let (url, ca) = (format!("https://{host}"), place.path().join("ca.pem").display().to_string());
    let add = ["registry", "add", "demo", "--url", &url, "--username", USER, "--secret-stdin", "--export"];
    let add = [&add[..], &["--registry-ca-file", &ca]].concat();
    world.types_with(&add, &world.canaries[0].password).succeeded().unwrap();
    let source = format!("oci://{host}/team/net?tag=1.0.0");
    let said = world.apply(&world.configuration(&with_modules(&[("net", source)])), 1);
    let told = told(&world, &said).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("shown (redacted) and (redacted)"), "{told}");
}
