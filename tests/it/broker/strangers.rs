//! Who has not shown the nonce takes nothing from who has.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{child, credential, open};
use crate::registry::stage::{Act, Authority, Stage, answer, basic};

#[tokio::test]
async fn connections_without_the_nonce_do_not_hold_up_a_step() {
    let authority = Authority::new();
    let stage = Stage::start(&authority, |heard| {
        Act::Say(if heard.authorization().is_some() { answer("200 OK", &[], "{}") } else { basic() })
    })
    .await;
    let url = format!("https://registry.localhost:{}", stage.port);
    let broker = open(vec![credential(&url, &authority)]).await;
    let mut strangers = Vec::new();
    // More than there are places for steps; some say nothing, some the beginning of something.
    for number in 0..300_u32 {
        let mut stranger = TcpStream::connect(broker.address()).await.unwrap();
        if number.is_multiple_of(2) {
            stranger.write_all(b"CONNECT registry.localhost:1 HTTP/1.1\r\n").await.unwrap();
        }
        strangers.push(stranger);
    }
    // A client of its own for each, so that each is a new connection.
    for _ in 0..3 {
        let asked = child(&broker, &authority).get(format!("{url}/v2/team/net/manifests/1")).send();
        let answer = tokio::time::timeout(Duration::from_secs(20), asked).await.expect("held up").unwrap();
        assert_eq!(answer.status(), 200);
    }
    // Those that came first had to go.
    let ended = tokio::time::timeout(Duration::from_secs(20), strangers[0].read(&mut [0; 16])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
    // The others go when their time is up.
    let last = strangers.last_mut().unwrap();
    let ended = tokio::time::timeout(Duration::from_mins(1), last.read(&mut [0; 16])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
}
