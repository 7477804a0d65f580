//! A credential that is refused.
//!
//! Rule: whoever refused it has seen it, so the receipt counts it as shown.

use super::{child, credential, open};
use crate::registry::stage::{Act, Authority, Stage, answer, basic, bearer};

#[tokio::test]
async fn a_credential_that_is_refused_counts_as_shown_and_one_that_nobody_asks_for_does_not() {
    let authority = Authority::new();
    for (by, status) in [("registry", 401), ("token service", 401), ("nobody", 200)] {
        let stage = Stage::start(&authority, move |heard| {
            let host = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
            Act::Say(match by {
                _ if heard.line.starts_with("GET /token") => answer("401 Unauthorized", &[], "{}"),
                "registry" => basic(),
                "token service" => bearer(&format!("https://{host}/token")),
                _ => answer("200 OK", &[], "{}"),
            })
        })
        .await;
        let url = format!("https://registry.localhost:{}", stage.port);
        let broker = open(vec![credential(&url, &authority)]).await;
        let client = child(&broker, &authority);
        let said = client.get(format!("{url}/v2/team/net/manifests/1")).send().await.unwrap();
        assert_eq!(said.status().as_u16(), status, "{by}");
        drop(said);
        let seen = broker.close().await;
        let expected: &[&str] = if by == "nobody" { &[] } else { &["ours"] };
        assert_eq!(seen.used[0].integrations, expected, "{by}: {seen:?}");
        assert_eq!(seen.faults.len(), expected.len(), "{by}: {seen:?}");
    }
}
