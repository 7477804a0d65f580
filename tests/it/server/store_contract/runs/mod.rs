//! What runs consist of, in the store.

mod chunks;
mod claiming;
mod lapsing;
mod versions;

use std::time::Duration;

use nigari::protocol::api::{AgentPool, Configuration};
use nigari::protocol::delivery::DeliveryChoice;
use nigari::protocol::id::{AgentId, BlobId, ClaimId, ConfigurationId, PoolId, RequestId, RunId, WorkspaceId};
use nigari::protocol::run::{Phase, RunKind, RunState, Step};
use nigari::server::queue::{Event, InvalidTransition, LeaseTerms};
use nigari::server::store::configurations::ConfigurationRecord;
use nigari::server::store::runs::claims::{Claimant, Taken};
use nigari::server::store::runs::new::{self, NewRunRecord};
use nigari::server::store::runs::{self, RunRecord, settle, steps};
use nigari::server::store::workspaces::{self, WorkspaceRow};
use nigari::server::store::{Store, agents, blobs, configurations};

/// A moment; tests count from it.
const NOON: i64 = 1_000_000_000_000;
/// Longer than any lease with its grace.
const LONG: i64 = 3_600_000_000;

/// A pool with one workspace and its configuration.
struct Place<'a> {
    store: &'a Store,
    pool: PoolId,
    workspace: WorkspaceId,
    configuration: ConfigurationId,
}

async fn place(store: &Store) -> Place<'_> {
    let mut transaction = store.begin_write().await.unwrap();
    let pool = AgentPool { id: PoolId::generate(), name: "default".to_owned() };
    agents::insert_pool(&mut transaction, &pool, 1).await.unwrap();
    transaction.commit().await.unwrap();
    another_workspace(store, pool.id, "net").await
}

async fn another_workspace<'a>(store: &'a Store, pool: PoolId, name: &str) -> Place<'a> {
    let mut transaction = store.begin_write().await.unwrap();
    let row = WorkspaceRow {
        id: WorkspaceId::generate(),
        name: name.to_owned(),
        description: String::new(),
        pool_id: pool,
        pool: "default".to_owned(),
        auto_apply: false,
        delivery: DeliveryChoice::Auto,
        whole_run: false,
        created_at: 1,
        revision: 1,
        active_run: None,
        state_lock: None,
        state_serial: None,
    };
    workspaces::insert(&mut transaction, &row).await.unwrap();
    let blob = BlobId::generate();
    blobs::begin(&mut transaction, blob, b"key", 1).await.unwrap();
    let configuration = Configuration {
        id: ConfigurationId::generate(),
        workspace: row.id,
        digest: "d".repeat(64),
        bytes: 1,
        working_directory: String::new(),
        created_at: 1,
    };
    let record = ConfigurationRecord { configuration, blob };
    configurations::insert(&mut transaction, &record).await.unwrap();
    transaction.commit().await.unwrap();
    Place { store, pool, workspace: row.id, configuration: record.configuration.id }
}

impl Place<'_> {
    async fn run(&self, kind: RunKind, auto_apply: bool) -> RunRecord {
        let new = NewRunRecord {
            id: RunId::generate(),
            workspace: self.workspace,
            configuration: self.configuration,
            kind,
            auto_apply,
            message: "it's a 'run'".to_owned(),
            variables: b"sealed\0bytes".to_vec(),
            created_by: "somebody".to_owned(),
            created_at: NOON,
        };
        let mut transaction = self.store.begin_write().await.unwrap();
        let (record, _) = new::insert(&mut transaction, &new).await.unwrap().unwrap();
        transaction.commit().await.unwrap();
        record
    }

    fn claimant(&self, now: i64) -> Claimant {
        let terms = LeaseTerms::of(Duration::from_mins(1));
        Claimant { agent: AgentId::generate(), pool: self.pool, claim: ClaimId::generate(), now, terms }
    }

    async fn take(&self, claimant: &Claimant) -> Taken {
        let mut transaction = self.store.begin_write().await.unwrap();
        let taken = runs::claims::take(&mut transaction, claimant).await.unwrap();
        transaction.commit().await.unwrap();
        taken
    }

    /// A new agent takes what there is.
    async fn claim(&self, now: i64) -> RunRecord {
        match self.take(&self.claimant(now)).await {
            Taken::Phase(record, _) => *record,
            other => panic!("{other:?}"),
        }
    }

    async fn load(&self, run: RunId) -> RunRecord {
        runs::load(&mut self.store.read().await.unwrap(), run).await.unwrap().unwrap()
    }

    async fn state_of(&self, run: RunId) -> RunState {
        self.load(run).await.standing.state
    }

    async fn happen(&self, run: RunId, event: Event) -> Result<(), InvalidTransition> {
        let mut transaction = self.store.begin_write().await.unwrap();
        let mut record = runs::load(&mut transaction, run).await.unwrap().unwrap();
        let topics = settle::happen(&mut transaction, &mut record, event, NOON).await.unwrap();
        if let Event::Report(phase, step) = event {
            steps::add(&mut transaction, &record, (phase, step), RequestId::generate(), NOON).await.unwrap();
        }
        transaction.commit().await.unwrap();
        topics.map(drop)
    }

    async fn report(&self, run: RunId, phase: Phase, reported: &[Step]) {
        for &step in reported {
            self.happen(run, Event::Report(phase, step)).await.unwrap();
        }
    }

    /// Lets the run lapse if its lease is over.
    async fn lapse(&self, run: RunId, now: i64) -> Option<RunState> {
        let mut transaction = self.store.begin_write().await.unwrap();
        let lapsed = runs::claims::lapse(&mut transaction, run, now).await.unwrap();
        transaction.commit().await.unwrap();
        lapsed.map(|(record, _)| record.standing.state)
    }

    async fn active(&self) -> Option<RunId> {
        let id = self.workspace.to_string();
        workspaces::find(&mut self.store.read().await.unwrap(), &id).await.unwrap().unwrap().active_run
    }
}
