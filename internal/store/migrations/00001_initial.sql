CREATE TABLE pending_requests (
    handle_hash BLOB PRIMARY KEY,
    idp_uid TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX pending_requests_expiry ON pending_requests (expires_at);

CREATE TABLE seen_assertions (
    idp_uid TEXT NOT NULL,
    assertion_hash BLOB NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (idp_uid, assertion_hash)
);
CREATE INDEX seen_assertions_expiry ON seen_assertions (until);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    first_name TEXT NOT NULL,
    last_name TEXT NOT NULL,
    idp_uid TEXT NOT NULL,
    idp_name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_sign_in_at BIGINT NOT NULL,
    last_sign_in_ip TEXT NOT NULL,
    suspended_at BIGINT NOT NULL,
    suspend_reason TEXT NOT NULL
);
CREATE INDEX users_idp ON users (idp_uid, email);
CREATE INDEX users_suspended ON users (email) WHERE suspended_at > 0;

-- What ties a user to an IdP, and what that IdP last asserted.
CREATE TABLE links (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    idp_uid TEXT NOT NULL,
    idp_name TEXT NOT NULL,
    subject TEXT,
    attributes TEXT NOT NULL,
    raw TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, idp_uid)
);
CREATE UNIQUE INDEX links_subject ON links (idp_uid, subject) WHERE subject IS NOT NULL;
CREATE INDEX links_idp ON links (idp_uid, user_id);

CREATE TABLE groups_of_idps (
    id TEXT PRIMARY KEY,
    idp_uid TEXT NOT NULL,
    idp_name TEXT NOT NULL,
    name TEXT NOT NULL,
    discovered_at BIGINT NOT NULL,
    invalidated_at BIGINT NOT NULL,
    UNIQUE (idp_uid, name)
);

CREATE TABLE memberships (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES groups_of_idps (id) ON DELETE CASCADE,
    claimed BOOLEAN NOT NULL,
    ruled BOOLEAN NOT NULL,
    PRIMARY KEY (user_id, group_id)
);
CREATE INDEX memberships_group ON memberships (group_id);

CREATE TABLE profiles (
    user_id TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    document TEXT NOT NULL
);

CREATE TABLE sessions (
    token_hash BLOB PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    idp_uid TEXT NOT NULL,
    idp_name TEXT NOT NULL,
    name_id TEXT NOT NULL,
    session_index TEXT NOT NULL,
    email_domain TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    idle_timeout BIGINT NOT NULL,
    second_factor_pending BOOLEAN NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id, created_at);
CREATE INDEX sessions_name_id ON sessions (idp_uid, name_id);
CREATE INDEX sessions_domain ON sessions (idp_uid, email_domain);
CREATE INDEX sessions_created ON sessions (created_at, token_hash);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- What every replica's cache must forget. Kept for an hour, so that a replica catches up after an outage.
CREATE TABLE evictions (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    hash BLOB NOT NULL
);
CREATE INDEX evictions_at ON evictions (at);

CREATE TABLE second_factors (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    label TEXT NOT NULL,
    secret BLOB NOT NULL,
    confirmed BOOLEAN NOT NULL,
    counter BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX second_factors_user ON second_factors (user_id);

CREATE TABLE factor_throttles (
    user_id TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    failures BIGINT NOT NULL,
    until BIGINT NOT NULL
);

CREATE TABLE jobs (
    name TEXT PRIMARY KEY,
    state BLOB NOT NULL
);

-- One row per chain: its end. The row's lock puts the records of one writer in order.
CREATE TABLE audit_writers (
    writer TEXT PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL,
    sealed_sequence BIGINT NOT NULL,
    sealed_at BIGINT NOT NULL,
    first_sequence BIGINT NOT NULL
);

CREATE TABLE audit_records (
    id TEXT PRIMARY KEY,
    writer TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    type TEXT NOT NULL,
    outcome TEXT NOT NULL,
    actor TEXT NOT NULL,
    idp TEXT NOT NULL,
    request TEXT NOT NULL,
    line TEXT NOT NULL
);
CREATE UNIQUE INDEX audit_records_chain ON audit_records (writer, sequence);
CREATE INDEX audit_records_type ON audit_records (type, id);
CREATE INDEX audit_records_actor ON audit_records (actor, id) WHERE actor <> '';
CREATE INDEX audit_records_idp ON audit_records (idp, id) WHERE idp <> '';
CREATE INDEX audit_records_request ON audit_records (request) WHERE request <> '';

CREATE TABLE audit_cursors (
    sink TEXT NOT NULL,
    writer TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (sink, writer)
);

CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL
);

CREATE TABLE debug_entries (
    id TEXT PRIMARY KEY,
    reference TEXT NOT NULL,
    at BIGINT NOT NULL,
    idp_uid TEXT NOT NULL,
    idp_name TEXT NOT NULL,
    error_type TEXT NOT NULL,
    document TEXT NOT NULL,
    xml BLOB NOT NULL
);
CREATE INDEX debug_entries_kind ON debug_entries (idp_uid, error_type, id);
CREATE INDEX debug_entries_reference ON debug_entries (reference);

