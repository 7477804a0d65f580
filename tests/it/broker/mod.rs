//! The broker by itself: a client as tofu is one, and listeners as no real registry is one.

#![expect(clippy::unwrap_used, reason = "a failure in a test ends the test")]

mod clients;
mod hostile;
pub(crate) mod hostile_cases;
mod module_locations;
mod modules;
mod operator_proxy;
mod patience;
mod proxy;
mod refused;
mod strangers;
mod streaming;
mod unasked;

use std::time::Duration;

use nigari::clock::Clock;
use nigari::gateway::broker::{Broker, Plan};
use nigari::protocol::agent::RegistryCredential;
use nigari::protocol::id::IntegrationId;
use nigari::registry::upstream::Patience;
use reqwest::{Client, ClientBuilder, Response};

use crate::registry::stage::{Authority, PASSWORD, USER};

/// Short, so that what stands still is given up within a test.
const PATIENCE: Patience = Patience {
    tries: 3,
    whole: Duration::from_secs(12),
    head: Duration::from_secs(4),
    pause: Duration::from_millis(20),
    stall: Duration::from_secs(2),
    silence: Duration::from_secs(3),
};

/// The stages' credential for an address.
fn credential(address: &str, authority: &Authority) -> RegistryCredential {
    RegistryCredential {
        integration: IntegrationId::generate(),
        name: "ours".to_owned(),
        address: address.parse().unwrap(),
        username: USER.to_owned(),
        secret: PASSWORD.into(),
        ca_pem: Some(authority.pem.clone()),
        token_service: None,
        whole_run: false,
    }
}

/// A broker for these registries.
async fn open(credentials: Vec<RegistryCredential>) -> Broker {
    open_with(Plan { credentials, patience: PATIENCE, ..Plan::default() }).await
}

async fn open_with(plan: Plan) -> Broker {
    nigari::tls::install_provider();
    Broker::open(plan, &Clock::new()).await.unwrap()
}

/// A client as a step has it: the proxy, the authority, and those that the host trusts besides.
fn child(broker: &Broker, trusted: &Authority) -> Client {
    builder(broker, trusted).redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

fn builder(broker: &Broker, trusted: &Authority) -> ClientBuilder {
    let authorities =
        [broker.authority(), trusted.pem.as_str()].map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()).unwrap());
    Client::builder()
        .proxy(reqwest::Proxy::https(broker.proxy().expose()).unwrap())
        .tls_certs_only(authorities)
        .timeout(Duration::from_secs(40))
}

/// Whether the stages' password is in a text, in any form in which it is sent.
fn has_password(text: &str) -> bool {
    // `robot$net:geheim-…` and the password alone, in base64 at their beginnings.
    [PASSWORD, "Z2VoZWlt", "cm9ib3QkbmV0"].iter().any(|form| text.contains(form))
}

/// Everything of an answer that a child could read.
async fn readable(response: Response) -> Result<String, String> {
    let head = format!("{:?}", response.headers());
    let text = response.text().await.map_err(|error| format!("{error:?}"))?;
    Ok(format!("{head}\n{text}"))
}
