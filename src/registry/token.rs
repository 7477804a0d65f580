//! Tokens of a token service: `GET realm?service=…&scope=…` with Basic, as OpenTofu asks (never the `OAuth2` POST).
//!
//! Rule: only a realm that [`super::realm::check_realm`] allowed is asked, and the answer is at most 128 KiB.

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::authorization::Authorization;
use super::exchange::{Exchange, ExchangeError, Question, Reply};
use crate::secret::Secret;

/// Bytes of a token service's answer; what OpenTofu reads.
const ANSWER_BYTES: usize = 128 * 1024;

/// What to ask a token service for.
#[derive(Debug)]
pub struct TokenRequest<'t> {
    /// The checked realm.
    pub realm: Url,
    /// The challenge's `service`.
    pub service: Option<&'t str>,
    /// Scopes; none for a test of user and secret alone.
    pub scopes: &'t [String],
    /// Who asks; `None` for anonymous.
    pub authorization: Option<&'t Authorization>,
}

/// What a token service said.
#[derive(Debug)]
pub enum TokenAnswer {
    /// A token.
    Token(Authorization),
    /// Another answer; its body is gone.
    Refused(Reply),
    /// 200, but no token that could be used.
    Unusable,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    token: Option<Secret>,
    #[serde(default)]
    access_token: Option<Secret>,
}

/// Asks a token service.
pub async fn fetch_token(exchange: &Exchange, request: TokenRequest<'_>) -> Result<TokenAnswer, ExchangeError> {
    let mut url = request.realm;
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = request.service.filter(|service| !service.is_empty()) {
            query.append_pair("service", service);
        }
        for scope in request.scopes {
            query.append_pair("scope", scope);
        }
    }
    // An empty list of pairs would leave a bare `?` behind.
    if url.query() == Some("") {
        url.set_query(None);
    }
    let mut reply = exchange
        .ask(Question {
            method: Method::GET,
            url,
            accept: "application/json",
            authorization: request.authorization,
            limit: ANSWER_BYTES,
        })
        .await?;
    let body = Zeroizing::new(std::mem::take(&mut reply.body).to_vec());
    if reply.status != StatusCode::OK || reply.is_page() {
        return Ok(TokenAnswer::Refused(reply));
    }
    let token = serde_json::from_slice::<Body>(&body)
        .ok()
        .and_then(|body| body.access_token.filter(|token| !token.is_empty()).or(body.token))
        .and_then(|token| Authorization::bearer(&token));
    Ok(token.map_or(TokenAnswer::Unusable, TokenAnswer::Token))
}
