//! The operator's own token for a private registry of modules: added by the broker, and only where tofu would have.

use nigari::gateway::broker::Plan;

use super::{PATIENCE, child, open_with};
use crate::registry::stage::{Act, Authority, Stage, answer};

const TOKEN: &str = "operators-token-5c1d";
const OWN: &str = "Basic Y2hpbGQ6Y2hpbGQ=";
const BASE: &str = "/api/v4/packages/terraform/modules/v1/";

async fn registry(authority: &Authority, elsewhere: u16) -> Stage {
    Stage::start(authority, move |heard| {
        let path = heard.line.split(' ').nth(1).unwrap();
        Act::Say(match path {
            "/.well-known/terraform.json" => answer("200 OK", &[], &format!("{{\"modules.v1\":\"{BASE}\"}}")),
            path if path.ends_with("/1.0.0/download") => {
                answer("204 No Content", &[("X-Terraform-Get", "/archive/net.tgz?archive=tgz")], "")
            }
            path if path.ends_with("/2.0.0/download") => {
                let away = format!("https://registry.localhost:{elsewhere}/archive/net.tgz");
                answer("204 No Content", &[("X-Terraform-Get", &away)], "")
            }
            _ => answer("200 OK", &[], "{}"),
        })
    })
    .await
}

#[tokio::test]
async fn an_operators_token_goes_to_its_module_registry_and_nowhere_else() {
    let authority = Authority::new();
    let other = Stage::start(&authority, |_| Act::Say(answer("200 OK", &[], "{}"))).await;
    let stage = registry(&authority, other.port).await;
    let host = format!("registry.localhost:{}", stage.port);
    let tokens = vec![(host.clone(), TOKEN.into())];
    let roots = Some(authority.pem.clone());
    let broker = open_with(Plan { tokens, roots, patience: PATIENCE, ..Plan::default() }).await;
    let client = child(&broker, &authority);
    let shown = format!("Bearer {TOKEN}");
    // In this order: what came before decides what the token is for.
    for (path, expected) in [
        ("/api/v4/user", false),
        (&format!("{BASE}acme/net/aws/versions"), false),
        ("/.well-known/terraform.json", true),
        (&format!("{BASE}acme/net/aws/versions"), true),
        ("/archive/net.tgz", false),
        (&format!("{BASE}acme/net/aws/1.0.0/download"), true),
        ("/archive/net.tgz", true),
        (&format!("{BASE}acme/net/aws/2.0.0/download"), true),
        ("/api/v4/user", false),
        ("/v2/acme/net/manifests/1", false),
    ] {
        // What the child brings along itself has no place beside the token, and goes only where that does not.
        let answer = client.get(format!("https://{host}{path}")).header("Authorization", OWN).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        let text = format!("{:?} {}", answer.headers().clone(), answer.text().await.unwrap());
        assert!(!text.contains(TOKEN), "{text}");
        let heard = stage.heard().pop().unwrap();
        assert_eq!(heard.authorization(), Some(if expected { shown.as_str() } else { OWN }), "{path}");
    }
    client.get(format!("https://registry.localhost:{}/archive/net.tgz", other.port)).send().await.unwrap();
    assert_eq!(other.heard().len(), 1);
    other.must_not_have_seen_a_credential();
}
