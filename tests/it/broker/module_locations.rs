//! A module registry that says in the body of its answer where a module is, as OpenTofu reads it since 1.10, and whether it
//! wants the token there: the operator's own goes there, and no further.

use nigari::gateway::broker::Plan;
use serde_json::json;

use super::{PATIENCE, child, open_with};
use crate::registry::stage::{Act, Authority, Heard, Stage, answer};

const TOKEN: &str = "operators-token-8e20";
/// Without the slash that tofu adds.
const BASE: &str = "/api/modules/v1";
/// No document has as many bytes.
const PACKAGE: usize = 200_000;

/// What the registry answers about a version.
fn location(version: &str, elsewhere: u16) -> Vec<u8> {
    let file = format!("/packages/{version}.zip");
    let say = |document: serde_json::Value| answer("200 OK", &[], &document.to_string());
    match version {
        "1" => say(json!({"location": file, "use_registry_credentials": true})),
        "2" => say(json!({"location": file, "use_registry_credentials": false})),
        "3" => say(json!({"location": format!("{file}//sub?archive=zip")})),
        "4" => {
            let away = format!("https://registry.localhost:{elsewhere}{file}");
            say(json!({"location": away, "use_registry_credentials": true}))
        }
        "5" => answer("200 OK", &[("X-Terraform-Get", &file)], r#"{"location":""}"#),
        "6" => say(json!({"location": file, "use_registry_credentials": "true"})),
        "7" => answer("200 OK", &[("X-Terraform-Get", &file)], r#"{"use_registry_credentials":false}"#),
        "8" => answer("200 OK", &[], "<html>"),
        _ => say(json!({"location": file, "more": "x".repeat(PACKAGE)})),
    }
}

fn answer_to(heard: &Heard, elsewhere: u16) -> Vec<u8> {
    let path = heard.line.split(' ').nth(1).unwrap();
    if path == "/.well-known/terraform.json" {
        return answer("200 OK", &[], &json!({"modules.v1": BASE}).to_string());
    }
    let version = path.strip_prefix(&format!("{BASE}/acme/net/aws/")).and_then(|rest| rest.strip_suffix("/download"));
    match version {
        Some(version) => location(version, elsewhere),
        None => answer("200 OK", &[], &"x".repeat(PACKAGE)),
    }
}

#[tokio::test]
async fn a_token_goes_where_the_body_of_an_answer_leads_if_the_registry_wants_it_there() {
    let authority = Authority::new();
    let other = Stage::start(&authority, |_| Act::Say(answer("200 OK", &[], "{}"))).await;
    let elsewhere = other.port;
    let stage = Stage::start(&authority, move |heard| Act::Say(answer_to(heard, elsewhere))).await;
    let host = format!("registry.localhost:{}", stage.port);
    let (tokens, roots) = (vec![(host.clone(), TOKEN.into())], Some(authority.pem.clone()));
    let broker = open_with(Plan { tokens, roots, patience: PATIENCE, ..Plan::default() }).await;
    let client = child(&broker, &authority);
    let ask = async |path: &str| {
        let answer = client.get(format!("https://{host}{path}")).send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        let heard = stage.heard().pop().unwrap();
        assert!(heard.line.starts_with(&format!("GET {path} ")), "{path}: {heard:?}");
        let shown = heard.authorization().map(str::to_owned);
        assert!(shown.as_ref().is_none_or(|shown| *shown == format!("Bearer {TOKEN}")), "{path}: {shown:?}");
        (status, text, shown.is_some())
    };
    assert!(!ask(&format!("{BASE}/acme/net/aws/versions")).await.2, "before anything is known");
    assert!(ask("/.well-known/terraform.json").await.2);
    assert!(ask(&format!("{BASE}/acme/net/aws/versions")).await.2, "below a service without its last slash");
    for (version, wanted) in
        [("1", true), ("2", false), ("3", true), ("4", false), ("5", true), ("6", false), ("7", false), ("8", false)]
    {
        let package = format!("/packages/{version}.zip");
        assert!(!ask(&package).await.2, "{version}: before it is named");
        let (status, text, with_token) = ask(&format!("{BASE}/acme/net/aws/{version}/download")).await;
        assert!(status == 200 && with_token, "{version}: {status}");
        // What is read on the way arrives as it was.
        assert!(location(version, elsewhere).ends_with(format!("\r\n\r\n{text}").as_bytes()), "{version}: {text}");
        let (status, text, with_token) = ask(&package).await;
        assert_eq!((status, text.len(), with_token), (200, PACKAGE, wanted), "{version}");
    }
    // Nobody's answer is read without an end.
    let (status, text, _) = ask(&format!("{BASE}/acme/net/aws/9/download")).await;
    assert!(status == 502 && text.contains("where a module is"), "{status}: {text}");
    assert!(!ask("/packages/9.zip").await.2);
    client.get(format!("https://registry.localhost:{elsewhere}/packages/4.zip")).send().await.unwrap();
    assert_eq!(other.heard().len(), 1);
    other.must_not_have_seen_a_credential();
}
