-- What people keep: facts, pools, agents, tokens, registry integrations, workspaces, variables, audit records.
-- Times are microseconds since the Unix epoch; switches are 0 or 1; only BIGINT, TEXT and BYTEA, so that both databases
-- answer with the same types.

CREATE TABLE server_facts (
    name TEXT NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE agent_pools (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE agents (
    id TEXT NOT NULL PRIMARY KEY,
    pool_id TEXT NOT NULL REFERENCES agent_pools (id),
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    tofu_version TEXT NOT NULL,
    run_root TEXT NOT NULL,
    concurrency BIGINT NOT NULL,
    joined_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    draining BIGINT NOT NULL
);
CREATE INDEX agents_by_pool ON agents (pool_id);

-- `digest` is an HMAC of the token's secret; its text is never stored.
CREATE TABLE tokens (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    digest BYTEA NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT,
    uses_left BIGINT,
    pool_id TEXT REFERENCES agent_pools (id),
    agent_id TEXT REFERENCES agents (id) ON DELETE CASCADE
);
CREATE INDEX tokens_by_agent ON tokens (agent_id, kind);
CREATE INDEX tokens_by_kind ON tokens (kind);

-- `path` is empty for the whole registry. `secret` is sealed by the vault and bound to id, secret_version, host, path,
-- username and private CA.
CREATE TABLE registry_integrations (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    host TEXT NOT NULL,
    path TEXT NOT NULL,
    username TEXT NOT NULL,
    export_credentials BIGINT NOT NULL,
    disabled BIGINT NOT NULL,
    ca_pem TEXT,
    secret BYTEA NOT NULL,
    secret_version BIGINT NOT NULL,
    secret_set_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    last_test TEXT,
    UNIQUE (host, path)
);

-- `active_run_id`, the state's lock and its newest serial live here, so that taking them is one compare-and-set.
CREATE TABLE workspaces (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    pool_id TEXT NOT NULL REFERENCES agent_pools (id),
    auto_apply BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    active_run_id TEXT,
    state_lock_id TEXT,
    state_lock TEXT,
    state_lineage TEXT,
    state_serial BIGINT
);

CREATE TABLE variables (
    id TEXT NOT NULL PRIMARY KEY,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value BYTEA NOT NULL,
    version BIGINT NOT NULL,
    sensitive BIGINT NOT NULL,
    description TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (workspace_id, kind, name)
);

CREATE TABLE audit_records (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    resource TEXT NOT NULL,
    particulars TEXT NOT NULL
);
