//! Registry integrations.
//!
//! Rule: the secret goes in by its own type and never comes back.

use std::time::Duration;

use reqwest::Method;

use crate::client::{Client, ClientError};
use crate::protocol::api::{
    ConnectionTest, ConnectionTestRequest, List, NewRegistryIntegration, RegistryIntegration, RegistryIntegrationChange,
};

/// Where they are.
const ROUTE: &str = "registry-integrations";
/// A connection test makes several requests of up to ten seconds each.
const TEST: Duration = Duration::from_mins(1);

impl Client {
    /// All registry integrations.
    pub async fn registry_integrations(&self) -> Result<Vec<RegistryIntegration>, ClientError> {
        let list: List<_> = self.call(Method::GET, &[ROUTE], "list the registry integrations").value().await?;
        Ok(list.items)
    }

    /// One, by id or name.
    pub async fn registry_integration(&self, name: &str) -> Result<RegistryIntegration, ClientError> {
        self.call(Method::GET, &[ROUTE, name], format!("read the registry integration `{name}`")).value().await
    }

    /// Makes one.
    pub async fn create_registry_integration(
        &self,
        new: &NewRegistryIntegration,
    ) -> Result<RegistryIntegration, ClientError> {
        let operation = format!("add the registry integration `{}`", new.name);
        self.call(Method::POST, &[ROUTE], operation).json(new).value().await
    }

    /// Changes one, by id or name.
    pub async fn change_registry_integration(
        &self,
        name: &str,
        change: &RegistryIntegrationChange,
    ) -> Result<RegistryIntegration, ClientError> {
        let operation = format!("change the registry integration `{name}`");
        self.call(Method::PATCH, &[ROUTE, name], operation).json(change).value().await
    }

    /// Removes one, by id or name.
    pub async fn delete_registry_integration(&self, name: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, &[ROUTE, name], format!("remove the registry integration `{name}`")).done().await
    }

    /// Tries one against its registry, by id or name.
    pub async fn test_registry_integration(
        &self,
        name: &str,
        request: &ConnectionTestRequest,
    ) -> Result<ConnectionTest, ClientError> {
        let operation = format!("test the registry integration `{name}`");
        self.call(Method::POST, &[ROUTE, name, "test"], operation).hold(TEST).json(request).value().await
    }
}
