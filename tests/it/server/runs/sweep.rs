//! What is not needed any more goes; what is needed stays.

use std::time::Duration;

use nigari::server::tasks::sweep_blobs;
use serde_json::json;

use super::{House, make, planned, prepare};

#[tokio::test]
async fn the_artifact_of_an_ended_run_is_swept_and_nothing_else() {
    let house = House::start().await;
    let (agent, held) = planned(&house).await;
    agent.log(&held, 0, b"late").await.expect_problem(409, "stale_epoch");
    house.clock.advance(Duration::from_hours(3));
    assert_eq!(sweep_blobs(&house.state).await.unwrap(), 0, "it waits for approval");
    let discard = format!("/runs/{}/discard", held.run);
    house.send(reqwest::Method::POST, &discard, &house.admin, None).await.expect(200);
    assert_eq!(sweep_blobs(&house.state).await.unwrap(), 1);
    let run = house.get(&format!("/runs/{}", held.run)).await.expect(200).json();
    assert!(run["artifact_digest"].is_string(), "what it was is still known: {run}");
}

#[tokio::test]
async fn a_workspace_takes_its_blobs_along() {
    let house = House::start().await;
    let configuration = prepare(&house, "net").await;
    let run = make(&house, "net", &configuration, &json!({})).await;
    house.post(&format!("/runs/{run}/cancel"), json!({})).await.expect(200);
    house.clock.advance(Duration::from_hours(3));
    assert_eq!(sweep_blobs(&house.state).await.unwrap(), 0);
    let deleted = house.delete("/workspaces/net").await;
    assert!(deleted.status.is_success(), "{deleted:?}");
    assert_eq!(sweep_blobs(&house.state).await.unwrap(), 1);
}
