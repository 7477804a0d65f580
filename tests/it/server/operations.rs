//! The server's log: one line per transition, with names and without anybody's text.

use std::io;
use std::sync::{Arc, Mutex};

use reqwest::Method;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use super::house::House;
use super::runs;

/// What was logged in this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Of info and above, until the guard is dropped.
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let builder = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::INFO);
        let guard = tracing::subscriber::set_default(builder.with_writer(log.clone()).finish());
        (log, guard)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines that say `what`.
    fn lines(&self, what: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(what)).map(str::to_owned).collect()
    }

    /// The only one.
    fn line(&self, what: &str) -> String {
        let mut lines = self.lines(what);
        assert_eq!(lines.len(), 1, "{what}: {}", self.text());
        lines.remove(0)
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn each_transition_of_a_run_is_one_line_with_names() {
    let (log, _guard) = Log::start();
    let house = House::start().await;
    assert!(log.line("the first start with this database").contains("admin.token"));
    let (agent, held) = runs::planned(&house).await;
    house.post(&format!("/runs/{}/approve", held.run), json!({})).await.expect(200);
    let held = agent.claim().await;
    agent.step(&held, "init").await.expect(204);
    agent.finish(&held, &runs::fake_agent::report("failed")).await.expect(200);
    for (what, words) in [
        ("run made", &["by=\"admin\""][..]),
        ("session opened", &["agent=\"fake\"", "run_root=\"/run/nigari\""]),
        ("run planned: waits for approval", &["agent=\"fake\"", "epoch=1"]),
        ("run approved", &["by=\"admin\""]),
        ("run ended", &["agent=\"fake\"", "epoch=2", "state=errored", "reason=\"configuration, in the step init\""]),
    ] {
        let line = log.line(what);
        assert!(line.contains(" INFO ") && words.iter().all(|word| line.contains(word)), "{words:?}: {line}");
        assert!(what == "session opened" || line.contains("workspace=\"net\"") && line.contains(&held.run), "{line}");
    }
    assert_eq!((log.lines("run claimed").len(), log.lines("step begins").len()), (2, 5), "{}", log.text());
    // tofu's words.
    assert!(!log.text().contains("it's \"broken\"") && !log.text().contains("broken"), "{}", log.text());
}

#[tokio::test]
async fn what_people_change_is_one_line_and_what_fails_none() {
    let (log, _guard) = Log::start();
    let house = House::start().await;
    let new = json!({"name": "hub", "url": "https://127.0.0.1:9", "username": "u", "secret": "hunter22"});
    house.post("/registry-integrations", new.clone()).await.expect(201);
    house.post("/registry-integrations", new).await.expect(409);
    let line = log.line("registry_integration:create");
    assert!(line.contains("by=\"user:admin\"") && line.contains("127.0.0.1:9"), "{line}");
    let token = house.post("/tokens", json!({"name": "ci"})).await.expect(201);
    house.delete(&format!("/tokens/{}", token.field("id"))).await.expect(204);
    assert!(log.lines("token:create").last().is_some_and(|line| line.contains("ci")), "{}", log.text());
    assert!(log.line("token:revoke").contains("ci"));
    house.delete("/registry-integrations/hub").await.expect(204);
    log.line("registry_integration:delete");
    assert!(!log.text().contains("hunter22") && !log.text().contains(&token.field("text")));
}

#[tokio::test]
async fn a_lease_that_lapses_is_told_with_the_agents_name() {
    let (log, _guard) = Log::start();
    let house = House::start().await;
    runs::applying(&house).await;
    runs::expire_leases(&house).await;
    let line = log.line("lease lapsed");
    assert!(line.contains("agent=\"fake\"") && line.contains("state=lost") && line.contains("workspace"), "{line}");
}

#[tokio::test]
async fn two_processes_with_one_identity_do_not_fight() {
    let (log, _guard) = Log::start();
    let house = House::start().await;
    let open = async |token: &str, process: &str| {
        let request = json!({
            "protocol_min": 1, "protocol_max": 1, "name": "builder", "version": "0", "concurrency": 1,
            "tofu_version": "1.12.6", "run_root": "/run/x", "process": process,
        });
        house.send(Method::POST, "/agent/session", token, Some(&request)).await.expect(200)
    };
    let watch = async |session: &str| house.send(Method::GET, "/agent/watch?after=1", session, None).await;
    let (one, two) = (nigari::protocol::id::RequestId::generate(), nigari::protocol::id::RequestId::generate());
    let first = open(&house.join, &one.to_string()).await;
    let identity = first.field("identity");
    // The same process renews.
    let renewed = open(&identity, &one.to_string()).await;
    watch(&first.field("session")).await.expect_problem(401, "unauthorized");
    watch(&renewed.field("session")).await.expect(200);
    // Another one comes.
    let copy = open(&identity, &two.to_string()).await;
    assert!(log.lines(" WARN ").is_empty(), "{}", log.text());
    let refused = watch(&renewed.field("session")).await.expect_problem(401, "session_superseded");
    assert!(refused.field("hint").contains("copied"), "{refused:?}");
    let line = log.line("two processes");
    assert!(line.contains("builder") && line.contains(&one.to_string()) && line.contains(&two.to_string()), "{line}");
    watch(&copy.field("session")).await.expect(200);
    // It renews too, and the other one stays superseded.
    let again = open(&identity, &two.to_string()).await;
    watch(&again.field("session")).await.expect(200);
    watch(&renewed.field("session")).await.expect_problem(401, "session_superseded");
}

#[tokio::test]
async fn an_agent_that_is_removed_while_it_asks_is_told_that_and_not_to_drain() {
    let house = House::start().await;
    let request = json!({
        "protocol_min": 1, "protocol_max": 1, "name": "builder", "version": "0", "concurrency": 1,
        "tofu_version": "1.12.6", "run_root": "/run/x", "process": nigari::protocol::id::RequestId::generate(),
    });
    let opened = house.send(Method::POST, "/agent/session", &house.join, Some(&request)).await.expect(200);
    let session = opened.field("session");
    let asking = house.send(Method::GET, "/agent/watch?after=0", &session, None);
    let removing = async {
        // The question is there by then, and is held.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        house.delete("/agents/builder").await.expect(204);
    };
    let (answer, ()) = tokio::join!(asking, removing);
    answer.expect_problem(401, "unauthorized");
}
