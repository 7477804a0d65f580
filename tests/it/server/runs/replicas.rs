//! Two servers on one PostgreSQL: what one is told, the other's long polls hear.

use std::time::{Duration, Instant};

use nigari::protocol::API;
use nigari::protocol::id::ClaimId;
use nigari::server::Server;
use nigari::settings::server::KeySource;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::fake_agent::{FakeAgent, Held};
use super::{House, expire_leases, make, prepare, state_of};
use crate::server::house::settings;

/// Less than after which a long poll looks by itself.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Another server on the same database with the same key; gives its origin.
async fn replica(house: &House, url: &str, directory: &std::path::Path, shutdown: &CancellationToken) -> String {
    let mut settings = settings(directory);
    settings.database_url = Some(url.into());
    settings.root_key = KeySource::File(house.directory.path().join("root.key"));
    settings.hold = Duration::from_secs(30);
    let server = Server::bind_with_clock(settings, house.clock.clone()).await.unwrap();
    let origin = format!("http://{}", server.address());
    tokio::spawn(server.run(shutdown.clone()));
    origin
}

#[tokio::test]
async fn a_run_made_at_one_replica_wakes_an_agent_that_waits_at_another() {
    let Some(database) = support::postgres::Database::new() else { return };
    let house = House::start_with(|settings| settings.database_url = Some(database.url().into())).await;
    let (directory, shutdown) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let origin = replica(&house, &database.url(), directory.path(), &shutdown).await;
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
