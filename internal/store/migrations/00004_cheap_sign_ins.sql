-- What a sign-in writes must not grow with the number of people. Each index that it touches at a random place costs PostgreSQL one page of its log for every
-- sign-in after a checkpoint, so there are none that nothing asks for, and the index of an IdP's users grows at its ends.
DROP INDEX memberships_group;
DROP INDEX users_idp;
CREATE INDEX users_of_idp ON users (idp_uid);

-- Who comes again changes no column that is in an index. With room left on the row's page, PostgreSQL then touches no index at all.
/* PostgreSQL */ ALTER TABLE users SET (fillfactor = 80);
/* PostgreSQL */ ALTER TABLE links SET (fillfactor = 80);
