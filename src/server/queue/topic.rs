//! What a long poll may wait for.
//!
//! Rule: a topic only says *look again*; what happened is read from the database.

use std::fmt;
use std::str::FromStr;

use crate::protocol::id::{AgentId, PoolId, RunId};

/// Something that waiters wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// There may be a phase to claim in this pool.
    Pool(PoolId),
    /// Something was added to this run: an event or log bytes.
    Run(RunId),
    /// There is a wish for this agent: cancel, kill, drain.
    Agent(AgentId),
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(id) => id.fmt(f),
            Self::Run(id) => id.fmt(f),
            Self::Agent(id) => id.fmt(f),
        }
    }
}

/// A text that names no topic.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` names nothing that can be waited for")]
pub struct UnknownTopic(String);

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        text.parse()
            .map(Self::Pool)
            .or_else(|_| text.parse().map(Self::Run))
            .or_else(|_| text.parse().map(Self::Agent))
            .map_err(|_| UnknownTopic(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::Topic;
    use crate::protocol::id::{AgentId, PoolId, RunId};

    #[test]
    fn a_topic_survives_its_text() {
        for topic in [Topic::Pool(PoolId::generate()), Topic::Run(RunId::generate()), Topic::Agent(AgentId::generate())]
        {
            assert_eq!(topic.to_string().parse::<Topic>(), Ok(topic));
        }
        assert!("tok-0199abcdef0199abcdef0199abcdef01".parse::<Topic>().is_err());
    }
}
