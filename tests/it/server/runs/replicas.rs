//! Two servers on one PostgreSQL: what one is told, the other's long polls hear.

use std::time::{Duration, Instant};

use nigari::clock::Clock;
use nigari::protocol::id::ClaimId;
use nigari::protocol::{API, EPOCH_HEADER};
use nigari::server::api::ServerState;
use nigari::server::store::{facts, runs};
use nigari::server::{Server, tasks};
use nigari::settings::server::KeySource;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::fake_agent::{FakeAgent, Held};
use super::{House, claimed, expire_leases, make, on_both, prepare, state_of};
use crate::server::house::settings;

/// Less than after which a long poll looks by itself.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Another server on the same database with the same key, and a clock of its own; gives its origin and its parts.
async fn replica(
    house: &House,
    url: &str,
    (directory, clock): (&std::path::Path, &Clock),
    shutdown: &CancellationToken,
) -> (String, ServerState) {
    let mut settings = settings(directory);
    settings.database_url = Some(url.into());
    settings.root_key = KeySource::File(house.directory.path().join("root.key"));
    settings.hold = Duration::from_secs(30);
    let server = Server::bind_with_clock(settings, clock.clone()).await.unwrap();
    let (origin, state) = (format!("http://{}", server.address()), server.state());
    tokio::spawn(server.run(shutdown.clone()));
    (origin, state)
}

#[tokio::test]
async fn a_run_made_at_one_replica_wakes_an_agent_that_waits_at_another() {
    let Some(database) = support::postgres::Database::new() else { return };
    let house = House::start_with(|settings| settings.database_url = Some(database.url().into())).await;
    let (directory, shutdown) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let (origin, _) = replica(&house, &database.url(), (directory.path(), &house.clock), &shutdown).await;
    let configuration = prepare(&house, "net").await;
    let agent = FakeAgent::join(&house).await;
    let body = json!({"claim": ClaimId::generate().to_string(), "hold_seconds": 30});
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = client.post(format!("{origin}{API}/agent/claims")).bearer_auth(&agent.session).json(&body);
    let (answer, (run, made)) = tokio::join!(House::read(ask), async {
        // Long enough for the replica to wait and to listen.
        tokio::time::sleep(Duration::from_secs(1)).await;
        (make(&house, "net", &configuration, &json!({})).await, Instant::now())
    });
    assert!(made.elapsed() < AT_ONCE, "{:?}", made.elapsed());
    let held = Held::of(&answer.expect(200));
    assert_eq!(held.run, run);
    agent.step(&held, "fetch").await.expect(204);
    expire_leases(&house).await;
    assert_eq!(state_of(&house, &run).await, "queued");
    shutdown.cancel();
    house.state.store.close().await;
}

async fn deadline(state: &ServerState, run: &str) -> i64 {
    let mut connection = state.store.read().await.unwrap();
    runs::load(&mut connection, run.parse().unwrap()).await.unwrap().unwrap().lease_deadline.unwrap()
}

#[tokio::test]
async fn replicas_whose_clocks_differ_agree_on_a_lease() {
    let Some(database) = support::postgres::Database::new() else { return };
    let house = House::start_with(|settings| settings.database_url = Some(database.url().into())).await;
    let (directory, shutdown, ahead) = (tempfile::tempdir().unwrap(), CancellationToken::new(), Clock::new());
    ahead.advance(Duration::from_mins(10));
    let (origin, state) = replica(&house, &database.url(), (directory.path(), &ahead), &shutdown).await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.step(&held, "fetch").await.expect(204);
    assert_eq!(tasks::lapse_overdue(&state).await.unwrap(), [], "by its own clock the lease is long over");
    assert_eq!(state_of(&house, &held.run).await, "planning");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let renew = client.post(format!("{origin}{API}/agent/runs/{}/renew", held.run)).bearer_auth(&agent.session);
    let before = deadline(&house.state, &held.run).await;
    House::read(renew.header(EPOCH_HEADER, held.epoch).json(&json!({}))).await.expect(200);
    let renewed = deadline(&house.state, &held.run).await - before;
    assert!((0..60_000_000).contains(&renewed), "not by its own clock: {renewed}");
    shutdown.cancel();
    house.state.store.close().await;
}

#[tokio::test]
async fn a_replica_that_begins_gives_no_lease_more_time_unless_none_was_there() {
    let Some(database) = support::postgres::Database::new() else { return };
    let house = House::start_with(|settings| settings.database_url = Some(database.url().into())).await;
    let (_, held) = claimed(&house, &json!({})).await;
    // As it is after a look, and with less than its full time.
    tasks::look(&house.state, 0).await.unwrap();
    house.sql("UPDATE runs SET lease_deadline = lease_deadline - 30000000").await;
    // Bound, and it does not look by itself yet.
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(directory.path());
    settings.database_url = Some(database.url().into());
    settings.root_key = KeySource::File(house.directory.path().join("root.key"));
    let state = Server::bind_with_clock(settings, house.clock.clone()).await.unwrap().state();
    let before = deadline(&state, &held.run).await;
    tasks::begin(&state).await;
    assert_eq!(deadline(&state, &held.run).await, before, "the first one was there all the time");

    house.shutdown.cancel();
    let begun = Instant::now();
    while house.state.store.read().await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the first one does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut transaction = state.store.begin_write().await.unwrap();
    let long_ago = state.lease_time(&mut transaction).await.unwrap() - 60_000_000;
    facts::put(&mut transaction, "leases_looked_at", &long_ago.to_be_bytes()).await.unwrap();
    transaction.commit().await.unwrap();
    tasks::begin(&state).await;
    assert!(deadline(&state, &held.run).await > before, "nobody was there for a minute");
    state.store.close().await;
}

#[tokio::test]
async fn a_look_in_the_future_is_none() {
    on_both(async |house| {
        let (_, held) = claimed(house, &json!({})).await;
        tasks::look(&house.state, 0).await.unwrap();
        house.sql("UPDATE runs SET lease_deadline = lease_deadline - 30000000").await;
        let before = deadline(&house.state, &held.run).await;
        let mut transaction = house.state.store.begin_write().await.unwrap();
        let later = house.state.lease_time(&mut transaction).await.unwrap() + 600_000_000;
        facts::put(&mut transaction, "leases_looked_at", &later.to_be_bytes()).await.unwrap();
        transaction.commit().await.unwrap();
        tasks::look(&house.state, later).await.unwrap();
        assert!(
            deadline(&house.state, &held.run).await > before,
            "the clock was set back, and nobody knows since when"
        );
    })
    .await;
}
