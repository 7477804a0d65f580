//! Uploading a configuration: received, checked, sealed and digested in one pass.
//!
//! Rule: an archive that an agent would refuse to unpack is never stored. Plain bytes go to the check on a blocking
//! thread through a bounded pipe, never to disk.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::archive::Checking;
use super::blob::{BlobWriter, Owner, Pieces, Sealing};
use super::place::workspace_of;
use super::{ApiError, Audience, Code, Json, Path, Query, Routes, ServerState, UserActor, headers};
use crate::protocol::DIGEST_HEADER;
use crate::protocol::api::Configuration;
use crate::protocol::id::{ConfigurationId, WorkspaceId};
use crate::protocol::limits::CONFIGURATION_BYTES;
use crate::server::audit::{self, Particulars};
use crate::server::policy::Protected;
use crate::server::store::configurations::{self, ConfigurationRecord};

/// Bytes of a working directory.
const WORKING_DIRECTORY_BYTES: usize = 1024;

pub(super) fn routes() -> Routes {
    Routes::new(Audience::User).post("/workspaces/{workspace}/configurations", upload)
}

/// The query of an upload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UploadQuery {
    #[serde(default)]
    working_directory: String,
}

/// `POST workspaces/{w}/configurations?working_directory=…`.
async fn upload(
    State(state): State<ServerState>,
    actor: UserActor,
    Path(workspace): Path<String>,
    Query(query): Query<UploadQuery>,
    request: Request<Body>,
) -> Result<(StatusCode, Json<Configuration>), ApiError> {
    let permit = actor.role.seal(Protected::Configuration)?;
    let workspace = workspace_of(&mut *state.store.read().await?, &workspace).await?;
    let working_directory = normalise(&query.working_directory)?;
    let said = headers::digest(request.headers())?;
    let mut writer = BlobWriter::new(&state, &permit, Owner::Configuration(workspace))?;
    let checking = Checking::begin(&working_directory);
    let mut pieces = Pieces::of(request.into_body(), CONFIGURATION_BYTES);
    while let Some(piece) = pieces.next().await? {
        // After a refusal the rest is only read: a client that still sends would not hear the answer.
        if checking.feed(&piece).await {
            writer.write(&piece).await?;
        }
    }
    checking.end().await?;
    let sealing = writer.end()?;
    if said.is_some_and(|said| said != sealing.written.digest) {
        return Err(ApiError::invalid(DIGEST_HEADER, "the body has another digest; hint: send it again"));
    }
    let configuration = store(&state, &actor, workspace, working_directory, sealing).await?;
    Ok((StatusCode::CREATED, Json(configuration)))
}

async fn store(
    state: &ServerState,
    actor: &UserActor,
    workspace: WorkspaceId,
    working_directory: String,
    sealing: Sealing,
) -> Result<Configuration, ApiError> {
    let now = state.clock.now();
    let configuration = Configuration {
        id: ConfigurationId::generate(),
        workspace,
        digest: sealing.written.digest.clone(),
        bytes: sealing.written.bytes,
        working_directory,
        created_at: now,
    };
    let mut transaction = state.store.begin_write().await?;
    let same = configurations::same_bytes(&mut transaction, workspace, &configuration.digest).await?;
    let blob = match same {
        Some(blob) => blob,
        None => sealing.store(&mut transaction).await?.id,
    };
    let record = ConfigurationRecord { configuration, blob };
    configurations::insert(&mut transaction, &record).await?;
    let configuration = record.configuration;
    let particulars = Particulars::ConfigurationUpload { workspace, digest: configuration.digest.clone() };
    audit::record(&mut transaction, now, &actor.actor(), &configuration.id, &particulars).await?;
    transaction.commit().await?;
    Ok(configuration)
}

/// A relative directory without `.`, `..` and doubled slashes; empty for the archive's top.
fn normalise(directory: &str) -> Result<String, ApiError> {
    let refused = |why| {
        Err(ApiError::new(
            Code::Invalid,
            format!(
                "`working_directory`: {why}; hint: a directory within \
         the upload, such as `stacks/net`"
            ),
        ))
    };
    if directory.len() > WORKING_DIRECTORY_BYTES {
        return refused("longer than 1024 bytes");
    }
    if directory.starts_with('/') || directory.contains(['\\', '\0']) || directory.chars().any(char::is_control) {
        return refused("not a relative path");
    }
    let mut parts = Vec::new();
    for part in directory.split('/') {
        match part {
            "" | "." => {}
            ".." => return refused("leads out of the upload"),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn a_working_directory_has_one_form() {
        for (given, normal) in [("", ""), (".", ""), ("./", ""), ("a", "a"), ("a//b/./c/", "a/b/c")] {
            assert_eq!(normalise(given).unwrap(), normal, "{given}");
        }
    }

    #[test]
    fn a_working_directory_stays_within() {
        for given in ["/", "/etc", "..", "a/../..", "a/..", "a\\b", "a\0b", "a\nb", &"a".repeat(1025)] {
            assert!(normalise(given).is_err(), "{given:?}");
        }
    }
}
