//! Audit records, for people.

use axum::extract::State;
use serde::Deserialize;

use super::authentication::UserActor;
use super::extract::{Json, Query};
use super::problem::ApiError;
use super::routes::{Audience, Routes};
use super::state::ServerState;
use crate::protocol::api::{AuditRecord, List};
use crate::server::policy::Permission;
use crate::server::store;

/// Records of one answer, unless asked otherwise; never more than ten times that.
const PAGE: i64 = 100;

/// `GET audit?after=&limit=`: oldest first.
pub(super) fn routes() -> Routes {
    Routes::new(Audience::User).get("/audit", list)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    after: i64,
    #[serde(default = "page")]
    limit: i64,
}

const fn page() -> i64 {
    PAGE
}

async fn list(
    user: UserActor,
    State(state): State<ServerState>,
    Query(page): Query<Page>,
) -> Result<Json<List<AuditRecord>>, ApiError> {
    user.allow(Permission::AuditRead)?;
    let limit = page.limit.clamp(1, 10 * PAGE);
    let mut connection = state.store.read().await?;
    // One more than asked for, to know whether there is another page.
    let mut items = store::audit::list(&mut connection, page.after, limit + 1).await?;
    let more = i64::try_from(items.len()).is_ok_and(|length| length > limit);
    if more {
        items.pop();
    }
    let next = items.last().filter(|_| more).map(|record| record.sequence.to_string());
    Ok(Json(List { items, next }))
}
