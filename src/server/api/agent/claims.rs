//! Taking a phase (long poll) and giving it back.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::held::{alive, lease};
use crate::clock::BootInstant;
use crate::protocol::Timestamp;
use crate::protocol::agent::{Claim, ClaimRequest, RunVariable};
use crate::protocol::id::ClaimId;
use crate::protocol::run::Phase;
use crate::server::api::blob::{BlobReader, Owner};
use crate::server::api::hold::hold_for;
use crate::server::api::problem::chain;
use crate::server::api::{ApiError, Code, Json, Path, ServerState, SessionActor, approval, snapshot};
use crate::server::audit::{self, Actor, Particulars};
use crate::server::operations::{self, Besides};
use crate::server::policy::Protected;
use crate::server::queue::{Ending, Event, Topic};
use crate::server::store::runs::claims::{self, Claimant, Taken};
use crate::server::store::runs::{RunRecord, settle, watch};
use crate::server::store::{WriteTransaction, tokens, workspaces};
use crate::server::wake::Waiter;

/// `POST agent/claims`.
pub(super) async fn claim(
    State(state): State<ServerState>,
    actor: SessionActor,
    Json(request): Json<ClaimRequest>,
) -> Result<Response, ApiError> {
    let end = BootInstant::now().after(hold_for(&state, request.hold_seconds));
    if watch::is_draining(&mut *state.store.read().await?, actor.agent).await? != Some(false) {
        hold_drained(&state, &actor, end).await;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    // Before the first look: what comes after it is heard.
    let mut waiter = state.wake.waiter(Topic::Pool(actor.pool));
    loop {
        let attempt = attempt(&state, &actor, request.claim).await;
        if !matches!(attempt, Ok(Attempt::Nothing)) {
            // There may be more, or this agent cannot use the hint: the next one looks.
            waiter.pass_on();
        }
        match attempt? {
            Attempt::Claim(claim) => return Ok(Json(claim).into_response()),
            Attempt::Drained => return Ok(StatusCode::NO_CONTENT.into_response()),
            Attempt::PutAside => continue,
            Attempt::Nothing => {}
        }
        let left = end.remaining();
        if left.is_zero() || ended(&state, &mut waiter, left).await {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
}

/// Waits; says whether the server is about to end.
async fn ended(state: &ServerState, waiter: &mut Waiter, left: std::time::Duration) -> bool {
    tokio::select! {
        () = state.shutdown.cancelled() => true,
        () = waiter.wait(left) => false,
    }
}

/// A drained agent's request is held like any other, or it would ask again at once.
async fn hold_drained(state: &ServerState, actor: &SessionActor, end: BootInstant) {
    let mut waiter = state.wake.waiter(Topic::Agent(actor.agent));
    ended(state, &mut waiter, end.remaining()).await;
}

/// What one look leads to.
enum Attempt {
    Claim(Box<Claim>),
    Nothing,
    /// The drain, or the session's end, came while the request was held.
    Drained,
    /// There was one that is not handed out; there may be others.
    PutAside,
}

async fn attempt(state: &ServerState, actor: &SessionActor, claim: ClaimId) -> Result<Attempt, ApiError> {
    let Some(claimant) = worth_trying(state, actor, claim).await? else { return Ok(Attempt::Nothing) };
    let mut transaction = state.store.begin_write().await?;
    // Both may have come while the request was held; a session that has ended gets no work, and no variables.
    let session = tokens::get(&mut transaction, actor.token).await?;
    let has_ended = session.is_none_or(|session| session.revoked_at.is_some());
    if has_ended || watch::is_draining(&mut transaction, actor.agent).await? != Some(false) {
        return Ok(Attempt::Drained);
    }
    let (record, topics) = match claims::take(&mut transaction, &claimant).await? {
        Taken::Nothing => return Ok(Attempt::Nothing),
        Taken::Refused => {
            let text = "the claim's id was granted before and is not this agent's any more; hint: make a new one";
            return Err(ApiError::new(Code::StaleEpoch, text));
        }
        Taken::Again(record) => (record, None),
        Taken::Phase(record, topics) => (record, Some(topics)),
    };
    let (is_new, phase) = (topics.is_some(), record.standing.phase().unwrap_or(Phase::Plan));
    if is_new && phase == Phase::Apply && !is_approved(state, &mut transaction, &record, claimant.now).await? {
        put_aside(state, transaction, *record, (claim, Ending::NotApproved)).await?;
        return Ok(Attempt::PutAside);
    }
    let answer = match answer(state, &mut transaction, &record, &claimant).await {
        Err(error) if is_new && snapshot::is_unreadable(&error) => {
            tracing::error!(run = %record.id, error = %chain(&error), "a run cannot be handed out");
            put_aside(state, transaction, *record, (claim, Ending::Unreadable)).await?;
            return Ok(Attempt::PutAside);
        }
        answer => answer?,
    };
    if is_new {
        let particulars = Particulars::RunClaim { phase, epoch: record.standing.epoch, claim };
        audit::record(&mut transaction, claimant.now, &actor.actor(), &record.id, &particulars).await?;
        operations::note(&mut transaction, &record, "run claimed", Besides::default());
    }
    state.wake.commit(&state.store, transaction, &topics.unwrap_or_default()).await?;
    Ok(Attempt::Claim(Box::new(answer)))
}

/// Who asks, if there may be something for them.
async fn worth_trying(state: &ServerState, actor: &SessionActor, claim: ClaimId) -> Result<Option<Claimant>, ApiError> {
    let mut connection = state.store.read().await?;
    let now = state.lease_time(&mut connection).await?;
    let claimant = Claimant { agent: actor.agent, pool: actor.pool, claim, now, terms: state.lease_terms() };
    Ok(claims::worth_trying(&mut connection, &claimant).await?.then_some(claimant))
}

async fn is_approved(
    state: &ServerState,
    transaction: &mut WriteTransaction,
    record: &RunRecord,
    now: Timestamp,
) -> Result<bool, ApiError> {
    let permit = lease(record, record.standing.epoch, now).open(Protected::Approval)?;
    approval::is_given(state, &permit, transaction, record).await
}

/// Ends a run that is said to be approved and is not, or that does not open: somebody has written the database behind
/// the server's back, or its key is another. The pool's next run is looked for.
async fn put_aside(
    state: &ServerState,
    mut transaction: WriteTransaction,
    mut record: RunRecord,
    (claim, ending): (ClaimId, Ending),
) -> Result<(), ApiError> {
    let (run, now) = (record.id, state.lease_time(&mut transaction).await?);
    // The agent asks on under the same id.
    claims::withdraw(&mut transaction, claim).await?;
    let topics = settle::happen(&mut transaction, &mut record, Event::Refuse(ending), now).await?;
    let topics = topics.map_err(|refusal| ApiError::new(Code::Conflict, refusal))?;
    let particulars = Particulars::RunRefuse { epoch: record.standing.epoch, reason: ending.word() };
    audit::record(&mut transaction, now, &Actor::Server, &run, &particulars).await?;
    state.wake.commit(&state.store, transaction, &topics).await?;
    tracing::error!(%run, reason = ending.word(), "a run was put aside: was the database changed?");
    Ok(())
}

/// The claim as the agent gets it. Made before the commit: a run that cannot be handed out is not taken.
async fn answer(
    state: &ServerState,
    transaction: &mut WriteTransaction,
    record: &RunRecord,
    claimant: &Claimant,
) -> Result<Claim, ApiError> {
    let lease = lease(record, record.standing.epoch, claimant.now);
    let configuration = snapshot::configuration(&mut *transaction, record).await?;
    let (owner, permit) = (Owner::Configuration(record.workspace), lease.open(Protected::Configuration)?);
    BlobReader::open(state, &permit, owner, configuration.blob).await?;
    let configuration = configuration.configuration;
    let workspace = workspaces::find(&mut *transaction, &record.workspace.to_string()).await?;
    let workspace = workspace.ok_or(ApiError::Fault("a run's workspace is missing"))?;
    let permit = lease.open(Protected::RunVariables)?;
    let variables: Vec<RunVariable> =
        snapshot::open(state, &permit, &mut *transaction, (record, &configuration)).await?;
    let phase = record.standing.phase().unwrap_or(Phase::Plan);
    let from_artifact = phase == Phase::Apply && record.standing.artifact.is_some();
    Ok(Claim {
        claim: claimant.claim,
        run: record.id,
        phase,
        kind: record.standing.kind,
        epoch: record.standing.epoch,
        lease_seconds: state.lease_terms().lease_seconds(),
        auto_apply: record.standing.auto_apply,
        workspace: record.workspace,
        workspace_name: record.workspace_name.clone(),
        configuration_digest: configuration.digest,
        working_directory: configuration.working_directory,
        delivery: workspace.delivery,
        whole_run: workspace.whole_run,
        variables,
        artifact_digest: record.artifact_digest.clone().filter(|_| from_artifact),
        run_directory: record.run_directory.clone().filter(|_| from_artifact),
    })
}

/// `POST agent/claims/{claim}/release`: only before a step was reported.
pub(super) async fn release(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path(claim): Path<ClaimId>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = state.store.begin_write().await?;
    let grant = claims::granted(&mut transaction, claim).await?.filter(|grant| grant.agent == actor.agent);
    let Some(grant) = grant else { return Err(ApiError::not_found("claim", claim)) };
    let mut record = match alive(&mut transaction, &actor, grant.run, grant.epoch).await {
        Ok(record) => record,
        // Given back before, or lost: either way it is not the agent's any more, which is what it wants.
        Err(error) if error.code() == Code::StaleEpoch => return Ok(StatusCode::NO_CONTENT),
        Err(error) => return Err(error),
    };
    let now = state.lease_time(&mut transaction).await?;
    let topics = settle::happen(&mut transaction, &mut record, Event::Release, now).await?;
    let topics = topics.map_err(|refusal| ApiError::new(Code::Conflict, refusal))?;
    claims::note_release(&mut transaction, claim, now).await?;
    let particulars = Particulars::RunRelease { claim, epoch: grant.epoch, state: record.standing.state };
    audit::record(&mut transaction, now, &actor.actor(), &record.id, &particulars).await?;
    operations::note(&mut transaction, &record, "claim given back", Besides::default());
    state.wake.commit(&state.store, transaction, &topics).await?;
    Ok(StatusCode::NO_CONTENT)
}
