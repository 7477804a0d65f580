//! Stand-in.
use super::{AnyConnection, StoreError, During};
use super::row::Columns;
use super::transaction::sql;
use crate::protocol::api::VariableKind;
use crate::protocol::id::{VariableId, WorkspaceId};
use crate::server::policy::Protected;
use crate::server::vault::Context;
#[derive(Debug)]
pub struct VariableRow { pub id: VariableId, pub kind: VariableKind, pub name: String, pub value: Vec<u8>, pub version: i64, pub sensitive: bool }
pub fn context(row: &VariableRow) -> Context { Context::new(Protected::Variable, &row.id, row.version, "value") }
pub async fn list(c: &mut AnyConnection, w: WorkspaceId) -> Result<Vec<VariableRow>, StoreError> {
    sql("SELECT id, kind, name, value, version, sensitive FROM variables WHERE workspace_id = $1").bind(w.to_string()).fetch_all(c).await.during("x")?.iter().map(|row| {
        let kind: String = row.value("kind")?;
        Ok(VariableRow { id: row.parsed("id")?, kind: if kind == "env" { VariableKind::Env } else { VariableKind::Tofu }, name: row.value("name")?, value: row.value("value")?, version: row.value("version")?, sensitive: row.switch("sensitive")? })
    }).collect()
}
