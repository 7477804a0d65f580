//! Who is asking: each route takes one kind of token, by naming the actor that it wants.
//!
//! Rule: an actor is made here alone. Handlers name it first, so that a request without the right token learns nothing
//! else. A token of another kind is told which kind the route takes; whether a token never was, was revoked or has
//! expired is told only to who holds its secret.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::problem::{ApiError, Code};
use super::state::ServerState;
use crate::protocol::api::TokenKind;
use crate::protocol::id::{AgentId, PoolId, TokenId};
use crate::server::audit::Actor;
use crate::server::policy::{Permission, Role};
use crate::server::store::agents;
use crate::server::store::tokens::{self, TokenRow};
use crate::server::vault::{PresentedToken, TokenTerms};
use crate::server::visitor::Visitor;

/// A person or program with a user token.
#[derive(Debug, Clone)]
pub struct UserActor {
    /// The token.
    pub token: TokenId,
    /// Its name.
    pub name: String,
    /// What it may.
    pub role: Role,
    /// When it expires.
    pub expires_at: Option<i64>,
}

/// An agent in a session.
#[derive(Debug, Clone, Copy)]
pub struct SessionActor {
    /// The session's token.
    pub token: TokenId,
    /// The agent.
    pub agent: AgentId,
    /// Its pool.
    pub pool: PoolId,
}

/// Who opens a session.
#[derive(Debug, Clone, Copy)]
pub enum JoiningActor {
    /// Holder of a join token.
    Join {
        /// The token.
        token: TokenId,
        /// The pool that it lets join.
        pool: PoolId,
    },
    /// An agent with its identity.
    Agent {
        /// The agent.
        agent: AgentId,
        /// Its pool.
        pool: PoolId,
    },
}

impl UserActor {
    /// Refuses what the role has not.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn allow(&self, permission: Permission) -> Result<(), ApiError> {
        Ok(self.role.allow(permission)?)
    }

    /// For the audit record.
    pub fn actor(&self) -> Actor {
        Actor::User(self.name.clone())
    }
}

impl SessionActor {
    /// For the audit record.
    pub fn actor(&self) -> Actor {
        Actor::Agent(self.agent)
    }
}

impl FromRequestParts<ServerState> for UserActor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState) -> Result<Self, ApiError> {
        let row = authenticate(parts, state, &[TokenKind::User]).await?;
        Ok(Self { token: row.id, role: row.role()?, name: row.name, expires_at: row.expires_at })
    }
}

impl FromRequestParts<ServerState> for SessionActor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState) -> Result<Self, ApiError> {
        let row = authenticate(parts, state, &[TokenKind::Session]).await?;
        let (agent, pool) = row.agent()?;
        state.presence.agent_seen(agent, state.clock.now());
        Ok(Self { token: row.id, agent, pool })
    }
}

impl FromRequestParts<ServerState> for JoiningActor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ServerState) -> Result<Self, ApiError> {
        let row = authenticate(parts, state, &[TokenKind::Join, TokenKind::Agent]).await?;
        if row.kind == TokenKind::Join {
            return Ok(Self::Join { token: row.id, pool: row.pool()? });
        }
        let (agent, pool) = row.agent()?;
        Ok(Self::Agent { agent, pool })
    }
}

async fn authenticate(parts: &Parts, state: &ServerState, kinds: &[TokenKind]) -> Result<TokenRow, ApiError> {
    let Some(header) = parts.headers.get(AUTHORIZATION) else {
        return Err(unauthorized(&format!("no token; hint: send `Authorization: Bearer …` with {}", named(kinds))));
    };
    let presented = header.to_str().ok().and_then(bearer).and_then(PresentedToken::parse);
    let Some(presented) = presented else {
        return Err(unauthorized("what was sent is not a token of nigari; hint: was it copied as a whole?"));
    };
    if !kinds.contains(&presented.kind) {
        return Err(unauthorized(&format!(
            "{} is not taken here; hint: this route takes {}",
            named(&[presented.kind]),
            named(kinds)
        )));
    }
    let row = tokens::get(&mut *state.store.read().await?, presented.id).await?;
    if row.is_none() && presented.kind == TokenKind::Agent {
        return Err(ApiError::new(
            Code::IdentityUnknown,
            "no agent has this identity: it was removed, or never joined here",
        ));
    }
    let row = row.filter(|row| row.kind == presented.kind && is_its_own(state, &presented, row));
    let Some(row) = row else {
        let hint = if presented.kind == TokenKind::Session { "; hint: open a new session" } else { "" };
        return Err(unauthorized(&format!("the token is not known{hint}")));
    };
    let now = state.clock.now();
    if row.revoked_at.is_some() && row.kind == TokenKind::Session {
        return Err(superseded(state, &row).await);
    }
    if row.revoked_at.is_some() {
        return Err(unauthorized("the token was revoked; hint: ask for another"));
    }
    if row.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(unauthorized("the token has expired; hint: ask for another"));
    }
    state.presence.token_used(row.id, now);
    if let Some(visitor) = parts.extensions.get::<Visitor>() {
        visitor.is_known_now();
    }
    Ok(row)
}

/// Whether the token is the one of the row, and the row says what it said when the token was made.
fn is_its_own(state: &ServerState, presented: &PresentedToken, row: &TokenRow) -> bool {
    state.vault.recognises_token(presented, &terms(row), &row.digest)
}

/// What a token's digest vouches for.
pub(super) fn terms(row: &TokenRow) -> TokenTerms<'_> {
    TokenTerms {
        kind: row.kind,
        name: &row.name,
        role: &row.role,
        expires_at: row.expires_at,
        pool: row.pool_id,
        agent: row.agent_id,
    }
}

/// A session that a newer one of another process ended is used: two processes have one identity.
async fn superseded(state: &ServerState, row: &TokenRow) -> ApiError {
    let named = async {
        let (id, _) = row.agent()?;
        let mut connection = state.store.read().await?;
        let sessions = tokens::list(&mut connection, TokenKind::Session).await?;
        let newer = sessions.into_iter().find(|other| other.agent_id == Some(id) && other.revoked_at.is_none());
        let agent = agents::get(&mut connection, id).await?.map(|agent| agent.name).unwrap_or_default();
        Ok::<_, ApiError>((id, agent, newer.map(|newer| newer.name).unwrap_or_default()))
    };
    match named.await {
        Ok((id, agent, newer)) => {
            let older = row.name.as_str();
            tracing::warn!(agent, %id, older, newer, "two processes use one agent's identity: the older is sent away");
        }
        Err(error) => return error,
    }
    let text = "another process has opened a session with this agent's identity; hint: was the agent's state directory \
                copied? start one of the two with a state directory of its own and a join token";
    ApiError::new(Code::SessionSuperseded, text)
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn named(kinds: &[TokenKind]) -> String {
    let words: Vec<String> = kinds
        .iter()
        .map(|kind| {
            let article = if kind.word().starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
            format!("{article} {} token", kind.word())
        })
        .collect();
    words.join(" or ")
}

fn unauthorized(text: &str) -> ApiError {
    ApiError::new(Code::Unauthorized, text)
}
