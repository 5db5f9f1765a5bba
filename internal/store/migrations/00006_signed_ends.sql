-- Whoever has the audit key signs where a chain ends, so that nobody goes on from an end, or vouches for one, that somebody else has put there.
ALTER TABLE audit_writers ADD COLUMN signature TEXT NOT NULL DEFAULT '';
