-- Set while the IdP leaves out a user's groups because there are too many.
ALTER TABLE links ADD COLUMN group_overage BOOLEAN NOT NULL DEFAULT false;
CREATE INDEX links_group_overage ON links (idp_uid) WHERE group_overage;
