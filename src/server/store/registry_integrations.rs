//! Registry integrations, their secrets sealed.

use sqlx::any::AnyRow;

use super::row::Columns;
use super::transaction::sql;
use super::{AnyConnection, During, StoreError, WriteTransaction};
use crate::protocol::api::ConnectionTest;
use crate::protocol::id::IntegrationId;
use crate::protocol::registry_address::RegistryAddress;

/// A registry integration as it is kept.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "switches that do not depend on each other")]
pub struct IntegrationRow {
    /// Its id.
    pub id: IntegrationId,
    /// Its name.
    pub name: String,
    /// Host and path.
    pub address: RegistryAddress,
    /// User name.
    pub username: String,
    /// Whether runs get the credential.
    pub export_credentials: bool,
    /// Whether the delivery `file` may be used for it.
    pub permit_file: bool,
    /// Whether it may stay for plan and apply.
    pub permit_whole_run: bool,
    /// Whether it is out of use.
    pub disabled: bool,
    /// Private CA, PEM.
    pub ca_pem: Option<String>,
    /// The token service that the secret is held to.
    pub token_service: Option<String>,
    /// The sealed secret.
    pub secret: Vec<u8>,
    /// Counts its secrets.
    pub secret_version: i64,
    /// When the secret was set.
    pub secret_set_at: i64,
    /// When it was made.
    pub created_at: i64,
    /// When it was changed.
    pub updated_at: i64,
    /// Counts its changes.
    pub revision: i64,
    /// The last connection test since the last change of what it depends on.
    pub last_test: Option<ConnectionTest>,
}

impl IntegrationRow {
    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let (host, path): (String, String) = (row.value("host")?, row.value("path")?);
        let address = if path.is_empty() { host } else { format!("{host}/{path}") };
        Ok(Self {
            id: row.parsed("id")?,
            name: row.value("name")?,
            address: address
                .parse()
                .map_err(|source| StoreError::Corrupt { column: "host", source: Box::new(source) })?,
            username: row.value("username")?,
            export_credentials: row.switch("export_credentials")?,
            permit_file: row.switch("permit_file")?,
            permit_whole_run: row.switch("permit_whole_run")?,
            disabled: row.switch("disabled")?,
            ca_pem: row.value("ca_pem")?,
            token_service: row.value("token_service")?,
            secret: row.value("secret")?,
            secret_version: row.value("secret_version")?,
            secret_set_at: row.value("secret_set_at")?,
            created_at: row.value("created_at")?,
            updated_at: row.value("updated_at")?,
            revision: row.value("revision")?,
            last_test: row.json_option("last_test")?,
        })
    }

    fn last_test_json(&self) -> Result<Option<String>, StoreError> {
        let json = self.last_test.as_ref().map(serde_json::to_string).transpose();
        json.map_err(|source| StoreError::Corrupt { column: "last_test", source: Box::new(source) })
    }
}

/// Every integration, by name.
///
/// # Errors
/// When they cannot be read.
pub async fn list(connection: &mut AnyConnection) -> Result<Vec<IntegrationRow>, StoreError> {
    let rows = sql("SELECT * FROM registry_integrations ORDER BY name")
        .fetch_all(connection)
        .await
        .during("list registry integrations")?;
    rows.iter().map(IntegrationRow::read).collect()
}

/// The integration of an id or, failing that, a name.
///
/// # Errors
/// When it cannot be read.
pub async fn find(connection: &mut AnyConnection, id_or_name: &str) -> Result<Option<IntegrationRow>, StoreError> {
    sql("SELECT * FROM registry_integrations WHERE id = $1 OR name = $1")
        .bind(id_or_name)
        .fetch_optional(connection)
        .await
        .during("read a registry integration")?
        .map(|row| IntegrationRow::read(&row))
        .transpose()
}

/// The integration of exactly this host and path.
///
/// # Errors
/// When it cannot be read.
pub async fn at(
    connection: &mut AnyConnection,
    address: &RegistryAddress,
) -> Result<Option<IntegrationRow>, StoreError> {
    sql("SELECT * FROM registry_integrations WHERE host = $1 AND path = $2")
        .bind(address.host())
        .bind(address.path().unwrap_or_default())
        .fetch_optional(connection)
        .await
        .during("look for a registry integration of an address")?
        .map(|row| IntegrationRow::read(&row))
        .transpose()
}

/// Keeps a new integration.
///
/// # Errors
/// When it cannot be written; [`StoreError::is_duplicate`] when name or address are taken.
pub async fn insert(transaction: &mut WriteTransaction, row: &IntegrationRow) -> Result<(), StoreError> {
    sql(
        "INSERT INTO registry_integrations (name, host, path, username, export_credentials, disabled, ca_pem, secret, \
         secret_version, secret_set_at, created_at, updated_at, revision, last_test, permit_file, permit_whole_run, \
         token_service, id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
    )
    .bind(row.name.as_str())
    .bind(row.address.host())
    .bind(row.address.path().unwrap_or_default())
    .bind(row.username.as_str())
    .bind(i64::from(row.export_credentials))
    .bind(i64::from(row.disabled))
    .bind(row.ca_pem.as_deref())
    .bind(row.secret.as_slice())
    .bind(row.secret_version)
    .bind(row.secret_set_at)
    .bind(row.created_at)
    .bind(row.updated_at)
    .bind(row.revision)
    .bind(row.last_test_json()?)
    .bind(i64::from(row.permit_file))
    .bind(i64::from(row.permit_whole_run))
    .bind(row.token_service.as_deref())
    .bind(row.id.to_string())
    .execute(&mut **transaction)
    .await
    .during("write a registry integration")?;
    Ok(())
}

/// Writes an integration that is there already.
///
/// # Errors
/// When it cannot be written; [`StoreError::is_duplicate`] when name or address are taken.
pub async fn update(transaction: &mut WriteTransaction, row: &IntegrationRow) -> Result<(), StoreError> {
    sql("UPDATE registry_integrations SET name = $1, host = $2, path = $3, username = $4, export_credentials = $5, \
         disabled = $6, ca_pem = $7, secret = $8, secret_version = $9, secret_set_at = $10, updated_at = $11, \
         revision = $12, last_test = $13, permit_file = $14, permit_whole_run = $15, token_service = $16 WHERE id = $17")
    .bind(row.name.as_str())
    .bind(row.address.host())
    .bind(row.address.path().unwrap_or_default())
    .bind(row.username.as_str())
    .bind(i64::from(row.export_credentials))
    .bind(i64::from(row.disabled))
    .bind(row.ca_pem.as_deref())
    .bind(row.secret.as_slice())
    .bind(row.secret_version)
    .bind(row.secret_set_at)
    .bind(row.updated_at)
    .bind(row.revision)
    .bind(row.last_test_json()?)
    .bind(i64::from(row.permit_file))
    .bind(i64::from(row.permit_whole_run))
    .bind(row.token_service.as_deref())
    .bind(row.id.to_string())
    .execute(&mut **transaction)
    .await
    .during("change a registry integration")?;
    Ok(())
}

/// Removes an integration and its secret.
///
/// # Errors
/// When it cannot be written.
pub async fn delete(transaction: &mut WriteTransaction, id: IntegrationId) -> Result<(), StoreError> {
    sql("DELETE FROM registry_integrations WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .during("remove a registry integration")?;
    Ok(())
}
