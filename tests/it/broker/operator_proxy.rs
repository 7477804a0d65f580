//! The operator's own proxy, a real one: what the broker ends and what it passes through goes through it, in plain and
//! with TLS, with a user and a password that nobody is told.

use std::path::Path;

use nigari::gateway::broker::{Broker, Plan, Seen};
use nigari::registry::OutwardProxy;
use support::child::{command, run};
use support::require;
use support::squid::{DOMAIN, Squid};

use super::{PATIENCE, child, credential, open_with};
use crate::registry::stage::{Act, Authority, Stage, answer, basic};

const USER: &str = "worker";
/// Nothing in it may be taken for a part of an address.
const PASSWORD: &str = "pr0xy:p@ss/w%rd#4711 é";

/// A registry and a stranger's host below [`DOMAIN`], and the proxy that alone knows their names.
struct Company {
    authority: Authority,
    registry: Stage,
    other: Stage,
    /// The proxy's own, as the host's roots would have it.
    roots: String,
    squid: Squid,
}

impl Company {
    async fn start() -> Option<Self> {
        let program = require::squid()?;
        let authority = Authority::new();
        let names = [format!("registry.{DOMAIN}"), format!("other.{DOMAIN}")];
        let listener = || authority.listener(&[&names[0], &names[1]], 2100);
        let registry = Stage::with(listener(), |heard| {
            Act::Say(if heard.authorization().is_some() { answer("200 OK", &[], "{}") } else { basic() })
        })
        .await;
        let other = Stage::with(listener(), |_| Act::Say(answer("200 OK", &[], "untouched"))).await;
        let own = support::certificate::Authority::new("authority of a proxy");
        let squid = Squid::start(&program, &own, [USER, PASSWORD], &[&names[0], &names[1]]).unwrap();
        Some(Self { roots: own.pem(), authority, registry, other, squid })
    }

    fn registry(&self) -> String {
        format!("registry.{DOMAIN}:{}", self.registry.port)
    }

    fn other(&self) -> String {
        format!("other.{DOMAIN}:{}", self.other.port)
    }

    async fn broker(&self, proxy: &str, exceptions: &str) -> Broker {
        let proxy = OutwardProxy::new(proxy.into(), exceptions.into()).unwrap();
        let credentials = vec![credential(&format!("https://{}", self.registry()), &self.authority)];
        let roots = Some(self.roots.clone());
        open_with(Plan { credentials, roots, proxy: Some(proxy), patience: PATIENCE, ..Plan::default() }).await
    }

    /// Status and text of what the registry and the stranger's host answer by a broker; and what that saw.
    async fn ask(&self, proxy: &str, exceptions: &str) -> ([Result<String, String>; 2], Seen) {
        let broker = self.broker(proxy, exceptions).await;
        let client = child(&broker, &self.authority);
        let mut said = Vec::new();
        for url in
            [format!("https://{}/v2/team/net/manifests/1", self.registry()), format!("https://{}/", self.other())]
        {
            said.push(match client.get(url).send().await {
                Ok(answer) => Ok(format!("{} {}", answer.status().as_u16(), answer.text().await.unwrap())),
                Err(error) => Err(format!("{error:?}")),
            });
        }
        let seen = broker.close().await;
        let told = format!("{said:?} {seen:?}");
        for form in [PASSWORD, "pr0xy", "p%40ss", "d29ya2Vy"] {
            assert!(!told.contains(form), "{told}");
        }
        (said.try_into().unwrap(), seen)
    }
}

#[tokio::test]
async fn a_proxy_in_plain_or_with_tls_is_gone_through_with_its_password() {
    let Some(company) = Company::start().await else { return };
    for proxy in [company.squid.plain(), company.squid.tls()] {
        let before = company.squid.asked().len();
        let (said, seen) = company.ask(&proxy, "").await;
        assert_eq!(said, [Ok("200 {}".to_owned()), Ok("200 untouched".to_owned())], "{seen:?}");
        let asked = company.squid.asked().split_off(before);
        for host in [company.registry(), company.other()] {
            let line = asked.iter().find(|line| line.contains(&format!(" CONNECT {host} ")));
            let line = line.unwrap_or_else(|| panic!("{host}: {asked:?}"));
            assert!(line.contains("/200 ") && line.contains(&format!(" {USER} ")), "{line}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_wants_another_password_is_told_as_such() {
    let Some(company) = Company::start().await else { return };
    for proxy in [company.squid.plain(), company.squid.tls()] {
        let mut wrong: url::Url = proxy.parse().unwrap();
        wrong.set_password(Some("pr0xy-wrong")).unwrap();
        let ([registry, other], seen) = company.ask(wrong.as_str(), "").await;
        assert!(registry.unwrap().starts_with("502 ") && other.is_err());
        let faults = seen.faults.join("\n");
        for host in [company.registry(), company.other()] {
            let told = seen.faults.iter().any(|fault| {
                fault.contains(&host) && fault.contains("proxy") && fault.contains("another user or password (407)")
            });
            assert!(told, "{host}: {faults}");
        }
        assert!(company.registry.heard().is_empty());
    }
}

#[tokio::test]
async fn a_proxy_with_a_certificate_of_nobody_is_not_shown_the_password() {
    let Some(company) = Company::start().await else { return };
    let proxy = OutwardProxy::new(company.squid.tls().into(), "".into()).unwrap();
    let credentials = vec![credential(&format!("https://{}", company.registry()), &company.authority)];
    let plan = Plan { credentials, proxy: Some(proxy), patience: PATIENCE, ..Plan::default() };
    let broker = open_with(plan).await;
    let client = child(&broker, &company.authority);
    let _ = client.get(format!("https://{}/v2/", company.registry())).send().await;
    let _ = client.get(format!("https://{}/", company.other())).send().await;
    let seen = broker.close().await;
    assert_eq!(seen.faults.len(), 2, "{seen:?}");
    assert!(seen.faults.iter().all(|fault| fault.contains("not trusted")), "{seen:?}");
    assert!(company.squid.asked().is_empty(), "{:?}", company.squid.asked());
}

#[tokio::test]
async fn hosts_of_no_proxy_are_not_asked_for_through_it() {
    let Some(company) = Company::start().await else { return };
    for exceptions in [DOMAIN.to_owned(), format!(".{DOMAIN}"), format!("*.{DOMAIN}"), "*".to_owned()] {
        let ([registry, other], seen) = company.ask(&company.squid.plain(), &exceptions).await;
        // Only the proxy knows where they are.
        assert!(registry.unwrap().starts_with("502 ") && other.is_err(), "{exceptions}: {seen:?}");
        assert!(seen.faults.iter().all(|fault| fault.contains("cannot be resolved")), "{exceptions}: {seen:?}");
    }
    assert!(company.squid.asked().is_empty(), "{:?}", company.squid.asked());
    // By its name, and by its name and port; at another port it is none.
    let elsewhere = format!("registry.{DOMAIN}:1");
    for exceptions in [format!("other.{DOMAIN}"), format!("{elsewhere},{}", company.other())] {
        let before = company.squid.asked().len();
        let (said, seen) = company.ask(&company.squid.plain(), &exceptions).await;
        assert!(said[0].is_ok() && said[1].is_err(), "{exceptions}: {seen:?}");
        let asked = company.squid.asked().split_off(before);
        assert!(!asked.is_empty() && asked.iter().all(|line| line.contains(&company.registry())), "{asked:?}");
    }
}

#[tokio::test]
async fn git_reaches_a_registrys_host_through_the_proxy_too() {
    let Some(company) = Company::start().await else { return };
    let Some(git) = require::program("git") else { return };
    // As simple as a server of git can be: files.
    let sha = "0123456789012345678901234567890123456789";
    let stage = Stage::with(company.authority.listener(&[&format!("registry.{DOMAIN}")], 2100), move |heard| {
        let is_refs = heard.line.starts_with("GET /team/net.git/info/refs");
        Act::Say(if is_refs {
            answer("200 OK", &[], &format!("{sha}\trefs/heads/main\n"))
        } else {
            answer("404 No", &[], "")
        })
    })
    .await;
    let host = format!("registry.{DOMAIN}:{}", stage.port);
    let proxy = OutwardProxy::new(company.squid.tls().into(), "".into()).unwrap();
    let credentials = vec![credential(&format!("https://{host}"), &company.authority)];
    let roots = Some(company.roots.clone());
    let broker =
        open_with(Plan { credentials, roots, proxy: Some(proxy), patience: PATIENCE, ..Plan::default() }).await;
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("ca.pem"), &company.authority.pem).unwrap();
    let [proxy, passing] = [broker.proxy(), broker.passing_proxy()].map(|proxy| proxy.expose().to_owned());
    let (url, ca) = (format!("https://{host}/team/net.git"), place.path().join("ca.pem"));
    let said = tokio::task::spawn_blocking(move || {
        let mut git = command(git);
        git.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent").env("GIT_SSL_CAINFO", ca);
        git.env("HTTPS_PROXY", proxy).env("https_proxy", passing).env("GIT_CONFIG_NOSYSTEM", "1");
        git.env("GIT_TERMINAL_PROMPT", "0").args(["ls-remote", &url]).current_dir(Path::new("/"));
        run(git).unwrap()
    })
    .await
    .unwrap();
    assert!(said.out.contains(sha), "{}", said.all());
    assert!(company.squid.asked().iter().any(|line| line.contains(&format!(" CONNECT {host} "))));
    assert!(stage.heard().iter().all(|heard| heard.authorization().is_none()), "{:?}", stage.heard());
}
