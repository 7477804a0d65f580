//! A host that reaches the outside by its operator's proxy alone: a real one, with TLS and a password.

use support::canary::Canary;
use support::certificate::Authority;
use support::require;
use support::squid::{DOMAIN, Squid};

use super::recorder::Recorder;
use super::shelf::Shelf;
use super::world::{Setup, World};
use super::write;

/// Known to the proxy alone.
const NAME: &str = "registry.corp.test";

#[test]
fn a_module_comes_through_the_operators_proxy_which_the_step_never_sees() {
    assert_eq!(NAME.strip_prefix("registry."), Some(DOMAIN));
    let (Some(program), Some(recorder)) = (require::squid(), Recorder::start()) else { return };
    let (tofu, place) = (recorder.program(), tempfile::tempdir().unwrap());
    let Some(world) = World::with(Setup { tofu: Some(&tofu), without_agent: true, ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start_called(&world.canaries[0].password, NAME) else { return };
    shelf.store(&world);
    let authority = Authority::new("authority of a proxy");
    let login = Canary::hard("worker");
    let squid = Squid::start(&program, &authority, [&login.user, &login.password], &[NAME]).unwrap();
    let roots = place.path().join("roots.pem");
    write(&roots, &authority.pem());
    let roots = roots.display().to_string();
    for (proxy, way) in [(squid.tls(), "HTTPS_PROXY"), (squid.plain(), "https_proxy")] {
        let passed = format!("{way},ALL_PROXY,HTTP_PROXY,NO_PROXY");
        let more = ["--system-roots", &roots, "--fetch-pass-env", &passed];
        let variables = [
            (way, proxy.as_str()),
            ("ALL_PROXY", proxy.as_str()),
            ("HTTP_PROXY", "http://127.0.0.1:1"),
            ("NO_PROXY", "10.0.0.0/8,other.corp.test"),
        ];
        let mut agent = world.another_agent_with(way, &more, &variables);
        let said = world.apply(&world.configuration(&shelf.main()), 0);
        assert!(said.contains("hello, greeting") || said.contains("No changes"), "{said}");
        let asked = squid.asked();
        assert!(asked.iter().any(|line| line.contains(&format!("CONNECT {} ", shelf.host()))), "{asked:?}");
        for get in recorder.starts("get") {
            for name in ["HTTPS_PROXY", "https_proxy"] {
                assert!(get.variable(name).unwrap().contains("@127.0.0.1:"), "{name}");
            }
            // What is excepted is so for plain HTTP, which the broker does not serve.
            assert_eq!(get.variable("HTTP_PROXY"), Some("http://127.0.0.1:1"));
            assert_eq!(get.variable("NO_PROXY"), Some("none.invalid,other.corp.test:80"));
            assert!(get.variable("ALL_PROXY").is_none_or(str::is_empty));
        }
        agent.stop().unwrap();
        assert!(!agent.log().contains("worker:"), "{}", agent.log());
    }
    // Neither log nor database nor any file has the proxy's password.
    world.stack.search(&[login]).verdict().unwrap();
}
