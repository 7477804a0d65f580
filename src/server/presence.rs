//! Who was heard of, when: agents and tokens.
//!
//! Rule: being heard of costs no commit. It is kept in memory and written down in one transaction now and then, so what
//! the database says may be a minute old, and a crash loses no more than that.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::protocol::Timestamp;
use crate::protocol::id::{AgentId, TokenId};
use crate::server::store::agents::AgentRow;
use crate::server::store::{Store, StoreError, agents, tokens};

/// How often it is written down who was heard of.
pub const WRITTEN_EVERY: Duration = Duration::from_secs(30);
const MINUTE: i64 = 60 * 1_000_000;

/// Who was heard of since the last time that it was written down, and agents ever since the start.
#[derive(Debug, Default)]
pub struct Presence {
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    agents: HashMap<AgentId, Timestamp>,
    unwritten_agents: HashMap<AgentId, Timestamp>,
    unwritten_tokens: HashMap<TokenId, Timestamp>,
}

impl Presence {
    /// An agent made a request.
    pub fn agent_seen(&self, agent: AgentId, now: Timestamp) {
        let mut heard = self.heard();
        heard.agents.insert(agent, now);
        heard.unwritten_agents.insert(agent, now);
    }

    /// A token was used.
    pub fn token_used(&self, token: TokenId, now: Timestamp) {
        self.heard().unwritten_tokens.insert(token, now - now.rem_euclid(MINUTE));
    }

    /// When an agent was last heard of, by this process or, as far as that is written down, by another.
    pub fn last_heard(&self, agent: &AgentRow) -> Timestamp {
        self.heard().agents.get(&agent.id).map_or(agent.last_seen_at, |at| agent.last_seen_at.max(*at))
    }

    /// When a token was last used, if that is not written down yet; to the minute.
    pub fn token_last_used(&self, token: TokenId) -> Option<Timestamp> {
        self.heard().unwritten_tokens.get(&token).copied()
    }

    /// Writes down who was heard of since the last time.
    ///
    /// # Errors
    /// When the database cannot; then it is tried again the next time.
    pub async fn write_down(&self, store: &Store) -> Result<(), StoreError> {
        let (agents, tokens) = {
            let heard = self.heard();
            (heard.unwritten_agents.clone(), heard.unwritten_tokens.clone())
        };
        if agents.is_empty() && tokens.is_empty() {
            return Ok(());
        }
        let mut transaction = store.begin_write().await?;
        for (agent, at) in &agents {
            agents::set_last_seen(&mut transaction, *agent, *at).await?;
        }
        for (token, at) in &tokens {
            tokens::set_last_used(&mut transaction, *token, *at).await?;
        }
        transaction.commit().await?;
        let mut heard = self.heard();
        heard.unwritten_agents.retain(|agent, at| agents.get(agent) != Some(at));
        heard.unwritten_tokens.retain(|token, at| tokens.get(token) != Some(at));
        Ok(())
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
