//! Workspaces, their variables, their configurations.
//!
//! Rule: a workspace is named by id or name.

use reqwest::Method;

use crate::client::{Client, ClientError, Upload};
use crate::protocol::api::{
    Configuration, List, NewWorkspace, Variable, VariableKind, VariableValue, Workspace, WorkspaceChange,
};

/// Where they are.
const ROUTE: &str = "workspaces";

impl Client {
    /// All workspaces.
    pub async fn workspaces(&self) -> Result<Vec<Workspace>, ClientError> {
        let list: List<_> = self.call(Method::GET, &[ROUTE], "list the workspaces").value().await?;
        Ok(list.items)
    }

    /// One.
    pub async fn workspace(&self, workspace: &str) -> Result<Workspace, ClientError> {
        self.call(Method::GET, &[ROUTE, workspace], format!("read the workspace `{workspace}`")).value().await
    }

    /// Makes one.
    pub async fn create_workspace(&self, new: &NewWorkspace) -> Result<Workspace, ClientError> {
        self.call(Method::POST, &[ROUTE], format!("make the workspace `{}`", new.name)).json(new).value().await
    }

    /// Changes one.
    pub async fn change_workspace(&self, workspace: &str, change: &WorkspaceChange) -> Result<Workspace, ClientError> {
        let operation = format!("change the workspace `{workspace}`");
        self.call(Method::PATCH, &[ROUTE, workspace], operation).json(change).value().await
    }

    /// Removes one that has no state.
    pub async fn delete_workspace(&self, workspace: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, &[ROUTE, workspace], format!("remove the workspace `{workspace}`")).done().await
    }

    /// Removes one with its state; what that knows is forgotten, not destroyed.
    pub async fn forget_workspace(&self, workspace: &str) -> Result<(), ClientError> {
        let operation = format!("remove the workspace `{workspace}` with its state");
        self.call(Method::DELETE, &[ROUTE, workspace], operation).query("force", &true).done().await
    }

    /// Its variables.
    pub async fn variables(&self, workspace: &str) -> Result<Vec<Variable>, ClientError> {
        let operation = format!("list the variables of the workspace `{workspace}`");
        let list: List<_> = self.call(Method::GET, &[ROUTE, workspace, "variables"], operation).value().await?;
        Ok(list.items)
    }

    /// Sets a variable.
    pub async fn set_variable(
        &self,
        workspace: &str,
        kind: VariableKind,
        name: &str,
        value: &VariableValue,
    ) -> Result<(), ClientError> {
        let operation = format!("set the variable `{name}` of the workspace `{workspace}`");
        let route = [ROUTE, workspace, "variables", kind.word(), name];
        self.call(Method::PUT, &route, operation).json(value).done().await
    }

    /// Unsets a variable.
    pub async fn unset_variable(&self, workspace: &str, kind: VariableKind, name: &str) -> Result<(), ClientError> {
        let operation = format!("unset the variable `{name}` of the workspace `{workspace}`");
        self.call(Method::DELETE, &[ROUTE, workspace, "variables", kind.word(), name], operation).done().await
    }

    /// Uploads a packed configuration (`.tar.gz`); `working_directory` is tofu's within it, empty for its top.
    pub async fn upload_configuration(
        &self,
        workspace: &str,
        working_directory: &str,
        packed: impl Into<Upload>,
    ) -> Result<Configuration, ClientError> {
        let operation = format!("upload a configuration to the workspace `{workspace}`");
        self.call(Method::POST, &[ROUTE, workspace, "configurations"], operation)
            .query_if("working_directory", (!working_directory.is_empty()).then_some(working_directory))
            .upload("application/gzip", packed.into())
            .await
            .value()
            .await
    }
}
