//! Logs: by offset, each byte once, readable while they grow.

use nigari::protocol::OFFSET_HEADER;
use nigari::protocol::limits::LOG_PATCH_BYTES;
use reqwest::Method;
use serde_json::json;

use super::fake_agent::{FakeAgent, report};
use super::{House, claimed, expire_leases, upload};

fn next_of(answer: &super::Answer) -> &str {
    answer.headers[OFFSET_HEADER].to_str().unwrap()
}

#[tokio::test]
async fn bytes_are_stored_once_whatever_is_repeated() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    assert_eq!(next_of(&agent.log(&held, 0, b"\x1b[32mabc\0").await.expect(204)), "9");
    assert_eq!(next_of(&agent.log(&held, 0, b"\x1b[32mabc\0").await.expect(204)), "9", "a repeat");
    assert_eq!(next_of(&agent.log(&held, 5, b"abc\0def").await.expect(204)), "12", "half a repeat");
    assert_eq!(next_of(&agent.log(&held, 3, b"2").await.expect(204)), "12", "from the middle");
    assert_eq!(next_of(&agent.log(&held, 12, b"").await.expect(204)), "12");
    let log = house.get(&format!("/runs/{}/logs/plan", held.run)).await.expect(200);
    assert_eq!(log.text, "\x1b[32mabc\0def");
    assert_eq!((next_of(&log), &log.headers["nigari-complete"]), ("12", &"false".parse().unwrap()));
}

#[tokio::test]
async fn a_gap_or_other_bytes_are_refused_with_the_wanted_offset() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let refused = agent.log(&held, 1, b"x").await.expect_problem(409, "log_offset");
    assert_eq!(next_of(&refused), "0");
    agent.log(&held, 0, b"abc").await.expect(204);
    for (offset, bytes) in [(4, "x"), (0, "abX"), (2, "Xd"), (u64::MAX, "x")] {
        let refused = agent.log(&held, offset, bytes.as_bytes()).await.expect_problem(409, "log_offset");
        assert_eq!(next_of(&refused), "3", "{offset}");
    }
    assert_eq!(house.get(&format!("/runs/{}/logs/plan", held.run)).await.text, "abc");
}

#[tokio::test]
async fn large_pieces_come_back_from_any_offset() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let piece: Vec<u8> = (0..LOG_PATCH_BYTES).map(|at| b'a' + u8::try_from(at % 23).unwrap()).collect();
    agent.log(&held, 0, &piece).await.expect(204);
    agent.log(&held, piece.len() as u64, &piece[..700_001]).await.expect(204);
    agent.log(&held, 300_000, &piece[300_000..]).await.expect(204);
    let whole = [piece.as_slice(), &piece[..700_001]].concat();
    for offset in [0, 1, 262_143, 262_144, 1_000_000, whole.len() - 1] {
        let log = house.get(&format!("/runs/{}/logs/plan?offset={offset}", held.run)).await.expect(200);
        assert!(!log.text.is_empty() && whole[offset..].starts_with(log.text.as_bytes()), "{offset}");
        assert_eq!(next_of(&log), (offset + log.text.len()).to_string());
    }
    let too_much = vec![b'x'; LOG_PATCH_BYTES + 1];
    agent.log(&held, whole.len() as u64, &too_much).await.expect_problem(413, "too_large");
}

#[tokio::test]
async fn a_reader_waits_for_more_and_learns_when_it_is_complete() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.log(&held, 0, b"abc").await.expect(204);
    let path = format!("/runs/{}/logs/plan?offset=3&wait=30", held.run);
    let (log, ()) = tokio::join!(house.get(&path), async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        agent.log(&held, 3, b"def").await.expect(204);
    });
    assert_eq!(log.text, "def");
    let path = format!("/runs/{}/logs/plan?offset=6&wait=30", held.run);
    let (log, ()) = tokio::join!(house.get(&path), async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        agent.finish(&held, &report("failed")).await.expect(200);
    });
    assert_eq!((log.text.as_str(), &log.headers["nigari-complete"]), ("", &"true".parse().unwrap()));
    agent.log(&held, 6, b"late").await.expect_problem(409, "stale_epoch");
}

#[tokio::test]
async fn a_new_claim_has_a_new_log() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.log(&held, 0, b"the first").await.expect(204);
    expire_leases(&house).await;
    let second = FakeAgent::join(&house).await;
    let again = second.claim().await;
    let log = house.get(&format!("/runs/{}/logs/plan", held.run)).await;
    assert_eq!((log.text.as_str(), &log.headers["nigari-epoch"]), ("the first", &"1".parse().unwrap()));
    second.log(&again, 0, b"2nd").await.expect(204);
    let log = house.get(&format!("/runs/{}/logs/plan", held.run)).await;
    assert_eq!((log.text.as_str(), &log.headers["nigari-epoch"]), ("2nd", &"2".parse().unwrap()));
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let without = agent.of_run(&held, Method::PATCH, "log/plan").body("x");
    House::read(without).await.expect_problem(400, "malformed");
    for offset in ["-1", "x", ""] {
        let request = agent.of_run(&held, Method::PATCH, "log/plan").header(OFFSET_HEADER, offset).body("x");
        House::read(request).await.expect_problem(400, "malformed");
    }
    let phase = agent.of_run(&held, Method::PATCH, "log/deploy").header(OFFSET_HEADER, 0).body("x");
    House::read(phase).await.expect_problem(404, "not_found");
    let apply = agent.of_run(&held, Method::PATCH, "log/apply").header(OFFSET_HEADER, 0).body("x");
    House::read(apply).await.expect_problem(409, "conflict");
    house.get(&format!("/runs/{}/logs/plan?offset=-1", held.run)).await.expect_problem(400, "malformed");
    house.get(&format!("/runs/{}/logs/plan?from=1", held.run)).await.expect_problem(400, "malformed");
    house.get(&format!("/runs/{}/logs/deploy", held.run)).await.expect_problem(404, "not_found");
    assert_eq!(upload(&house, "net", Vec::new()).await.status, 422);
}
