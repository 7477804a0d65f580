//! Join tokens: with one, agents join a pool, so many times and for so long.

use axum::extract::State;
use axum::http::StatusCode;

use super::authentication::UserActor;
use super::extract::{Json, Path};
use super::problem::ApiError;
use super::routes::{Audience, Routes};
use super::state::ServerState;
use super::tokens::{Making, list_of, make, revoke};
use super::values::{check_name, expiry};
use crate::protocol::api::{CreatedToken, List, NewJoinToken, Token, TokenKind};
use crate::protocol::id::TokenId;
use crate::server::policy::Permission;
use crate::server::store::agents::{self, DEFAULT_POOL};

/// One hour.
const DEFAULT_LIFE_SECONDS: u64 = 60 * 60;

/// `join-tokens`.
pub(super) fn routes() -> Routes {
    Routes::new(Audience::User)
        .get("/join-tokens", list)
        .post("/join-tokens", create)
        .delete("/join-tokens/{id}", remove)
}

async fn list(user: UserActor, State(state): State<ServerState>) -> Result<Json<List<Token>>, ApiError> {
    user.allow(Permission::JoinTokenRead)?;
    list_of(&state, TokenKind::Join).await
}

async fn create(
    user: UserActor,
    State(state): State<ServerState>,
    Json(new): Json<NewJoinToken>,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    user.allow(Permission::JoinTokenWrite)?;
    check_name("name", &new.name)?;
    let expires_at = expiry(state.clock.now(), new.expires_in_seconds.unwrap_or(DEFAULT_LIFE_SECONDS))?;
    let times = new.uses.unwrap_or(1);
    if times == 0 {
        return Err(ApiError::invalid("uses", "a token without uses lets nobody join; hint: at least 1"));
    }
    let mut transaction = state.store.begin_write().await?;
    let pool = new.pool.as_deref().unwrap_or(DEFAULT_POOL);
    let pool = agents::pool_named(&mut transaction, pool).await?;
    let pool = pool
        .ok_or_else(|| ApiError::invalid("pool", "there is no such pool; hint: `nigari agent pool list` shows them"))?;
    let making = Making {
        kind: TokenKind::Join,
        name: new.name,
        role: "",
        expires_at: Some(expires_at),
        uses_left: Some(i64::from(times)),
        pool: Some(pool),
    };
    let created = make(&state, &mut transaction, &user, making).await?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(created)))
}

async fn remove(
    user: UserActor,
    State(state): State<ServerState>,
    Path(id): Path<TokenId>,
) -> Result<StatusCode, ApiError> {
    user.allow(Permission::JoinTokenWrite)?;
    revoke(&state, &user, id, TokenKind::Join).await
}
