//! What the server wants of an agent besides claims: cancel, kill, drain. Long poll.
//!
//! Rule: `next` is a number made from what is wanted, so that any replica, also after a restart, knows whether the agent
//! has heard it. 0 is *nothing*.

use axum::extract::State;
use serde::Deserialize;

use crate::clock::BootInstant;
use crate::protocol::agent::WatchAnswer;
use crate::server::api::hold::{HOLD, hold_for};
use crate::server::api::{ApiError, Code, Json, Query, ServerState, SessionActor, blob};
use crate::server::queue::{Topic, Wish};
use crate::server::store::runs::watch;

/// The query of a watch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchQuery {
    #[serde(default)]
    after: i64,
}

/// `GET agent/watch?after=N`.
pub(super) async fn watch(
    State(state): State<ServerState>,
    actor: SessionActor,
    Query(query): Query<WatchQuery>,
) -> Result<Json<WatchAnswer>, ApiError> {
    let end = BootInstant::now().after(hold_for(&state, HOLD));
    let mut waiter = state.wake.waiter(Topic::Agent(actor.agent));
    loop {
        let answer = wanted(&state, &actor).await?;
        let left = end.remaining();
        if answer.next != query.after || left.is_zero() {
            return Ok(Json(answer));
        }
        tokio::select! {
            () = state.shutdown.cancelled() => return Ok(Json(answer)),
            () = waiter.wait(left) => {}
        }
    }
}

async fn wanted(state: &ServerState, actor: &SessionActor) -> Result<WatchAnswer, ApiError> {
    let mut connection = state.store.read().await?;
    let wishes = watch::wishes(&mut connection, actor.agent).await?;
    // One that was removed while it asked is told that, and not to drain.
    let drain = watch::is_draining(&mut connection, actor.agent).await?;
    let drain = drain.ok_or_else(|| ApiError::new(Code::Unauthorized, "the agent was removed"))?;
    let with = |wish| wishes.iter().filter(|(_, wanted)| *wanted == wish).map(|(run, _)| *run).collect();
    Ok(WatchAnswer { next: number_of(&wishes, drain), cancel: with(Wish::Cancel), kill: with(Wish::Kill), drain })
}

fn number_of(wishes: &[(crate::protocol::id::RunId, Wish)], drain: bool) -> i64 {
    if wishes.is_empty() && !drain {
        return 0;
    }
    let digest = blob::digest_of(format!("{wishes:?} {drain}").as_bytes());
    let number = i64::from_str_radix(digest.get(..15).unwrap_or_default(), 16).unwrap_or(1);
    number.max(1)
}

#[cfg(test)]
mod tests {
    use super::number_of;
    use crate::protocol::id::RunId;
    use crate::server::queue::Wish;

    #[test]
    fn each_wish_has_its_own_number_and_nothing_has_zero() {
        let run = RunId::generate();
        let numbers = [
            number_of(&[], false),
            number_of(&[], true),
            number_of(&[(run, Wish::Cancel)], false),
            number_of(&[(run, Wish::Kill)], false),
            number_of(&[(run, Wish::Kill)], true),
        ];
        assert_eq!(numbers[0], 0);
        for (at, number) in numbers.iter().enumerate() {
            assert!(!numbers[at + 1..].contains(number), "{numbers:?}");
        }
    }
}
