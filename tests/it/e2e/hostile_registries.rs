//! Registries that do what they should not, on the whole way: real tofu, one agent, one run after the other.
//!
//! Rule: each run fails in its fetch step, for its registry, and says why; what is beside it and after it is as ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::module::{EMPTY, MANIFEST, Package, digest};
use support::search::Search;
use tokio::runtime::Runtime;

use super::moved::respond;
use super::shelf::{REPOSITORY, Shelf};
use super::world::{Setup, USER, World};
use super::{with_modules, write};
use crate::broker::hostile_cases::{CASES, Case};
use crate::registry::stage::{Act, Authority, Heard, Stage, answer, basic};

/// What tofu says itself where the broker handed on what came.
const OWN_WORDS: &str = "Failed to download module";

/// Redirects of a manifest that tofu follows by itself.
const FOLLOWED: [&str; 2] = ["a blob on another port", "a blob on another host"];

/// Of the broker's own cases: the name, and what the failure has to say.
const SHARED: [(&str, &str); 13] = [
    (FOLLOWED[0], OWN_WORDS),
    (FOLLOWED[1], OWN_WORDS),
    ("a redirect to plain http", "never handed on"),
    ("a redirect to the metadata address", "never handed on"),
    ("a realm in plain http", "its token service is not `https`"),
    ("a realm with a user", "contains a user name"),
    ("a realm at a loopback address", "is a loopback, link-local, private"),
    ("a realm at another local name", "is a loopback, link-local, private"),
    ("Basic for ever", "refuses the credential of the registry integration"),
    ("a token service that redirects", "with status 302"),
    ("a giant header", "not HTTP"),
    ("a web page", OWN_WORDS),
    ("500 for ever", "answered 500 for `team/net`"),
];

/// What is wrong with a registry that gives its module otherwise.
type Wrong = fn(&Heard, &Package) -> Option<Act>;

/// Those for which a module has to be there: the name, what the failure has to say, and what is wrong.
const HALFWAY: [(&str, &str, Wrong); 3] = [
    ("a manifest of another digest", OWN_WORDS, |heard, package| {
        let headers = [("Content-Type", MANIFEST), ("Docker-Content-Digest", &digest(b"another"))];
        is_for(heard, "/manifests/").then(|| Act::Say(respond(&headers, &package.manifest)))
    }),
    ("a blob that is cut short", "the answer broke off", |heard, package| {
        let whole = respond(&[], &package.zip);
        is_for(heard, &digest(&package.zip)).then(|| Act::Say(whole[..whole.len() - 100].to_vec()))
    }),
    (BY_THE_DROP, "took longer than 30s (`fetch_limit`)", |heard, package| {
        let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        is_for(heard, &digest(&package.zip)).then_some(Act::SayAndDrip(head))
    }),
];

/// The one that holds its step until the limit.
const BY_THE_DROP: &str = "a blob by the drop";

fn is_for(heard: &Heard, part: &str) -> bool {
    heard.line.contains(part)
}

/// A registry with one module, which it gives to whoever logs in, but for what is wrong.
fn halfway(heard: &Heard, package: &Package, wrong: Wrong) -> Act {
    if heard.authorization().is_none() {
        return Act::Say(basic());
    }
    if let Some(act) = wrong(heard, package) {
        return act;
    }
    Act::Say(if is_for(heard, "/manifests/") {
        let headers = [("Content-Type", MANIFEST), ("Docker-Content-Digest", &package.digest())];
        respond(&headers, &package.manifest)
    } else if is_for(heard, &digest(&package.zip)) {
        respond(&[], &package.zip)
    } else if is_for(heard, &digest(EMPTY)) {
        respond(&[], EMPTY)
    } else {
        answer("200 OK", &[], "{}")
    })
}

/// A registry of which nothing good comes.
struct Hostile {
    name: &'static str,
    says: &'static str,
    stage: Stage,
}

impl Hostile {
    async fn shared(authority: &Authority, (name, says): (&'static str, &'static str), sentinel: u16) -> Self {
        let case: &'static Case = CASES.iter().find(|case| case.name == name).unwrap();
        let number = Arc::new(AtomicUsize::new(0));
        let act = move |heard: &Heard| match heard.line.as_str() {
            // Or tofu would not ask for a manifest at all.
            "GET /v2/ HTTP/1.1" => Act::Say(answer("200 OK", &[], "{}")),
            _ => (case.act)(heard, number.fetch_add(1, Ordering::SeqCst), sentinel),
        };
        Self { name, says, stage: Stage::start(authority, act).await }
    }

    async fn halfway(authority: &Authority, (name, says, wrong): (&'static str, &'static str, Wrong)) -> Self {
        let package = Package::greeting();
        let stage = Stage::start(authority, move |heard| halfway(heard, &package, wrong)).await;
        Self { name, says, stage }
    }

    fn host(&self) -> String {
        format!("registry.localhost:{}", self.stage.port)
    }

    /// A run with its module and, after that, a good one, where there is time for one.
    fn fails_a_run(&self, world: &World, good: &Shelf) {
        let source = format!("oci://{}/team/net?tag=1.0.0", self.host());
        let mut modules = vec![("a_hostile", source)];
        if self.name != BY_THE_DROP {
            modules.push(("b_good", good.source(REPOSITORY)));
        }
        let said = world.apply(&world.configuration(&with_modules(&modules)), 1);
        assert!(said.contains("in the step fetch"), "{}: {said}", self.name);
        let run = world.run(&world.newest());
        let failure = &run["failure"];
        assert_eq!((&run["state"], &failure["step"]), (&"errored".into(), &"fetch".into()), "{}: {run:#}", self.name);
        // tofu breaks its lines.
        let message = failure["message"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        for text in [self.says, &self.host()] {
            assert!(message.contains(text), "{}: {text}: {message}", self.name);
        }
        let receipt = &run["receipts"][0];
        let ended = (&receipt["delivery"], &receipt["end"], &receipt["wiped"]);
        assert_eq!(ended, (&"broker".into(), &"step_failed".into(), &true.into()), "{}: {receipt:#}", self.name);
        // In the same step the broker went on for the other module.
        assert!(has_pulled(receipt, good) || modules.len() == 1, "{}: {receipt:#}", self.name);
        assert!(!self.stage.heard().is_empty(), "{}: never asked", self.name);
    }
}

fn has_pulled(receipt: &serde_json::Value, good: &Shelf) -> bool {
    let wanted = format!("{}/{REPOSITORY}@{}", good.host(), Package::greeting().digest());
    receipt["pulled"].as_array().into_iter().flatten().any(|pulled| *pulled == *wanted)
}

/// A run as it should be, on the same agent.
fn a_good_run_is_applied(world: &World, good: &Shelf) {
    world.apply(&world.configuration(&good.main()), 0);
    let run = world.run(&world.newest());
    assert!(run["steps"].to_string().contains("\"step\":\"plan\""), "{run:#}");
    assert!(has_pulled(&run["receipts"][0], good), "{run:#}");
}

/// All that a listener heard, searched.
fn must_not_have_heard(stage: &Stage, of: &[support::canary::Canary]) {
    let mut search = Search::new(of);
    search.bytes("nothing heard is nothing found", b"-");
    for heard in stage.heard() {
        search.bytes(&heard.line, heard.head.as_bytes());
    }
    search.verdict().unwrap();
}

#[test]
fn hostile_registries_fail_their_own_runs_and_agent_and_broker_go_on() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| place.path().join(name);
    let runtime = Runtime::new().unwrap();
    // The sentinel is trusted by everybody, so that tofu does ask it where it is led there.
    let (authority, trusted) = (Authority::new(), Authority::new());
    let stolen = |_: &Heard| Act::Say(answer("200 OK", &[], r#"{"token":"stolen"}"#));
    let sentinel = runtime.block_on(Stage::start(&trusted, stolen));
    let shared = SHARED.map(|case| runtime.block_on(Hostile::shared(&authority, case, sentinel.port)));
    let halfway = HALFWAY.map(|case| runtime.block_on(Hostile::halfway(&authority, case)));
    let all: Vec<Hostile> = shared.into_iter().chain(halfway).collect();
    write(&file("ca.pem"), &authority.pem);
    write(&file("roots.pem"), &trusted.pem);
    let (ca, roots) = (file("ca.pem").display().to_string(), file("roots.pem").display().to_string());
    let agent = ["--system-roots", &roots, "--fetch-limit", "30s", "--step-grace", "1s"];
    let Some(world) = World::with(Setup { agent: &agent, ..Setup::default() }) else { return };
    let Some(good) = Shelf::start_far(&world.canaries[0].password) else { return };
    good.store(&world);
    for (number, hostile) in all.iter().enumerate() {
        let (name, url) = (format!("hostile-{number}"), format!("https://{}", hostile.host()));
        let add = ["registry", "add", &name, "--url", &url, "--username", USER, "--secret-stdin", "--export"];
        let add = [&add[..], &["--registry-ca-file", &ca]].concat();
        world.types_with(&add, &world.canaries[1].password).succeeded().unwrap();
    }
    for (number, hostile) in all.iter().enumerate() {
        if number == all.len() / 2 {
            a_good_run_is_applied(&world, &good);
        }
        let before = sentinel.heard().len();
        hostile.fails_a_run(&world, &good);
        if FOLLOWED.contains(&hostile.name) {
            let shown = hostile.stage.heard().iter().any(|heard| heard.authorization().is_some());
            assert!(shown && sentinel.heard().len() > before, "{}: the attack did not come so far", hostile.name);
        }
        must_not_have_heard(&hostile.stage, &world.canaries[..1]);
    }
    a_good_run_is_applied(&world, &good);
    sentinel.must_not_have_seen_a_credential();
    must_not_have_heard(&sentinel, &world.canaries);
    let tokens: Vec<Heard> = sentinel.heard().into_iter().filter(|heard| heard.line.contains("/token")).collect();
    assert!(tokens.is_empty(), "asked as a token service: {tokens:?}");
}
