//! What the very first start makes: the state directory, the pool `default`, the first tokens.
//!
//! Rule: `admin.token` and `join.token` are written 0600 before their digests are committed, so that a crash in
//! between leaves two worthless files and the next start makes both anew; once there are tokens, no start makes any.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::ServerError;
use super::audit::{self, Actor, Particulars};
use super::policy::Role;
use super::store::agents::DEFAULT_POOL;
use super::store::{Store, WriteTransaction, agents, facts, tokens};
use super::vault::{TokenTerms, Vault};
use crate::clock::Clock;
use crate::protocol::api::{AgentPool, TokenKind};
use crate::protocol::id::PoolId;
use crate::secret::Secret;

const ADMIN_TOKEN: &str = "admin.token";
const JOIN_TOKEN: &str = "join.token";
/// Set in the transaction of the first start.
const STARTED: &str = "first_start";

/// Makes the state directory, 0700, unless it is there.
pub(super) fn make_state_directory(path: &Path) -> Result<(), ServerError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| ServerError::StateDirectory { path: path.to_owned(), source })
}

/// Refuses to put an empty database in the place of one that has gone: what its key has sealed and whom its tokens let
/// in is in that one.
pub(super) fn must_be_the_first(state_directory: &Path, database: &Path) -> Result<(), ServerError> {
    let left = ["root.key", ADMIN_TOKEN, JOIN_TOKEN, "nigari.db-wal"].map(|name| state_directory.join(name));
    match left.into_iter().find(|path| path.symlink_metadata().is_ok()) {
        Some(found) => Err(ServerError::DatabaseGone { found, database: database.to_owned() }),
        None => Ok(()),
    }
}

/// Makes the default pool and the first tokens, unless an earlier start has.
pub(super) async fn make_first_things(
    store: &Store,
    vault: &Vault,
    clock: &Clock,
    state_directory: &Path,
) -> Result<(), ServerError> {
    let mut transaction = store.begin_write().await?;
    if facts::get(&mut transaction, STARTED).await?.is_some() {
        return Ok(());
    }
    let now = clock.now();
    let pool = AgentPool { id: PoolId::generate(), name: DEFAULT_POOL.to_owned() };
    agents::insert_pool(&mut transaction, &pool, now).await?;
    let admin = make_token(&mut transaction, vault, now, TokenKind::User, None).await?;
    let join = make_token(&mut transaction, vault, now, TokenKind::Join, Some(pool.id)).await?;
    let (admin_file, join_file) = (state_directory.join(ADMIN_TOKEN), state_directory.join(JOIN_TOKEN));
    write_token(&admin_file, &admin)?;
    write_token(&join_file, &join)?;
    facts::insert(&mut transaction, STARTED, &now.to_be_bytes()).await?;
    transaction.commit().await?;
    let (admin_token, join_token) = (admin_file.display(), join_file.display());
    let state_directory = state_directory.display();
    tracing::info!(%state_directory, %admin_token, %join_token, "the first start with this database: tokens were made");
    Ok(())
}

async fn make_token(
    transaction: &mut WriteTransaction,
    vault: &Vault,
    now: i64,
    kind: TokenKind,
    pool: Option<PoolId>,
) -> Result<Secret, ServerError> {
    let (name, role) = if kind == TokenKind::User { ("admin", Role::Admin.word()) } else { ("first start", "") };
    let issued = vault.issue_token(&TokenTerms { kind, name, role, expires_at: None, pool, agent: None })?;
    let row = tokens::TokenRow {
        id: issued.id,
        kind,
        name: name.to_owned(),
        role: role.to_owned(),
        digest: issued.digest,
        created_by: Actor::Server.to_string(),
        created_at: now,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        uses_left: None,
        pool_id: pool,
        agent_id: None,
    };
    tokens::insert(transaction, &row).await?;
    let particulars = Particulars::TokenCreate { kind: kind.word(), name: row.name, expires_at: None };
    audit::record(transaction, now, &Actor::Server, &row.id, &particulars).await?;
    Ok(issued.text)
}

fn write_token(path: &Path, token: &Secret) -> Result<(), ServerError> {
    let failed = |source| ServerError::FirstToken { path: path.to_owned(), source };
    // What is there is of a start that did not come to its end, or of another database.
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(token.expose().as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed)?;
    file.sync_all().map_err(failed)
}
