//! What people keep: tokens, agents, integrations, workspaces, variables, audit records.

use nigari::protocol::api::{AgentPool, TokenKind, VariableKind};
use nigari::protocol::delivery::DeliveryChoice;
use nigari::protocol::id::{AgentId, IntegrationId, PoolId, TokenId, VariableId, WorkspaceId};
use nigari::server::store::agents::{self, AgentRow};
use nigari::server::store::audit::{self, NewRecord};
use nigari::server::store::registry_integrations::{self, IntegrationRow};
use nigari::server::store::tokens::{self, TokenRow};
use nigari::server::store::variables::{self, VariableRow};
use nigari::server::store::workspaces::{self, WorkspaceRow};
use nigari::server::store::{Store, WriteTransaction};

super::on_both! {
    an_integration_comes_back_as_it_went,
    an_integration_is_unique_by_host_and_path_and_by_name,
    a_use_of_a_join_token_is_taken_once,
    a_token_comes_back_as_it_went,
    a_new_session_ends_the_agents_own_earlier_ones_alone,
    an_agent_that_comes_back_stays_drained,
    a_workspace_takes_its_variables_along,
    a_variable_needs_its_workspace,
    variables_are_measured,
    audit_records_are_numbered,
}

fn integration(name: &str, url: &str) -> IntegrationRow {
    IntegrationRow {
        id: IntegrationId::generate(),
        name: name.to_owned(),
        address: url.parse().unwrap(),
        username: "ü'\"\\".to_owned(),
        export_credentials: true,
        permit_file: true,
        permit_whole_run: false,
        disabled: false,
        ca_pem: None,
        token_service: Some("https://auth.example:8443".to_owned()),
        secret: vec![0, 255, 10],
        secret_version: 1,
        secret_set_at: 2,
        created_at: i64::MAX,
        updated_at: 4,
        revision: 5,
        last_test: None,
    }
}

async fn pool(transaction: &mut WriteTransaction) -> PoolId {
    let pool = AgentPool { id: PoolId::generate(), name: "default".to_owned() };
    agents::insert_pool(transaction, &pool, 1).await.unwrap();
    pool.id
}

async fn workspace(transaction: &mut WriteTransaction) -> WorkspaceRow {
    let row = WorkspaceRow {
        id: WorkspaceId::generate(),
        name: "net".to_owned(),
        description: "it's mine".to_owned(),
        pool_id: pool(transaction).await,
        pool: "default".to_owned(),
        auto_apply: true,
        delivery: DeliveryChoice::Helper,
        whole_run: true,
        created_at: 7,
        revision: 1,
        active_run: None,
        state_lock: None,
        state_serial: None,
    };
    workspaces::insert(transaction, &row).await.unwrap();
    row
}

fn token(kind: TokenKind, uses_left: Option<i64>) -> TokenRow {
    TokenRow {
        id: TokenId::generate(),
        kind,
        name: "t".to_owned(),
        role: "admin".to_owned(),
        digest: vec![1, 2, 3],
        created_by: "x".to_owned(),
        created_at: 1,
        expires_at: Some(2),
        last_used_at: None,
        revoked_at: None,
        uses_left,
        pool_id: None,
        agent_id: None,
    }
}

fn agent(pool_id: PoolId) -> AgentRow {
    AgentRow {
        id: AgentId::generate(),
        pool_id,
        name: "host".to_owned(),
        version: "0".to_owned(),
        tofu_version: "1.12.6".to_owned(),
        run_root: "/run/x".to_owned(),
        concurrency: 3,
        joined_at: 1,
        last_seen_at: 1,
        draining: false,
    }
}

fn variable(workspace: WorkspaceId, name: &str, value: &[u8]) -> VariableRow {
    VariableRow {
        id: VariableId::generate(),
        workspace,
        kind: VariableKind::Tofu,
        name: name.to_owned(),
        value: value.to_vec(),
        version: 1,
        sensitive: true,
        description: String::new(),
        updated_at: 3,
    }
}

async fn an_integration_comes_back_as_it_went(store: &Store) {
    let mut row = integration("n", "https://ghcr.io/team/net");
    let mut transaction = store.begin_write().await.unwrap();
    registry_integrations::insert(&mut transaction, &row).await.unwrap();
    transaction.commit().await.unwrap();
    let by_name = registry_integrations::find(&mut store.read().await.unwrap(), "n").await.unwrap().unwrap();
    assert_eq!(format!("{by_name:?}"), format!("{row:?}"));
    row.ca_pem = Some("pem".to_owned());
    row.address = "ghcr.io".parse().unwrap();
    row.disabled = true;
    row.secret = vec![9];
    row.token_service = None;
    let mut transaction = store.begin_write().await.unwrap();
    registry_integrations::update(&mut transaction, &row).await.unwrap();
    transaction.commit().await.unwrap();
    let id = row.id.to_string();
    let by_id = registry_integrations::find(&mut store.read().await.unwrap(), &id).await.unwrap().unwrap();
    assert_eq!(format!("{by_id:?}"), format!("{row:?}"));
    row.token_service = Some("https://other.example".to_owned());
    let mut transaction = store.begin_write().await.unwrap();
    registry_integrations::update(&mut transaction, &row).await.unwrap();
    transaction.commit().await.unwrap();
    let by_id = registry_integrations::find(&mut store.read().await.unwrap(), &id).await.unwrap().unwrap();
    assert_eq!(by_id.token_service, row.token_service);
    let mut transaction = store.begin_write().await.unwrap();
    registry_integrations::delete(&mut transaction, row.id).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(registry_integrations::list(&mut store.read().await.unwrap()).await.unwrap().is_empty());
}

async fn an_integration_is_unique_by_host_and_path_and_by_name(store: &Store) {
    for (name, url, free) in [
        ("a", "https://ghcr.io", true),
        ("b", "ghcr.io:443", false),
        ("a", "quay.io", false),
        ("c", "ghcr.io/team", true),
        ("d", "ghcr.io/team/", false),
    ] {
        let mut transaction = store.begin_write().await.unwrap();
        match registry_integrations::insert(&mut transaction, &integration(name, url)).await {
            Ok(()) => transaction.commit().await.unwrap(),
            Err(error) => assert!(!free && error.is_duplicate(), "{name} {url}: {error:?}"),
        }
    }
    let kept = registry_integrations::list(&mut store.read().await.unwrap()).await.unwrap();
    assert_eq!(kept.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
}

async fn a_use_of_a_join_token_is_taken_once(store: &Store) {
    let (once, any) = (token(TokenKind::Join, Some(1)), token(TokenKind::Join, None));
    let mut transaction = store.begin_write().await.unwrap();
    tokens::insert(&mut transaction, &once).await.unwrap();
    tokens::insert(&mut transaction, &any).await.unwrap();
    transaction.commit().await.unwrap();
    for (id, expected) in [(once.id, true), (once.id, false), (any.id, true), (any.id, true)] {
        let mut transaction = store.begin_write().await.unwrap();
        assert_eq!(tokens::take_use(&mut transaction, id).await.unwrap(), expected);
        transaction.commit().await.unwrap();
    }
    let mut transaction = store.begin_write().await.unwrap();
    assert!(tokens::revoke(&mut transaction, any.id, 9).await.unwrap());
    assert!(!tokens::revoke(&mut transaction, any.id, 10).await.unwrap());
    assert!(!tokens::take_use(&mut transaction, any.id).await.unwrap());
}

async fn a_token_comes_back_as_it_went(store: &Store) {
    let row = token(TokenKind::User, None);
    let mut transaction = store.begin_write().await.unwrap();
    tokens::insert(&mut transaction, &row).await.unwrap();
    tokens::set_last_used(&mut transaction, row.id, 60).await.unwrap();
    transaction.commit().await.unwrap();
    let mut connection = store.read().await.unwrap();
    let read = tokens::get(&mut connection, row.id).await.unwrap().unwrap();
    assert_eq!(format!("{read:?}"), format!("{:?}", TokenRow { last_used_at: Some(60), ..row }));
    assert!(tokens::get(&mut connection, TokenId::generate()).await.unwrap().is_none());
    assert!(tokens::list(&mut connection, TokenKind::Join).await.unwrap().is_empty());
}

async fn a_new_session_ends_the_agents_own_earlier_ones_alone(store: &Store) {
    let mut transaction = store.begin_write().await.unwrap();
    let pool_id = pool(&mut transaction).await;
    let (one, other) = (agent(pool_id), agent(pool_id));
    let mut made = Vec::new();
    for agent in [&one, &other] {
        agents::put(&mut transaction, agent).await.unwrap();
        for kind in [TokenKind::Session, TokenKind::Agent] {
            let row = TokenRow { agent_id: Some(agent.id), pool_id: Some(pool_id), ..token(kind, None) };
            tokens::insert(&mut transaction, &row).await.unwrap();
            made.push(row.id);
        }
    }
    let own = tokens::get(&mut transaction, made[0]).await.unwrap().unwrap().name;
    // Another process's session is kept as revoked until it would have expired; the process's own is forgotten.
    for (process, now, expected) in [("other", 1, [0, 2, 2, 2]), (&own, 1, [0, 2, 2, 2])] {
        tokens::end_sessions(&mut transaction, one.id, process, now).await.unwrap();
        let mut left = Vec::new();
        for id in &made {
            let token = tokens::get(&mut transaction, *id).await.unwrap();
            left.push(token.map_or(3, |token| if token.revoked_at.is_some() { 0 } else { 2 }));
        }
        assert_eq!(left, expected, "{process}");
    }
    tokens::end_sessions(&mut transaction, other.id, &own, 1).await.unwrap();
    assert!(tokens::get(&mut transaction, made[2]).await.unwrap().is_none());
    assert!(tokens::get(&mut transaction, made[3]).await.unwrap().is_some());
}

async fn an_agent_that_comes_back_stays_drained(store: &Store) {
    let mut transaction = store.begin_write().await.unwrap();
    let pool_id = pool(&mut transaction).await;
    let row = agent(pool_id);
    agents::put(&mut transaction, &row).await.unwrap();
    agents::set_draining(&mut transaction, row.id, true).await.unwrap();
    let again = AgentRow { version: "1".to_owned(), joined_at: 99, last_seen_at: 99, ..row.clone() };
    agents::put(&mut transaction, &again).await.unwrap();
    let read = agents::get(&mut transaction, row.id).await.unwrap().unwrap();
    assert_eq!((read.draining, read.joined_at, read.last_seen_at, read.version.as_str()), (true, 1, 99, "1"));
}

async fn a_workspace_takes_its_variables_along(store: &Store) {
    let mut transaction = store.begin_write().await.unwrap();
    let row = workspace(&mut transaction).await;
    variables::put(&mut transaction, &variable(row.id, "a", b"1")).await.unwrap();
    let read = workspaces::find(&mut transaction, "net").await.unwrap().unwrap();
    assert_eq!(format!("{read:?}"), format!("{row:?}"));
    workspaces::delete(&mut transaction, row.id).await.unwrap();
    assert!(variables::list(&mut transaction, row.id).await.unwrap().is_empty());
    transaction.commit().await.unwrap();
}

async fn a_variable_needs_its_workspace(store: &Store) {
    let mut transaction = store.begin_write().await.unwrap();
    let error = variables::put(&mut transaction, &variable(WorkspaceId::generate(), "a", b"1")).await.unwrap_err();
    assert!(error.is_reference(), "{error:?}");
}

async fn variables_are_measured(store: &Store) {
    let mut transaction = store.begin_write().await.unwrap();
    let id = workspace(&mut transaction).await.id;
    assert_eq!(variables::total_bytes(&mut transaction, id).await.unwrap(), 0);
    variables::put(&mut transaction, &variable(id, "a", &[0; 10])).await.unwrap();
    variables::put(&mut transaction, &variable(id, "b", "ä".as_bytes())).await.unwrap();
    assert_eq!(variables::total_bytes(&mut transaction, id).await.unwrap(), 12);
    let mut row = variables::get(&mut transaction, id, VariableKind::Tofu, "a").await.unwrap().unwrap();
    row.value = vec![1];
    row.sensitive = false;
    variables::put(&mut transaction, &row).await.unwrap();
    let read = variables::get(&mut transaction, id, VariableKind::Tofu, "a").await.unwrap().unwrap();
    assert_eq!(format!("{read:?}"), format!("{row:?}"));
    assert!(variables::get(&mut transaction, id, VariableKind::Env, "a").await.unwrap().is_none());
}

async fn audit_records_are_numbered(store: &Store) {
    for at in [10, 11, 12] {
        let mut transaction = store.begin_write().await.unwrap();
        let record = NewRecord {
            at,
            actor: "user:ü".to_owned(),
            action: "a:b",
            resource: "r".to_owned(),
            particulars: "{\"x\":1}".to_owned(),
        };
        audit::append(&mut transaction, &record).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let mut connection = store.read().await.unwrap();
    let all = audit::list(&mut connection, 0, 10).await.unwrap();
    assert!(all.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    assert_eq!(all[0].particulars["x"], 1);
    let after = audit::list(&mut connection, all[0].sequence, 1).await.unwrap();
    assert_eq!(after.iter().map(|record| record.at).collect::<Vec<_>>(), [11]);
}
