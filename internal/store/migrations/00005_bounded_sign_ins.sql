-- What a row in flight is bounded with; empty for what an administrator has asked for, which nothing pushes out.
ALTER TABLE pending_requests ADD COLUMN kind TEXT NOT NULL DEFAULT '';
DROP INDEX pending_requests_expiry;
CREATE INDEX pending_requests_kind ON pending_requests (kind, expires_at);
