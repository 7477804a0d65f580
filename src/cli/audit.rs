//! `nigari audit …`
//!
//! Rule: records are shown as they are; nothing here interprets them.

use clap::Subcommand;

use super::error::CommandError;
use super::screen::time;
use super::session::Session;

/// Verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List audit records, oldest first
    List {
        /// Only records after this sequence number
        #[arg(long, value_name = "N")]
        after: Option<u64>,
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
    },
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CommandError> {
    let Verb::List { after, limit } = verb;
    let after = after.map(|after| after.to_string());
    let list = session.client.audit(after.as_deref(), limit).await?;
    let heading = &["SEQUENCE", "AT", "ACTOR", "ACTION", "RESOURCE", "PARTICULARS"];
    session.screen.list(&list.items, heading, |record| {
        vec![
            record.sequence.to_string(),
            time(record.at),
            record.actor.clone(),
            record.action.clone(),
            record.resource.clone(),
            record.particulars.to_string(),
        ]
    })?;
    if let Some(next) = list.next {
        session.screen.note(format_args!("more: `nigari audit list --after {next}`"));
    }
    Ok(())
}
