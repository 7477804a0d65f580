//! Stand-in.
use super::{AnyConnection, StoreError, During};
use super::row::Columns;
use super::transaction::sql;
use crate::protocol::id::IntegrationId;
use crate::protocol::registry_address::RegistryAddress;
use crate::server::policy::Protected;
use crate::server::vault::Context;
#[derive(Debug)]
pub struct IntegrationRow { pub id: IntegrationId, pub name: String, pub address: RegistryAddress, pub username: String, pub ca_pem: Option<String>, pub secret: Vec<u8>, pub secret_version: i64, pub disabled: bool, pub export_credentials: bool }
impl IntegrationRow { pub fn context(&self) -> Context { Context::new(Protected::RegistrySecret, &self.id, self.secret_version, "secret").sent_to(&self.address, &self.username, self.ca_pem.as_deref()) } }
pub async fn list(c: &mut AnyConnection) -> Result<Vec<IntegrationRow>, StoreError> {
    sql("SELECT * FROM registry_integrations ORDER BY name").fetch_all(c).await.during("x")?.iter().map(|row| {
        let (h, p): (String, String) = (row.value("host")?, row.value("path")?);
        let a = if p.is_empty() { h } else { format!("{h}/{p}") };
        Ok(IntegrationRow { id: row.parsed("id")?, name: row.value("name")?, address: a.parse().map_err(|e| StoreError::Corrupt { column: "host", source: Box::new(e) })?, username: row.value("username")?, ca_pem: row.value("ca_pem")?, secret: row.value("secret")?, secret_version: row.value("secret_version")?, disabled: row.switch("disabled")?, export_credentials: row.switch("export_credentials")? })
    }).collect()
}
