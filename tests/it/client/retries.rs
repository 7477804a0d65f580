//! Trying again.

use std::time::{Duration, Instant};

use nigari::client::retry;
use nigari::clock::BootInstant;

use super::house::{House, WHOAMI, answer, json, problem};

fn within(time: Duration) -> BootInstant {
    BootInstant::now().after(time)
}

#[tokio::test]
async fn passing_faults_are_tried_again_until_it_works() {
    let house = House::start([
        problem(503, "unavailable", ""),
        answer(502, &[("content-type", "text/html")], "<html>"),
        answer(429, &[("retry-after", "0")], ""),
        answer(200, &[], "garbage"),
        json(200, WHOAMI),
    ])
    .await;
    let client = house.client();
    let whoami = retry::until(within(Duration::from_mins(1)), || client.whoami()).await.unwrap();
    assert_eq!((whoami.role.as_str(), house.asked().len()), ("admin", 5));
}

#[tokio::test]
async fn what_is_final_is_not_tried_again() {
    for status in [400, 401, 403, 404, 409, 412, 422] {
        let house = House::start([problem(status, "x", ""), json(200, WHOAMI)]).await;
        let client = house.client();
        let error = retry::until(within(Duration::from_mins(1)), || client.whoami()).await.unwrap_err();
        assert_eq!((error.status(), house.asked().len()), (Some(status), 1));
    }
}

#[tokio::test]
async fn retry_after_is_waited_and_the_deadline_kept() {
    let house = House::start([answer(503, &[("retry-after", "1")], ""), json(200, WHOAMI)]).await;
    let client = house.client();
    let began = Instant::now();
    retry::until(within(Duration::from_mins(1)), || client.whoami()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));

    let house = House::start([answer(503, &[("retry-after", "60")], ""), json(200, WHOAMI)]).await;
    let client = house.client();
    let began = Instant::now();
    let error = retry::until(within(Duration::from_secs(5)), || client.whoami()).await.unwrap_err();
    assert_eq!((error.status(), house.asked().len()), (Some(503), 1));
    assert!(began.elapsed() < Duration::from_secs(5), "it waited although the deadline comes before the next try");
}

#[tokio::test]
async fn a_try_that_hangs_is_given_up_at_the_deadline() {
    // Accepts and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = nigari::client::Client::new(
        url.parse().unwrap(),
        nigari::client::TokenSource::none(),
        nigari::client::ClientOptions::default(),
    )
    .unwrap();
    let began = Instant::now();
    let error = retry::until(within(Duration::from_secs(2)), || client.whoami()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!((1..10).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}
