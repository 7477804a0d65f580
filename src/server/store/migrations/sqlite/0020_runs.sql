-- What runs consist of: blobs, configurations, runs, claims, steps, finishes, receipts, events, logs, state versions.

-- Big things, sealed in chunks; `key` is the blob's own data key, wrapped.
CREATE TABLE blobs (
    id TEXT NOT NULL PRIMARY KEY,
    key BLOB NOT NULL,
    bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- `start` and `bytes` count plain bytes, so that a range can be read without opening what is before it.
CREATE TABLE blob_chunks (
    blob_id TEXT NOT NULL REFERENCES blobs (id) ON DELETE CASCADE,
    number BIGINT NOT NULL,
    start BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (blob_id, number)
);

CREATE TABLE configurations (
    id TEXT NOT NULL PRIMARY KEY,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    blob_id TEXT NOT NULL REFERENCES blobs (id),
    digest TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    working_directory TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX configurations_by_digest ON configurations (workspace_id, digest);
CREATE INDEX configurations_by_blob ON configurations (blob_id);

-- `sequence` is the order in which waiting runs are promoted and runs are listed. `variables` is the workspace's variables
-- as they were when the run was made, sealed. `agent_id` is not a reference: a run remembers an agent that was removed.
-- `failure` is what an agent reported, sealed for (run, epoch, phase); `ending` is the word of what ended it instead.
-- `approval` is a keyed digest of who approved what.
CREATE TABLE runs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    configuration_id TEXT NOT NULL REFERENCES configurations (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    auto_apply BIGINT NOT NULL,
    message TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    variables BLOB NOT NULL,
    state TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    last_phase TEXT,
    last_step TEXT,
    wish TEXT NOT NULL,
    claim_id TEXT,
    agent_id TEXT,
    lease_deadline BIGINT,
    finished_at BIGINT,
    plan TEXT,
    artifact_blob_id TEXT REFERENCES blobs (id),
    artifact_digest TEXT,
    run_directory TEXT,
    approved_by TEXT,
    approval BLOB,
    ending TEXT,
    failure BLOB,
    failure_phase TEXT,
    failure_epoch BIGINT,
    backend TEXT,
    credentials_request TEXT,
    credentials_epoch BIGINT
);
CREATE INDEX runs_by_workspace ON runs (workspace_id, sequence);
CREATE INDEX runs_by_state ON runs (state, sequence);
CREATE INDEX runs_by_artifact ON runs (artifact_blob_id);
CREATE INDEX runs_by_configuration ON runs (configuration_id);
-- The rule of one active run per workspace, held by the database as well.
CREATE UNIQUE INDEX one_active_run ON runs (workspace_id)
    WHERE kind <> 'plan'
    AND state IN ('queued', 'planning', 'awaiting_approval', 'apply_queued', 'applying', 'lost');

-- Every claim that was ever granted: who had which epoch, and who gave it back when.
CREATE TABLE claims (
    id TEXT NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    epoch BIGINT NOT NULL,
    phase TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    claimed_at BIGINT NOT NULL,
    released_at BIGINT,
    UNIQUE (run_id, epoch)
);

CREATE TABLE run_steps (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    epoch BIGINT NOT NULL,
    phase TEXT NOT NULL,
    step TEXT NOT NULL,
    request TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    PRIMARY KEY (run_id, epoch, phase, step)
);

-- Reports of a phase's end, sealed; `digest` is keyed. `evidence` is 1 for one that came too late to count.
CREATE TABLE finishes (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    epoch BIGINT NOT NULL,
    phase TEXT NOT NULL,
    digest TEXT NOT NULL,
    next TEXT NOT NULL,
    evidence BIGINT NOT NULL,
    body BLOB NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (run_id, epoch, phase)
);

CREATE TABLE receipts (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    epoch BIGINT NOT NULL,
    phase TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    receipt BLOB NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (run_id, epoch, phase)
);

CREATE TABLE run_events (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (run_id, sequence)
);

CREATE TABLE run_logs (
    run_id TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    phase TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    blob_id TEXT NOT NULL REFERENCES blobs (id),
    PRIMARY KEY (run_id, phase, epoch)
);
CREATE INDEX run_logs_by_blob ON run_logs (blob_id);

-- The newest version is the one with the highest sequence: a person may force an older serial.
CREATE TABLE state_versions (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    workspace_id TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    blob_id TEXT NOT NULL REFERENCES blobs (id),
    serial BIGINT NOT NULL,
    lineage TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    digest TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    run_id TEXT,
    created_by TEXT
);
CREATE INDEX state_versions_by_workspace ON state_versions (workspace_id, sequence);
CREATE INDEX state_versions_by_blob ON state_versions (blob_id);

-- Which run and claim hold the state's lock, if not a person.
ALTER TABLE workspaces ADD COLUMN state_lock_run_id TEXT;
ALTER TABLE workspaces ADD COLUMN state_lock_epoch BIGINT;
