-- The keys of records that may be written twice, and must not be.
CREATE TABLE audit_keys (
    key TEXT PRIMARY KEY,
    at BIGINT NOT NULL
);
CREATE INDEX audit_keys_at ON audit_keys (at);
