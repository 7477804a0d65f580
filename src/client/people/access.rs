//! Tokens, agents, audit, who one is, and whether the server lives.
//!
//! Rule: a new token's text is in a secret from the first byte.

use reqwest::Method;

use crate::client::{Client, ClientError};
use crate::protocol::api::{Agent, AgentPool, AuditRecord, CreatedToken, List, NewJoinToken, NewToken, Token, Whoami};
use crate::protocol::id::TokenId;

impl Client {
    /// User tokens.
    pub async fn tokens(&self) -> Result<Vec<Token>, ClientError> {
        let list: List<_> = self.call(Method::GET, &["tokens"], "list the tokens").value().await?;
        Ok(list.items)
    }

    /// Makes a user token.
    pub async fn create_token(&self, new: &NewToken) -> Result<CreatedToken, ClientError> {
        self.call(Method::POST, &["tokens"], format!("make the token `{}`", new.name)).json(new).value().await
    }

    /// Revokes a user token.
    pub async fn revoke_token(&self, token: TokenId) -> Result<(), ClientError> {
        self.call(Method::DELETE, &["tokens", &token.to_string()], format!("revoke {token}")).done().await
    }

    /// Join tokens.
    pub async fn join_tokens(&self) -> Result<Vec<Token>, ClientError> {
        let list: List<_> = self.call(Method::GET, &["join-tokens"], "list the join tokens").value().await?;
        Ok(list.items)
    }

    /// Makes a join token.
    pub async fn create_join_token(&self, new: &NewJoinToken) -> Result<CreatedToken, ClientError> {
        self.call(Method::POST, &["join-tokens"], format!("make the join token `{}`", new.name)).json(new).value().await
    }

    /// Revokes a join token.
    pub async fn revoke_join_token(&self, token: TokenId) -> Result<(), ClientError> {
        self.call(Method::DELETE, &["join-tokens", &token.to_string()], format!("revoke {token}")).done().await
    }

    /// Agents.
    pub async fn agents(&self) -> Result<Vec<Agent>, ClientError> {
        let list: List<_> = self.call(Method::GET, &["agents"], "list the agents").value().await?;
        Ok(list.items)
    }

    /// Lets an agent finish what it runs and take nothing new; by id or name.
    pub async fn drain_agent(&self, agent: &str) -> Result<(), ClientError> {
        self.call(Method::POST, &["agents", agent, "drain"], format!("drain the agent `{agent}`")).done().await
    }

    /// Lets an agent that was drained take runs again; by id or name.
    pub async fn resume_agent(&self, agent: &str) -> Result<(), ClientError> {
        self.call(Method::DELETE, &["agents", agent, "drain"], format!("resume the agent `{agent}`")).done().await
    }

    /// Removes an agent, by id or name: its identity and session are not taken any more. With `force` also one that
    /// holds a run.
    pub async fn remove_agent(&self, agent: &str, force: bool) -> Result<(), ClientError> {
        let call = self.call(Method::DELETE, &["agents", agent], format!("remove the agent `{agent}`"));
        call.query("force", &force).done().await
    }

    /// Agent pools.
    pub async fn agent_pools(&self) -> Result<Vec<AgentPool>, ClientError> {
        let list: List<_> = self.call(Method::GET, &["agent-pools"], "list the agent pools").value().await?;
        Ok(list.items)
    }

    /// Audit records after the one with that sequence; give `next` as `after` for more.
    pub async fn audit(&self, after: Option<&str>, limit: Option<u32>) -> Result<List<AuditRecord>, ClientError> {
        self.call(Method::GET, &["audit"], "read the audit records")
            .query_if("after", after)
            .query_if("limit", limit)
            .value()
            .await
    }

    /// Who the token belongs to.
    pub async fn whoami(&self) -> Result<Whoami, ClientError> {
        self.call(Method::GET, &["whoami"], "ask who you are").value().await
    }

    /// Whether the server's process lives.
    pub async fn healthz(&self) -> Result<(), ClientError> {
        self.plain_call(Method::GET, "/", &["healthz"], "ask for health".to_owned()).done().await
    }

    /// What time it is at the server, by the `Date` of an answer (RFC 9110, to the second), if it or a proxy says so.
    pub async fn server_date(&self) -> Result<Option<String>, ClientError> {
        let answer = self.plain_call(Method::GET, "/", &["healthz"], "ask for the time".to_owned()).send().await?;
        let date = answer.response.headers().get(reqwest::header::DATE);
        Ok(date.and_then(|date| date.to_str().ok()).map(str::to_owned))
    }

    /// Whether the server can work: database and key are there.
    pub async fn readyz(&self) -> Result<(), ClientError> {
        self.plain_call(Method::GET, "/", &["readyz"], "ask whether it is ready".to_owned()).done().await
    }
}
