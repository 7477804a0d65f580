//! What somebody who has the database, but not the key, can read of an agent's reports: nothing.

use nigari::server::store::AnyConnection;
use serde_json::json;
use sqlx::Row;

use super::fake_agent::{digest, report};
use super::{House, claimed, make};

const CANARY: &str = "hunter-in-the-words-of-tofu";

/// Every text and byte of every table.
async fn everything(connection: &mut AnyConnection) -> Vec<(String, Vec<u8>)> {
    let tables = sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table'").fetch_all(&mut *connection).await;
    let tables: Vec<String> = tables.unwrap().iter().map(|row| row.get("name")).collect();
    let mut found = Vec::new();
    for table in tables {
        let columns = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')")));
        let columns: Vec<String> =
            columns.fetch_all(&mut *connection).await.unwrap().iter().map(|row| row.get("name")).collect();
        for column in columns {
            let statement = format!("SELECT CAST({column} AS BLOB) AS v FROM {table} WHERE {column} IS NOT NULL");
            let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).fetch_all(&mut *connection).await.unwrap();
            found.extend(rows.iter().map(|row| (format!("{table}.{column}"), row.get::<Vec<u8>, _>("v"))));
        }
    }
    found
}

async fn columns_with(house: &House, needle: &str) -> Vec<String> {
    let all = everything(&mut house.state.store.read().await.unwrap()).await;
    assert!(all.iter().any(|(column, _)| column == "runs.id"), "the search sees nothing");
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    all.into_iter().filter(|(_, bytes)| holds(bytes)).map(|(column, _)| column).collect()
}

#[tokio::test]
async fn tofus_own_words_are_not_in_the_database() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.step(&held, "fetch").await.expect(204);
    let mut failed = report("failed");
    failed["failure"]["message"] = json!(format!("Error: {CANARY}\nis not a value"));
    failed["receipt"]["notes"] = json!([CANARY]);
    agent.finish(&held, &failed).await.expect(200);
    assert_eq!(columns_with(&house, CANARY).await, Vec::<String>::new());
    let run = house.get(&format!("/runs/{}", held.run)).await.expect(200).json();
    assert_eq!(run["failure"]["message"], failed["failure"]["message"]);
    assert_eq!(run["failure"]["class"], "configuration");
    let listed = house.get("/runs").await.expect(200).json();
    assert_eq!(listed["items"][0]["failure"]["message"], failed["failure"]["message"]);
    let receipts = house.get(&format!("/runs/{}/receipts", held.run)).await.expect(200).json();
    assert_eq!(receipts["items"][0]["notes"], json!([CANARY]));
    assert_eq!(agent.finish(&held, &failed).await.expect(200).field("next"), "done", "a repeat is known again");
}

#[tokio::test]
async fn what_a_report_was_digested_to_says_nothing_of_it() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let failed = report("failed");
    agent.finish(&held, &failed).await.expect(200);
    // Whoever has the digest of a short text can guess the text.
    let finish: nigari::protocol::agent::Finish = serde_json::from_value(failed).unwrap();
    let mut canonical = serde_json::to_value(&finish).unwrap();
    canonical.as_object_mut().unwrap().remove("request");
    assert_eq!(columns_with(&house, &digest(canonical.to_string().as_bytes())).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_failure_and_a_receipt_moved_from_another_run_do_not_open() {
    let house = House::start().await;
    let (agent, first) = claimed(&house, &json!({})).await;
    agent.finish(&first, &report("failed")).await.expect(200);
    let configuration = house.get(&format!("/runs/{}", first.run)).await.field("configuration");
    let second = make(&house, "net", &configuration, &json!({})).await;
    let held = agent.claim().await;
    agent.finish(&held, &report("failed")).await.expect(200);
    house.sql(&format!("UPDATE runs SET failure = (SELECT failure FROM runs WHERE id = '{}')", first.run)).await;
    house.sql("UPDATE receipts SET receipt = (SELECT receipt FROM receipts ORDER BY received_at LIMIT 1)").await;
    house.get(&format!("/runs/{second}/receipts")).await.expect(500);
    house.get(&format!("/runs/{}/receipts", first.run)).await.expect(200);
    let shown = house.get(&format!("/runs/{second}")).await.expect(200).json();
    assert_eq!(shown["failure"]["class"], "internal", "said to be unreadable, and the run is still shown: {shown}");
    assert!(!shown["failure"]["message"].to_string().contains("broken"), "{shown}");
}
