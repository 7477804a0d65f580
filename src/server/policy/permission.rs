//! Permissions: `<resource>:<action>`, one word each, named nowhere else.

macro_rules! permissions {
    ($($name:ident $word:literal,)*) => {
        /// What a user token may be allowed to do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Permission {
            $(#[doc = concat!("`", $word, "`")] $name,)*
        }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// `<resource>:<action>`.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

permissions! {
    RegistryIntegrationRead "registry_integration:read",
    RegistryIntegrationWrite "registry_integration:write",
    RegistryIntegrationTest "registry_integration:test",
    WorkspaceRead "workspace:read",
    WorkspaceWrite "workspace:write",
    VariableRead "variable:read",
    VariableWrite "variable:write",
    ConfigurationUpload "configuration:upload",
    RunRead "run:read",
    RunCreate "run:create",
    RunApprove "run:approve",
    RunCancel "run:cancel",
    RunResolve "run:resolve",
    LogRead "log:read",
    StateRead "state:read",
    StateWrite "state:write",
    TokenRead "token:read",
    TokenWrite "token:write",
    JoinTokenRead "join_token:read",
    JoinTokenWrite "join_token:write",
    AgentRead "agent:read",
    AgentWrite "agent:write",
    AuditRead "audit:read",
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}
