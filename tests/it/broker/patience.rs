//! What is asked for again, how often, and after how long.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use reqwest::{Client, Response};

use super::hostile_cases::GOOD;
use super::{child, credential, open};
use crate::registry::stage::{Act, Authority, Heard, Stage, answer, basic};

/// A registry that says the status of a repository (`/v2/s503/…`) to the first `times` requests for it.
async fn failing(authority: &Authority, times: usize, headers: &'static [(&'static str, &'static str)]) -> Stage {
    let asked = Mutex::new(HashMap::<String, usize>::new());
    Stage::start(authority, move |heard| {
        let repository = repository(heard);
        let mut asked = asked.lock().unwrap();
        let number = asked.entry(repository.clone()).or_default();
        *number += 1;
        Act::Say(match heard.authorization() {
            _ if *number <= times => answer(&format!("{} Oh", repository.trim_start_matches('s')), headers, ""),
            Some(_) => answer("200 OK", &[], GOOD),
            None => basic(),
        })
    })
    .await
}

fn repository(heard: &Heard) -> String {
    heard.line.split('/').nth(2).unwrap().to_owned()
}

async fn get(client: &Client, stage: &Stage, repository: &str) -> Response {
    let url = format!("https://registry.localhost:{}/v2/{repository}/manifests/1", stage.port);
    client.get(url).send().await.unwrap()
}

fn count(stage: &Stage, of: &str) -> usize {
    stage.heard().iter().filter(|heard| repository(heard) == of).count()
}

#[tokio::test]
async fn what_may_pass_is_asked_for_again_until_it_is_there_and_what_may_not_is_not() {
    let authority = Authority::new();
    let stage = failing(&authority, 1, &[]).await;
    let address = format!("https://registry.localhost:{}", stage.port);
    let broker = open(vec![credential(&address, &authority)]).await;
    let client = child(&broker, &authority);
    // The registry wants Basic, and is known for it as soon as it has said so once.
    assert_eq!(get(&client, &stage, "s503").await.text().await.unwrap(), GOOD);
    for status in [429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524, 525, 526] {
        let repository = format!("s{status}");
        let before = count(&stage, &repository);
        let answer = get(&client, &stage, &repository).await;
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, GOOD), "{status}");
        let tries = count(&stage, &repository) - before;
        assert_eq!(tries, if before == 0 { 2 } else { 1 }, "{status}");
    }
    for status in [400, 404, 410, 501, 505, 508, 511] {
        let answer = get(&client, &stage, &format!("s{status}")).await;
        assert_eq!(answer.status().as_u16(), status, "{status}");
        assert_eq!(count(&stage, &format!("s{status}")), 1, "{status}");
    }
}

#[tokio::test]
async fn a_registry_that_asks_for_a_second_gets_it() {
    let authority = Authority::new();
    let stage = failing(&authority, 1, &[("Retry-After", "1")]).await;
    let address = format!("https://registry.localhost:{}", stage.port);
    let broker = open(vec![credential(&address, &authority)]).await;
    let client = child(&broker, &authority);
    for status in [429, 503] {
        let began = Instant::now();
        let answer = get(&client, &stage, &format!("s{status}")).await;
        assert_eq!(answer.text().await.unwrap(), GOOD, "{status}");
        assert!(began.elapsed() >= Duration::from_secs(1), "{status}: {:?}", began.elapsed());
    }
}
