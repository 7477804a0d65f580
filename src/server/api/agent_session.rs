//! `POST agent/session`: an agent joins, or comes back.
//!
//! Rule: a join token buys an identity once per use, the identity buys a session, and a new session ends the earlier
//! ones, so that of two processes with one identity the older one stops.

use axum::extract::State;

use super::authentication::{JoiningActor, terms};
use super::extract::Json;
use super::problem::{ApiError, Code};
use super::routes::{Audience, Routes};
use super::state::ServerState;
use super::values::check_name;
use crate::protocol::PROTOCOL;
use crate::protocol::agent::{SessionAnswer, SessionRequest};
use crate::protocol::api::TokenKind;
use crate::protocol::id::{AgentId, PoolId, TokenId};
use crate::secret::Secret;
use crate::server::audit::{self, Actor, Particulars};
use crate::server::store::WriteTransaction;
use crate::server::store::agents::{self, AgentRow};
use crate::server::store::tokens::{self, TokenRow};

/// Longest version, tofu version and run root.
const TEXT_BYTES: usize = 1024;
/// More runs at once than any host does.
const MOST_CONCURRENCY: u32 = 1000;

/// `agent/session`.
pub(super) fn routes() -> Routes {
    Routes::new(Audience::Joining).post("/agent/session", open)
}

async fn open(
    joining: JoiningActor,
    State(state): State<ServerState>,
    Json(request): Json<SessionRequest>,
) -> Result<Json<SessionAnswer>, ApiError> {
    let protocol = common_protocol(&request)?;
    check(&request)?;
    let now = state.clock.now();
    let mut transaction = state.store.begin_write().await?;
    let (agent, pool) = match joining {
        JoiningActor::Join { token, pool } => {
            if !tokens::take_use(&mut transaction, token).await? {
                let text =
                    "the join token has no use left; hint: make another with `nigari token create NAME --kind join`";
                return Err(ApiError::new(Code::Unauthorized, text));
            }
            (AgentId::generate(), pool)
        }
        JoiningActor::Agent { agent, pool } => (agent, pool),
    };
    agents::put(&mut transaction, &described(&request, agent, pool, now)).await?;
    let identity = match joining {
        JoiningActor::Join { .. } => {
            let particulars = Particulars::AgentJoin { pool, name: request.name.clone() };
            audit::record(&mut transaction, now, &Actor::Agent(agent), &agent, &particulars).await?;
            Some(keep_token(&state, &mut transaction, new_token(&state, TokenKind::Agent, (agent, pool))).await?)
        }
        JoiningActor::Agent { .. } => None,
    };
    let process = request.process.map(|process| process.to_string()).unwrap_or_default();
    tokens::end_sessions(&mut transaction, agent, &process, now).await?;
    let session = TokenRow { name: process, ..new_token(&state, TokenKind::Session, (agent, pool)) };
    let session = keep_token(&state, &mut transaction, session).await?;
    let pool_name = agents::pools(&mut transaction).await?.into_iter().find(|known| known.id == pool);
    let (name, pool_called) =
        (request.name.clone(), pool_name.as_ref().map(|pool| pool.name.clone()).unwrap_or_default());
    let (version, tofu, run_root) = (request.version, request.tofu_version, request.run_root);
    transaction.after_commit(move || {
        tracing::info!(agent = name, id = %agent, pool = pool_called, version, tofu, run_root, "session opened");
    });
    transaction.commit().await?;
    state.presence.agent_seen(agent, now);
    Ok(Json(SessionAnswer {
        protocol,
        agent,
        pool,
        pool_name: pool_name.map(|pool| pool.name).unwrap_or_default(),
        identity,
        session,
        session_seconds: state.settings.session.as_secs(),
        lease_seconds: state.settings.lease.as_secs(),
        hold_seconds: state.settings.hold.as_secs(),
    }))
}

fn common_protocol(request: &SessionRequest) -> Result<u32, ApiError> {
    let (oldest, newest) = (request.protocol_min, request.protocol_max);
    if (oldest..=newest).contains(&PROTOCOL) {
        return Ok(PROTOCOL);
    }
    let who = if newest < PROTOCOL { "agent" } else { "server" };
    let text = format!(
        "the server speaks protocol {PROTOCOL}, the agent {oldest} to {newest}; hint: bring the {who} up to date"
    );
    Err(ApiError::new(Code::ProtocolMismatch, text))
}

fn check(request: &SessionRequest) -> Result<(), ApiError> {
    check_name("name", &request.name)?;
    let texts =
        [("version", &request.version), ("tofu_version", &request.tofu_version), ("run_root", &request.run_root)];
    for (field, text) in texts {
        if text.is_empty() || text.len() > TEXT_BYTES || text.chars().any(char::is_control) {
            let text = format!("it is empty or not fit; hint: 1 to {TEXT_BYTES} bytes without control characters");
            return Err(ApiError::invalid(field, text));
        }
    }
    if !request.run_root.starts_with('/') {
        return Err(ApiError::invalid("run_root", "it is not an absolute path; hint: it begins with `/`"));
    }
    if !(1..=MOST_CONCURRENCY).contains(&request.concurrency) {
        return Err(ApiError::invalid("concurrency", format!("it is out of range; hint: 1 to {MOST_CONCURRENCY}")));
    }
    Ok(())
}

fn described(request: &SessionRequest, id: AgentId, pool_id: PoolId, now: i64) -> AgentRow {
    AgentRow {
        id,
        pool_id,
        name: request.name.clone(),
        version: request.version.clone(),
        tofu_version: request.tofu_version.clone(),
        run_root: request.run_root.clone(),
        concurrency: i64::from(request.concurrency),
        joined_at: now,
        last_seen_at: now,
        draining: false,
    }
}

/// Without its secret's digest yet.
fn new_token(state: &ServerState, kind: TokenKind, (agent, pool): (AgentId, PoolId)) -> TokenRow {
    let now = state.clock.now();
    let life = i64::try_from(state.settings.session.as_micros()).unwrap_or(i64::MAX);
    TokenRow {
        id: TokenId::generate(),
        kind,
        name: String::new(),
        role: String::new(),
        digest: Vec::new(),
        created_by: Actor::Agent(agent).to_string(),
        created_at: now,
        expires_at: (kind == TokenKind::Session).then(|| now.saturating_add(life)),
        last_used_at: None,
        revoked_at: None,
        uses_left: None,
        pool_id: Some(pool),
        agent_id: Some(agent),
    }
}

async fn keep_token(
    state: &ServerState,
    transaction: &mut WriteTransaction,
    row: TokenRow,
) -> Result<Secret, ApiError> {
    let issued = state.vault.issue_token(&terms(&row))?;
    tokens::insert(transaction, &TokenRow { id: issued.id, digest: issued.digest, ..row }).await?;
    Ok(issued.text)
}
