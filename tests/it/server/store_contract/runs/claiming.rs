//! Claims: exclusive, repeatable, within the pool.

use std::collections::BTreeSet;

use nigari::protocol::id::{AgentId, PoolId};
use nigari::protocol::run::{Phase, RunKind, RunState, Step};
use nigari::server::queue::Event;
use nigari::server::store::Store;
use nigari::server::store::runs::claims::{self, Claimant, Taken};
use nigari::server::store::runs::new;

use super::{NOON, another_workspace, place};
use crate::server::store_contract::on_both;

on_both! {
    claim_is_exclusive_under_concurrency,
    a_repeated_claim_gets_the_same_run_and_epoch,
    a_claims_id_is_worth_nothing_to_another_agent,
    a_claims_id_is_worth_nothing_once_the_claim_is_over,
    agents_of_another_pool_get_nothing,
    runs_of_one_workspace_follow_each_other,
    plan_only_runs_wait_for_nobody,
    an_approved_apply_comes_before_a_new_plan,
    a_run_keeps_its_sealed_variables,
}

async fn claim_is_exclusive_under_concurrency(store: &Store) {
    let place = place(store).await;
    for at in 0..6 {
        another_workspace(store, place.pool, &format!("w{at}")).await.run(RunKind::Apply, false).await;
    }
    let attempts = (0..24).map(|_| {
        let (store, claimant) = (store.clone(), place.claimant(NOON));
        tokio::spawn(async move {
            let mut transaction = store.begin_write().await.unwrap();
            let taken = claims::take(&mut transaction, &claimant).await.unwrap();
            transaction.commit().await.unwrap();
            match taken {
                Taken::Phase(record, _) => Some((record.id, record.standing.epoch)),
                _ => None,
            }
        })
    });
    let mut got = Vec::new();
    for attempt in attempts.collect::<Vec<_>>() {
        got.extend(attempt.await.unwrap());
    }
    assert_eq!(got.len(), 6, "{got:?}");
    assert_eq!(got.iter().map(|(run, _)| *run).collect::<BTreeSet<_>>().len(), 6, "{got:?}");
    assert!(got.iter().all(|(_, epoch)| *epoch == 1), "{got:?}");
}

async fn a_repeated_claim_gets_the_same_run_and_epoch(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await;
    let claimant = place.claimant(NOON);
    assert!(matches!(place.take(&claimant).await, Taken::Phase(..)));
    for _ in 0..3 {
        let Taken::Again(again) = place.take(&claimant).await else { panic!("not the same again") };
        assert_eq!((again.id, again.standing.epoch), (run.id, 1));
    }
    let later = Claimant { now: NOON + 50_000_000, ..claimant };
    place.take(&later).await;
    let deadline = place.load(run.id).await.lease_deadline;
    assert_eq!(deadline, Some(later.terms.deadline(later.now)), "the repeat's answer promises a whole lease");
}

async fn a_claims_id_is_worth_nothing_to_another_agent(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await;
    let claimant = place.claimant(NOON);
    place.take(&claimant).await;
    let thief = Claimant { agent: AgentId::generate(), ..claimant };
    assert!(matches!(place.take(&thief).await, Taken::Refused));
    assert_eq!(place.load(run.id).await.agent, Some(claimant.agent));
}

async fn a_claims_id_is_worth_nothing_once_the_claim_is_over(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await;
    let claimant = place.claimant(NOON);
    place.take(&claimant).await;
    place.happen(run.id, Event::Release).await.unwrap();
    assert!(matches!(place.take(&claimant).await, Taken::Refused));
    assert_eq!(place.claim(NOON).await.standing.epoch, 2);
}

async fn agents_of_another_pool_get_nothing(store: &Store) {
    let place = place(store).await;
    place.run(RunKind::Apply, false).await;
    let foreign = Claimant { pool: PoolId::generate(), ..place.claimant(NOON) };
    assert!(matches!(place.take(&foreign).await, Taken::Nothing));
    assert!(!claims::worth_trying(&mut store.read().await.unwrap(), &foreign).await.unwrap());
    assert!(claims::worth_trying(&mut store.read().await.unwrap(), &place.claimant(NOON)).await.unwrap());
}

async fn runs_of_one_workspace_follow_each_other(store: &Store) {
    let place = place(store).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(place.run(RunKind::Apply, false).await.id);
    }
    assert_eq!(place.state_of(waiting[1]).await, RunState::Pending);
    place.happen(waiting[1], Event::Cancel(nigari::server::queue::Wish::Cancel)).await.unwrap();
    assert_eq!(place.active().await, Some(waiting[0]), "a canceled waiting run frees nothing");
    assert_eq!(place.claim(NOON).await.id, waiting[0]);
    assert!(matches!(place.take(&place.claimant(NOON)).await, Taken::Nothing));
    place.happen(waiting[0], Event::Finish(Phase::Plan, nigari::protocol::agent::Outcome::Failed)).await.unwrap();
    assert_eq!(place.active().await, Some(waiting[2]));
    assert_eq!(place.claim(NOON).await.id, waiting[2]);
    place.happen(waiting[2], Event::Finish(Phase::Plan, nigari::protocol::agent::Outcome::Failed)).await.unwrap();
    assert_eq!(place.active().await, None);
}

async fn plan_only_runs_wait_for_nobody(store: &Store) {
    let place = place(store).await;
    let active = place.run(RunKind::Apply, false).await.id;
    let plan = place.run(RunKind::Plan, true).await;
    assert_eq!(plan.standing.state, RunState::Queued);
    assert_eq!(place.active().await, Some(active));
    place.claim(NOON).await;
    assert_eq!(place.claim(NOON).await.id, plan.id);
    place.happen(plan.id, Event::Finish(Phase::Plan, nigari::protocol::agent::Outcome::Failed)).await.unwrap();
    assert_eq!(place.active().await, Some(active));
}

async fn an_approved_apply_comes_before_a_new_plan(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await.id;
    place.claim(NOON).await;
    place.report(run, Phase::Plan, &[Step::Fetch, Step::Init, Step::Plan]).await;
    super::lapsing::upload(&place, run).await;
    place.happen(run, Event::Finish(Phase::Plan, nigari::protocol::agent::Outcome::Planned)).await.unwrap();
    let other = another_workspace(store, place.pool, "other").await;
    other.run(RunKind::Apply, false).await;
    place.happen(run, Event::Approve).await.unwrap();
    let claimed = place.claim(NOON).await;
    assert_eq!((claimed.id, claimed.standing.state, claimed.standing.epoch), (run, RunState::Applying, 2));
}

async fn a_run_keeps_its_sealed_variables(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await.id;
    let sealed = new::variables(&mut store.read().await.unwrap(), run).await.unwrap();
    assert_eq!(sealed, b"sealed\0bytes");
    assert_eq!(place.load(run).await.message, "it's a 'run'");
}
