//! Every call that the main path needs, against the real server: both sides mean the same by the wire's words.

use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use nigari::client::{AgentClient, Client, ClientOptions, ErrorKind, LeasedRun, RunFilter, TokenSource};
use nigari::protocol::agent::{
    ClaimRequest, CredentialsRequest, Finish, NextAction, Outcome, SessionRequest, StepReport,
};
use nigari::protocol::api::{
    NewJoinToken, NewRegistryIntegration, NewRun, NewToken, NewWorkspace, StateLock, VariableKind, VariableValue,
};
use nigari::protocol::delivery::DeliveryChoice;
use nigari::protocol::id::{ClaimId, RequestId};
use nigari::protocol::run::{Phase, RunKind, RunState, Step};
use nigari::secret::Secret;
use nigari::server::Server;
use nigari::settings::server::ServerSettings;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A real server on a free port.
struct RealServer {
    directory: TempDir,
    url: String,
    _ends: DropGuard,
}

impl RealServer {
    async fn start() -> Self {
        nigari::tls::install_provider();
        let directory = tempfile::tempdir().unwrap();
        let settings = ServerSettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            state_directory: directory.path().to_owned(),
            hold: Duration::from_secs(2),
            ..ServerSettings::default()
        };
        let server = Server::bind(settings).await.unwrap();
        let url = format!("http://{}", server.address());
        let shutdown = CancellationToken::new();
        tokio::spawn(server.run(shutdown.clone()));
        Self { directory, url, _ends: shutdown.drop_guard() }
    }

    fn token(&self, name: &str) -> Secret {
        Secret::from(std::fs::read_to_string(self.directory.path().join(name)).unwrap().trim())
    }

    fn client(&self, token: TokenSource) -> Client {
        Client::new(self.url.parse().unwrap(), token, ClientOptions::default()).unwrap()
    }

    fn admin(&self) -> Client {
        self.client(TokenSource::fixed(self.token("admin.token")))
    }

    async fn agent(&self) -> AgentClient {
        let agent = AgentClient::new(self.client(TokenSource::none()));
        let request = SessionRequest {
            protocol_min: 1,
            protocol_max: 1,
            name: "host".to_owned(),
            version: "1".to_owned(),
            concurrency: 1,
            tofu_version: "1.12.6".to_owned(),
            process: None,
            run_root: "/var/lib/nigari/runs".to_owned(),
        };
        let answer = agent.open_session(&self.token("join.token"), &request).await.unwrap();
        let again = agent.open_session(&answer.identity.unwrap(), &request).await.unwrap();
        assert!(again.identity.is_none() && again.agent == answer.agent);
        agent
    }
}

fn configuration() -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let content = b"output \"x\" { value = 1 }\n";
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "main.tf", &content[..]).unwrap();
    archive.into_inner().unwrap().finish().unwrap()
}

fn workspace(name: &str) -> NewWorkspace {
    NewWorkspace { name: name.to_owned(), auto_apply: true, ..NewWorkspace::default() }
}

fn integration() -> NewRegistryIntegration {
    NewRegistryIntegration {
        name: "hub".to_owned(),
        url: "https://registry.example:5000/team".to_owned(),
        username: "robot".to_owned(),
        secret: Secret::from("p\"ä:ss"),
        export_credentials: true,
        permit_file: false,
        permit_whole_run: false,
        ca_pem: None,
    }
}

fn report() -> StepReport {
    StepReport { request: RequestId::generate() }
}

fn finish(outcome: Outcome, log_bytes: u64) -> Finish {
    Finish {
        request: RequestId::generate(),
        outcome,
        failure: None,
        plan: None,
        artifact_digest: None,
        run_directory: None,
        backend: None,
        receipt: None,
        log_bytes,
    }
}

#[tokio::test]
async fn people_do_everything_around_runs() {
    let server = RealServer::start().await;
    let nobody = server.client(TokenSource::none());
    nobody.healthz().await.unwrap();
    nobody.readyz().await.unwrap();
    let error = nobody.whoami().await.unwrap_err();
    assert!(error.status() == Some(401) && error.hint().is_some(), "{error}");

    let admin = server.admin();
    assert_eq!(admin.whoami().await.unwrap().role, "admin");
    let made = admin.create_registry_integration(&integration()).await.unwrap();
    assert_eq!(made.address.to_string(), "registry.example:5000/team");
    assert_eq!(admin.registry_integration("hub").await.unwrap().id, made.id);
    let error = admin.create_registry_integration(&integration()).await.unwrap_err();
    assert!(error.status() == Some(409), "{error}");
    admin.delete_registry_integration("hub").await.unwrap();
    assert!(admin.registry_integrations().await.unwrap().is_empty());

    admin.create_workspace(&workspace("net")).await.unwrap();
    let value = VariableValue { value: Secret::from("v"), sensitive: Some(false), description: String::new() };
    admin.set_variable("net", VariableKind::Tofu, "size", &value).await.unwrap();
    assert_eq!(admin.variables("net").await.unwrap()[0].value.as_deref(), Some("v"));
    admin.unset_variable("net", VariableKind::Tofu, "size").await.unwrap();
    assert!(admin.variables("net").await.unwrap().is_empty());
    let error = admin.workspace("nothing").await.unwrap_err();
    assert!(error.is_problem("not_found"), "{error}");

    let new = NewToken { name: "ci".to_owned(), expires_in_seconds: Some(60), role: "admin".to_owned() };
    let created = admin.create_token(&new).await.unwrap();
    let ci = server.client(TokenSource::fixed(created.text));
    assert_eq!(ci.whoami().await.unwrap().name, "ci");
    admin.revoke_token(created.token.id).await.unwrap();
    assert_eq!(ci.whoami().await.unwrap_err().status(), Some(401));
    let new = NewJoinToken { name: "more".to_owned(), pool: None, expires_in_seconds: None, uses: None };
    let join = admin.create_join_token(&new).await.unwrap();
    assert!(admin.join_tokens().await.unwrap().iter().any(|token| token.id == join.token.id));
    admin.revoke_join_token(join.token.id).await.unwrap();
    assert_eq!(admin.agent_pools().await.unwrap()[0].name, "default");
    assert!(admin.audit(None, Some(5)).await.unwrap().items.len() == 5);
}

#[tokio::test]
async fn a_persons_state_is_locked_written_and_read() {
    let server = RealServer::start().await;
    let admin = server.admin();
    admin.create_workspace(&workspace("net")).await.unwrap();
    assert!(admin.state("net").await.unwrap().is_none());
    let lock = StateLock { id: "mine".to_owned(), who: "me@host".to_owned(), ..StateLock::default() };
    admin.lock_state("net", &lock).await.unwrap();
    let other = StateLock { id: "other".to_owned(), ..StateLock::default() };
    let error = admin.lock_state("net", &other).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Locked(held) if held.id == "mine"), "{error:?}");
    let state = r#"{"version":4,"serial":3,"lineage":"a-b","outputs":{},"resources":[]}"#;
    admin.write_state("net", Some("mine"), state.into()).await.unwrap();
    assert_eq!(admin.state("net").await.unwrap().unwrap(), state);
    let older = state.replace("\"serial\":3", "\"serial\":2");
    assert!(admin.write_state("net", Some("mine"), older.clone().into()).await.is_err());
    admin.overwrite_state("net", Some("mine"), older.into()).await.unwrap();
    admin.unlock_state("net", &lock).await.unwrap();
    assert_eq!(admin.state_versions("net").await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_agent_takes_a_run_from_claim_to_apply() {
    let server = RealServer::start().await;
    let (admin, agent) = (server.admin(), server.agent().await);
    assert!(agent.claim(&ClaimRequest { claim: ClaimId::generate(), hold_seconds: 0 }).await.unwrap().is_none());
    admin.create_workspace(&workspace("net")).await.unwrap();
    admin.create_registry_integration(&integration()).await.unwrap();
    let uploaded = admin.upload_configuration("net", "", configuration()).await.unwrap();
    let new =
        NewRun { configuration: uploaded.id, kind: RunKind::Apply, auto_apply: Some(true), message: "m".to_owned() };
    let run = admin.create_run("net", &new).await.unwrap();

    let request = ClaimRequest { claim: ClaimId::generate(), hold_seconds: 5 };
    let claim = agent.claim(&request).await.unwrap().unwrap();
    let again = agent.claim(&request).await.unwrap().unwrap();
    assert_eq!((claim.run, claim.epoch, claim.phase), (run.id, again.epoch, Phase::Plan));
    let leased = agent.leased_run(claim.run, claim.epoch);
    let downloaded = leased.configuration().await.unwrap();
    assert_eq!(downloaded.digest(), Some(claim.configuration_digest.as_str()));
    assert_eq!(downloaded.bytes().await.unwrap(), configuration());
    assert!(!leased.renew().await.unwrap().cancel);

    plan(&leased).await;
    apply(&leased).await;
    assert_eq!(admin.run(run.id).await.unwrap().state, RunState::Applied);
    let filter =
        RunFilter { workspace: Some("net".to_owned()), state: Some(RunState::Applied), ..RunFilter::default() };
    assert_eq!(admin.runs(&filter).await.unwrap().items.len(), 1);

    let part = admin.run_log(run.id, Phase::Plan, 0, Some(Duration::from_secs(1))).await.unwrap();
    assert_eq!((part.next_offset, part.complete, part.epoch), (11, true, claim.epoch));
    assert_eq!(part.bytes.bytes().await.unwrap(), "hello world");
    let events = admin.run_events(run.id, 0, None).await.unwrap();
    assert!(events.items.len() > 5);
    assert!(admin.run_receipts(run.id).await.unwrap().is_empty());
    assert_eq!(agent.watch(0, Duration::from_secs(5)).await.unwrap().next, 0);
    admin.drain_agent("host").await.unwrap();
    assert!(agent.watch(0, Duration::from_secs(5)).await.unwrap().drain);
}

async fn plan(leased: &LeasedRun) {
    leased.report_step(Step::Fetch, &report()).await.unwrap();
    let request = CredentialsRequest { request: RequestId::generate(), delivery: DeliveryChoice::Auto };
    let answer = leased.credentials(&request).await.unwrap();
    assert_eq!(answer.credentials[0].secret.expose(), "p\"ä:ss");
    let other = leased
        .credentials(&CredentialsRequest { request: RequestId::generate(), delivery: DeliveryChoice::Auto })
        .await
        .unwrap_err();
    assert!(other.problem().is_some() && !other.is_retryable(), "{other}");

    assert_eq!(leased.append_log(Phase::Plan, 0, "hello ".into()).await.unwrap(), 6);
    assert_eq!(leased.append_log(Phase::Plan, 0, "hello ".into()).await.unwrap(), 6);
    assert_eq!(leased.append_log(Phase::Plan, 9, "lost".into()).await.unwrap(), 6);
    assert_eq!(leased.append_log(Phase::Plan, 6, "world".into()).await.unwrap(), 11);
    leased.report_step(Step::Init, &report()).await.unwrap();
    assert_eq!(leased.read_state().await.unwrap().status, 204);
    leased.report_step(Step::Plan, &report()).await.unwrap();
    let answer = leased.finish(&finish(Outcome::Planned, 11)).await.unwrap();
    assert_eq!(answer.next, NextAction::ApplyNow);
}

async fn apply(leased: &LeasedRun) {
    leased.report_step(Step::Apply, &report()).await.unwrap();
    let lock = r#"{"ID":"t","Operation":"OperationTypeApply","Info":"","Who":"u@h","Version":"1.12.6","Created":"2026-01-01T00:00:00Z","Path":""}"#;
    assert_eq!(leased.lock_state(lock.into()).await.unwrap().status, 204);
    let held = leased.lock_state(lock.replace("\"t\"", "\"u\"").into()).await.unwrap();
    assert_eq!(held.status, 423);
    assert!(held.body.starts_with(b"{"), "{:?}", held.body);
    let state = r#"{"version":4,"serial":1,"lineage":"l","outputs":{},"resources":[]}"#;
    assert_eq!(leased.write_state(Some("t"), state.into()).await.unwrap().status, 204);
    assert_eq!(leased.read_state().await.unwrap().body, state);
    assert_eq!(leased.unlock_state(lock.into()).await.unwrap().status, 204);
    assert_eq!(leased.append_log(Phase::Apply, 0, "done".into()).await.unwrap(), 4);
    assert_eq!(leased.finish(&finish(Outcome::Applied, 4)).await.unwrap().next, NextAction::Done);
}
