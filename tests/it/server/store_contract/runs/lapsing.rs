//! Leases that are over: queued again, quarantined, lost; and what a person makes of it.

use nigari::clock::Clock;
use nigari::protocol::agent::{Failure, Outcome, PlanSummary};
use nigari::protocol::api::{ResolvedAs, StateLock};
use nigari::protocol::id::{BlobId, RunId};
use nigari::protocol::run::{Phase, RunKind, RunState, Step};
use nigari::server::queue::{Event, LeaseTerms};
use nigari::server::store::runs::{self, claims, settle};
use nigari::server::store::state::lock::{self, HeldLock};
use nigari::server::store::{Dialect, Store, blobs};

use super::{LONG, NOON, Place, place};
use crate::server::store_contract::on_both;

on_both! {
    a_lease_that_stands_is_left_alone,
    an_expired_plan_is_queued_again_with_another_epoch,
    three_started_plans_that_expired_are_quarantined_with_a_reason,
    a_claim_that_was_given_back_is_no_try_and_one_that_fell_silent_is,
    nothing_of_an_earlier_plan_is_left,
    an_expired_apply_that_had_not_started_is_queued_again,
    an_expired_apply_that_had_started_is_lost_and_never_dispatched,
    a_lost_run_is_back_when_its_agent_is_heard_of,
    a_resolved_run_frees_its_workspace,
    leases_are_spared_after_an_absence,
    a_lease_that_was_over_before_the_absence_is_not_spared,
    leases_are_judged_by_one_clock,
    a_plans_left_lock_goes_with_its_claim_and_a_started_applys_stays,
}

/// An artifact for the run.
pub(super) async fn upload(place: &Place<'_>, run: RunId) {
    let mut transaction = place.store.begin_write().await.unwrap();
    let mut record = runs::load(&mut transaction, run).await.unwrap().unwrap();
    let before = record.standing;
    let blob = BlobId::generate();
    blobs::begin(&mut transaction, blob, b"key", 1).await.unwrap();
    record.artifact_digest = Some("a".repeat(64));
    record.standing.artifact = Some(blob);
    settle::settle(&mut transaction, &before, &mut record, NOON).await.unwrap();
    transaction.commit().await.unwrap();
}

/// A claimed apply of an approved plan, its `init` reported.
async fn applying(place: &Place<'_>) -> RunId {
    let run = place.run(RunKind::Apply, false).await.id;
    place.claim(NOON).await;
    place.report(run, Phase::Plan, &[Step::Fetch, Step::Init, Step::Plan]).await;
    upload(place, run).await;
    place.happen(run, Event::Finish(Phase::Plan, Outcome::Planned)).await.unwrap();
    place.happen(run, Event::Approve).await.unwrap();
    place.claim(NOON).await;
    place.report(run, Phase::Apply, &[Step::Init]).await;
    run
}

/// One whose apply was started, and then its agent was not heard of.
async fn lost(place: &Place<'_>) -> RunId {
    let run = applying(place).await;
    place.report(run, Phase::Apply, &[Step::Apply]).await;
    assert_eq!(place.lapse(run, NOON + LONG).await, Some(RunState::Lost));
    run
}

async fn a_lease_that_stands_is_left_alone(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await.id;
    place.claim(NOON).await;
    let terms = LeaseTerms::of(std::time::Duration::from_mins(1));
    let deadline = terms.deadline(NOON);
    assert!(claims::overdue(&mut store.read().await.unwrap(), deadline - 1).await.unwrap().is_empty());
    assert_eq!(place.lapse(run, deadline - 1).await, None);
    assert_eq!(claims::overdue(&mut store.read().await.unwrap(), deadline).await.unwrap(), [run]);
    assert_eq!(place.lapse(run, deadline).await, Some(RunState::Queued));
}

async fn an_expired_plan_is_queued_again_with_another_epoch(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await.id;
    let first = place.claim(NOON).await;
    place.report(run, Phase::Plan, &[Step::Fetch, Step::Init, Step::Plan]).await;
    upload(&place, run).await;
    assert_eq!(place.lapse(run, NOON + LONG).await, Some(RunState::Queued));
    let second = place.claim(NOON + LONG).await;
    assert_eq!((second.id, second.standing.epoch), (run, 2));
    assert_eq!(second.artifact_digest, None, "what the first plan made is not what the second will have made");
    assert!(!second.is_held_by(first.agent.unwrap(), 1));
    assert!(second.is_held_by(second.agent.unwrap(), 2));
    assert!(!second.is_held_by(second.agent.unwrap(), 1));
}

async fn three_started_plans_that_expired_are_quarantined_with_a_reason(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await.id;
    for expected in [RunState::Queued, RunState::Queued, RunState::Errored] {
        place.claim(NOON).await;
        place.report(run, Phase::Plan, &[Step::Fetch]).await;
        assert_eq!(place.lapse(run, NOON + LONG).await, Some(expected));
    }
    let Failure { message, hint, .. } = place.load(run).await.standing.ending.unwrap().failure(None);
    assert!(message.contains("3 agents"), "{message}");
    assert!(hint.is_some());
    assert_eq!(place.active().await, None);
}

async fn an_expired_apply_that_had_not_started_is_queued_again(store: &Store) {
    let place = place(store).await;
    let run = applying(&place).await;
    assert_eq!(place.lapse(run, NOON + LONG).await, Some(RunState::ApplyQueued));
    let again = place.claim(NOON + LONG).await;
    assert_eq!((again.standing.epoch, again.artifact_digest.unwrap()), (3, "a".repeat(64)));
}

async fn an_expired_apply_that_had_started_is_lost_and_never_dispatched(store: &Store) {
    let place = place(store).await;
    let run = lost(&place).await;
    assert!(matches!(place.take(&place.claimant(NOON + LONG)).await, claims::Taken::Nothing));
    assert_eq!(place.lapse(run, NOON + 2 * LONG).await, None);
    assert_eq!(place.active().await, Some(run), "the workspace waits for a person");
}

async fn a_lost_run_is_back_when_its_agent_is_heard_of(store: &Store) {
    let place = place(store).await;
    let run = lost(&place).await;
    place.happen(run, Event::Renew).await.unwrap();
    assert_eq!(place.state_of(run).await, RunState::Applying);
    place.happen(run, Event::Finish(Phase::Apply, Outcome::Applied)).await.unwrap();
    assert_eq!(place.load(run).await.finished_at, Some(NOON));
}

async fn a_resolved_run_frees_its_workspace(store: &Store) {
    let place = place(store).await;
    let run = lost(&place).await;
    let next = place.run(RunKind::Destroy, false).await;
    assert_eq!(next.standing.state, RunState::Pending);
    place.happen(run, Event::Resolve(ResolvedAs::NotApplied)).await.unwrap();
    assert_eq!(place.state_of(run).await, RunState::Errored);
    assert_eq!(place.active().await, Some(next.id));
    assert_eq!(place.state_of(next.id).await, RunState::Queued);
}

async fn leases_are_spared_after_an_absence(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await.id;
    place.claim(NOON).await;
    let terms = LeaseTerms::of(std::time::Duration::from_mins(1));
    let mut transaction = store.begin_write().await.unwrap();
    assert_eq!(claims::spare_all(&mut transaction, NOON, NOON + LONG, terms).await.unwrap(), 1);
    transaction.commit().await.unwrap();
    assert_eq!(place.lapse(run, NOON + LONG).await, None);
    assert_eq!(place.lapse(run, terms.deadline(NOON + LONG)).await, Some(RunState::Queued));
}

async fn a_lease_that_was_over_before_the_absence_is_not_spared(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await.id;
    place.claim(NOON).await;
    let terms = LeaseTerms::of(std::time::Duration::from_mins(1));
    let mut transaction = store.begin_write().await.unwrap();
    let since = terms.deadline(NOON);
    assert_eq!(claims::spare_all(&mut transaction, since, NOON + LONG, terms).await.unwrap(), 0);
    transaction.commit().await.unwrap();
    assert_eq!(place.lapse(run, NOON + LONG).await, Some(RunState::Queued));
}

/// A host's clock is that of its one process on SQLite, and nobody's on PostgreSQL.
async fn leases_are_judged_by_one_clock(store: &Store) {
    let (right, wrong) = (Clock::new(), Clock::new());
    let day = std::time::Duration::from_hours(24);
    wrong.advance(day);
    let mut connection = store.read().await.unwrap();
    let first = store.now(&mut connection, &right).await.unwrap();
    let second = store.now(&mut connection, &wrong).await.unwrap();
    let apart = second - first;
    let half_a_day = i64::try_from(day.as_micros() / 2).unwrap();
    match store.dialect() {
        Dialect::Sqlite => assert!(apart > half_a_day, "{apart}"),
        Dialect::Postgres => assert!((0..half_a_day).contains(&apart), "{apart}"),
    }
    // The test's database is on this host, so its clock is about ours.
    assert!((first - right.now()).abs() < half_a_day, "{first}");
}

async fn a_claim_that_was_given_back_is_no_try_and_one_that_fell_silent_is(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await.id;
    for _ in 0..5 {
        place.claim(NOON).await;
        place.happen(run, Event::Release).await.unwrap();
        assert_eq!(place.state_of(run).await, RunState::Queued);
    }
    assert_eq!(place.load(run).await.standing.tries, 0);
    // An archive or an artifact can be what an agent falls over, before it reports a step.
    for expected in [RunState::Queued, RunState::Queued, RunState::Errored] {
        place.claim(NOON).await;
        assert_eq!(place.lapse(run, NOON + LONG).await, Some(expected));
    }
}

async fn nothing_of_an_earlier_plan_is_left(store: &Store) {
    let place = place(store).await;
    let run = place.run(RunKind::Apply, false).await.id;
    place.claim(NOON).await;
    place.report(run, Phase::Plan, &[Step::Fetch, Step::Init, Step::Plan]).await;
    upload(&place, run).await;
    let kept = place.load(run).await;
    assert!(kept.standing.artifact.is_some() && kept.artifact_digest.is_some(), "{kept:?}");
    let mut transaction = store.begin_write().await.unwrap();
    let (before, mut record) = (kept.standing, kept);
    record.plan = Some(PlanSummary { add: 1, ..PlanSummary::default() });
    record.run_directory = Some("/run/nigari/x".to_owned());
    settle::settle(&mut transaction, &before, &mut record, NOON).await.unwrap();
    transaction.commit().await.unwrap();
    place.lapse(run, NOON + LONG).await;
    let record = place.load(run).await;
    assert_eq!((record.plan, record.artifact_digest, record.run_directory), (None, None, None));
    assert_eq!(record.standing.artifact, None);
}

async fn take_lock(place: &Place<'_>, run: RunId) {
    let epoch = place.load(run).await.standing.epoch;
    let lock = StateLock { id: "l'1".to_owned(), who: "me".to_owned(), ..StateLock::default() };
    let mut transaction = place.store.begin_write().await.unwrap();
    let wanted = HeldLock { lock, run: Some((run, epoch)) };
    assert!(lock::take(&mut transaction, place.workspace, &wanted).await.unwrap().is_ok());
    transaction.commit().await.unwrap();
}

async fn is_locked(place: &Place<'_>) -> bool {
    lock::holder(&mut place.store.read().await.unwrap(), place.workspace).await.unwrap().is_some()
}

async fn a_plans_left_lock_goes_with_its_claim_and_a_started_applys_stays(store: &Store) {
    let place = place(store).await;
    let run = applying(&place).await;
    take_lock(&place, run).await;
    assert_eq!(place.lapse(run, NOON + LONG).await, Some(RunState::ApplyQueued));
    assert!(!is_locked(&place).await, "nothing was changed under it");
    place.claim(NOON + LONG).await;
    place.report(run, Phase::Apply, &[Step::Init, Step::Apply]).await;
    take_lock(&place, run).await;
    place.happen(run, Event::Finish(Phase::Apply, Outcome::Failed)).await.unwrap();
    assert!(is_locked(&place).await, "the state may lag behind what exists");
}
