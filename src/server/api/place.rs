//! Workspaces as they stand in paths and queries: by id or by name.

use super::ApiError;
use crate::protocol::id::WorkspaceId;
use crate::server::store::AnyConnection;
use crate::server::store::runs::list;

/// The workspace that a text names.
pub(super) async fn workspace_of(connection: &mut AnyConnection, text: &str) -> Result<WorkspaceId, ApiError> {
    list::workspace(connection, text).await?.ok_or_else(|| ApiError::not_found("workspace", text))
}
