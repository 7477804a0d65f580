//! User tokens: made, listed, revoked. The text is in the answer that makes it and nowhere else.

use axum::extract::State;
use axum::http::StatusCode;

use super::authentication::UserActor;
use super::extract::{Json, Path};
use super::problem::{ApiError, Code};
use super::routes::{Audience, Routes};
use super::state::ServerState;
use super::values::{check_name, expiry};
use crate::protocol::api::{CreatedToken, List, NewToken, Token, TokenKind};
use crate::protocol::id::{PoolId, TokenId};
use crate::server::audit::{self, Particulars};
use crate::server::policy::{Permission, Role};
use crate::server::store::WriteTransaction;
use crate::server::store::tokens::{self, TokenRow};
use crate::server::vault::TokenTerms;

/// 90 days.
const DEFAULT_LIFE_SECONDS: u64 = 90 * 24 * 60 * 60;

/// `tokens`.
pub(super) fn routes() -> Routes {
    Routes::new(Audience::User).get("/tokens", list).post("/tokens", create).delete("/tokens/{id}", remove)
}

async fn list(user: UserActor, State(state): State<ServerState>) -> Result<Json<List<Token>>, ApiError> {
    user.allow(Permission::TokenRead)?;
    list_of(&state, TokenKind::User).await
}

/// Tokens of a kind, as people see them.
pub(super) async fn list_of(state: &ServerState, kind: TokenKind) -> Result<Json<List<Token>>, ApiError> {
    let rows = tokens::list(&mut *state.store.read().await?, kind).await?;
    let seen = |row: &TokenRow| {
        let mut token = row.to_token();
        token.last_used_at = state.presence.token_last_used(row.id).or(token.last_used_at);
        token
    };
    Ok(Json(List { items: rows.iter().map(seen).collect(), next: None }))
}

async fn create(
    user: UserActor,
    State(state): State<ServerState>,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    user.allow(Permission::TokenWrite)?;
    check_name("name", &new.name)?;
    let role: Role = new.role.parse().map_err(|error| ApiError::invalid("role", error))?;
    let now = state.clock.now();
    let expires_at = expiry(now, new.expires_in_seconds.unwrap_or(DEFAULT_LIFE_SECONDS))?;
    let token = Making {
        kind: TokenKind::User,
        name: new.name,
        role: role.word(),
        expires_at: Some(expires_at),
        uses_left: None,
        pool: None,
    };
    let mut transaction = state.store.begin_write().await?;
    let created = make(&state, &mut transaction, &user, token).await?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// A token to be made by a user.
pub(super) struct Making {
    pub(super) kind: TokenKind,
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) expires_at: Option<i64>,
    pub(super) uses_left: Option<i64>,
    pub(super) pool: Option<PoolId>,
}

/// Makes a token and its audit record.
pub(super) async fn make(
    state: &ServerState,
    transaction: &mut WriteTransaction,
    user: &UserActor,
    making: Making,
) -> Result<CreatedToken, ApiError> {
    let issued = state.vault.issue_token(&TokenTerms {
        kind: making.kind,
        name: &making.name,
        role: making.role,
        expires_at: making.expires_at,
        pool: making.pool,
        agent: None,
    })?;
    let now = state.clock.now();
    let row = TokenRow {
        id: issued.id,
        kind: making.kind,
        name: making.name,
        role: making.role.to_owned(),
        digest: issued.digest,
        created_by: user.name.clone(),
        created_at: now,
        expires_at: making.expires_at,
        last_used_at: None,
        revoked_at: None,
        uses_left: making.uses_left,
        pool_id: making.pool,
        agent_id: None,
    };
    tokens::insert(transaction, &row).await?;
    let particulars =
        Particulars::TokenCreate { kind: row.kind.word(), name: row.name.clone(), expires_at: row.expires_at };
    audit::record(transaction, now, &user.actor(), &row.id, &particulars).await?;
    Ok(CreatedToken { token: row.to_token(), text: issued.text })
}

async fn remove(
    user: UserActor,
    State(state): State<ServerState>,
    Path(id): Path<TokenId>,
) -> Result<StatusCode, ApiError> {
    user.allow(Permission::TokenWrite)?;
    revoke(&state, &user, id, TokenKind::User).await
}

/// Revokes a token of a kind. Of one that is revoked already nothing is said and nothing recorded.
pub(super) async fn revoke(
    state: &ServerState,
    user: &UserActor,
    id: TokenId,
    kind: TokenKind,
) -> Result<StatusCode, ApiError> {
    let now = state.clock.now();
    let mut transaction = state.store.begin_write().await?;
    let row = tokens::get(&mut transaction, id).await?.filter(|row| row.kind == kind);
    let row = row.ok_or_else(|| ApiError::not_found("token", id))?;
    if row.revoked_at.is_some() {
        return Ok(StatusCode::NO_CONTENT);
    }
    let works = |other: &TokenRow| other.revoked_at.is_none() && other.expires_at.is_none_or(|at| at > now);
    if kind == TokenKind::User {
        let others = tokens::list(&mut transaction, TokenKind::User).await?;
        if !others.iter().any(|other| other.id != id && works(other)) {
            let text = "it is the last token that works, nobody could make another; hint: make the next one first";
            return Err(ApiError::new(Code::Conflict, text));
        }
    }
    tokens::revoke(&mut transaction, id, now).await?;
    let particulars = Particulars::TokenRevoke { kind: kind.word(), name: row.name };
    audit::record(&mut transaction, now, &user.actor(), &id, &particulars).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
