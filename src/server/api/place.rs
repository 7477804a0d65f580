//! Workspaces as they stand in paths and queries: by id or by name.

use super::ApiError;
use crate::protocol::id::WorkspaceId;
use crate::server::store::{AnyConnection, workspaces};

/// The workspace that a text names.
pub(super) async fn workspace_of(connection: &mut AnyConnection, text: &str) -> Result<WorkspaceId, ApiError> {
    let row = workspaces::find(connection, text).await?;
    row.map(|row| row.id).ok_or_else(|| ApiError::not_found("workspace", text))
}
