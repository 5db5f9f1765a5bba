PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE goose_db_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
INSERT INTO goose_db_version VALUES(1,0,1,'2026-11-26 13:54:53');
INSERT INTO goose_db_version VALUES(2,1,1,'2026-11-26 13:54:53');
INSERT INTO goose_db_version VALUES(3,2,1,'2026-11-26 13:54:53');
INSERT INTO goose_db_version VALUES(4,3,1,'2026-11-26 13:54:53');
INSERT INTO goose_db_version VALUES(5,4,1,'2026-11-26 13:54:53');
CREATE TABLE pending_requests (
    handle_hash BLOB PRIMARY KEY,
    idp_uid TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE TABLE seen_assertions (
    idp_uid TEXT NOT NULL,
    assertion_hash BLOB NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (idp_uid, assertion_hash)
);
INSERT INTO seen_assertions VALUES('df35936d-f013-5248-95fd-1b8b7b5caf7c',X'524b3c189c36a7023448f44f1ce88a357de40cd5e5faf4d236e487218e91bd1b',1795701653000000);
INSERT INTO seen_assertions VALUES('3f0671a4-7d4c-5b3d-b768-4a420e188240',X'501ffa1ba9bb943d884213153bfc055001f6922737defaff0cbd31a27f1cb636',1795701653000000);
INSERT INTO seen_assertions VALUES('3f0671a4-7d4c-5b3d-b768-4a420e188240',X'd201c9bd74498e8f1ecb9abeaf0147c6ddef2fd71c406b76071a6cb9b1873248',1795701653000000);
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
INSERT INTO users VALUES('01a21823-413f-7a78-aafb-9a3b9d935719','dave@partner.example','','','df35936d-f013-5248-95fd-1b8b7b5caf7c','partners',1795701293375204,1795701293375204,1795701293375204,'127.0.0.1',0,'');
INSERT INTO users VALUES('01a21823-4173-78c9-99bf-fd9e3e016734','alice@acme.example','','','3f0671a4-7d4c-5b3d-b768-4a420e188240','okta',1795701293427394,1795701293427394,1795701293427394,'127.0.0.1',0,'');
INSERT INTO users VALUES('01a21823-41b2-7cf5-b489-48f498764bf5','carol@acme.example','','','3f0671a4-7d4c-5b3d-b768-4a420e188240','okta',1795701293490377,1795701293493611,1795701293490377,'127.0.0.1',1795701293493611,'left');
CREATE TABLE links (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    idp_uid TEXT NOT NULL,
    idp_name TEXT NOT NULL,
    subject TEXT,
    attributes TEXT NOT NULL,
    raw TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL, group_overage BOOLEAN NOT NULL DEFAULT false,
    PRIMARY KEY (user_id, idp_uid)
);
INSERT INTO links VALUES('01a21823-413f-7a78-aafb-9a3b9d935719','df35936d-f013-5248-95fd-1b8b7b5caf7c','partners','id-of-dave@partner.example','{"department":"ML"}','{"department":["ML"],"email":["dave@partner.example"],"groups":["dev","ops"]}',1795701293375204,1795701293375204,0);
INSERT INTO links VALUES('01a21823-4173-78c9-99bf-fd9e3e016734','3f0671a4-7d4c-5b3d-b768-4a420e188240','okta','id-of-alice@acme.example','{"department":"ML"}','{"department":["ML"],"email":["alice@acme.example"],"groups":["dev","ops"]}',1795701293427394,1795701293427394,0);
INSERT INTO links VALUES('01a21823-41b2-7cf5-b489-48f498764bf5','3f0671a4-7d4c-5b3d-b768-4a420e188240','okta','id-of-carol@acme.example','{"department":"ML"}','{"department":["ML"],"email":["carol@acme.example"],"groups":["dev","ops"]}',1795701293490377,1795701293490377,0);
CREATE TABLE groups_of_idps (
    id TEXT PRIMARY KEY,
    idp_uid TEXT NOT NULL,
    idp_name TEXT NOT NULL,
    name TEXT NOT NULL,
    discovered_at BIGINT NOT NULL,
    invalidated_at BIGINT NOT NULL,
    UNIQUE (idp_uid, name)
);
INSERT INTO groups_of_idps VALUES('fbbff959-c9a9-4ed2-b0e7-742f8429a6fc','df35936d-f013-5248-95fd-1b8b7b5caf7c','partners','dev',1795701293375204,0);
INSERT INTO groups_of_idps VALUES('22574645-b6d6-403b-997e-afe94f1d5951','df35936d-f013-5248-95fd-1b8b7b5caf7c','partners','ops',1795701293375204,0);
INSERT INTO groups_of_idps VALUES('ddb027c7-6c3d-4d19-b0eb-fa1a07cded89','3f0671a4-7d4c-5b3d-b768-4a420e188240','okta','dev',1795701293427394,0);
INSERT INTO groups_of_idps VALUES('0891aded-e94a-481e-8cbd-f1581401107d','3f0671a4-7d4c-5b3d-b768-4a420e188240','okta','ops',1795701293427394,0);
CREATE TABLE memberships (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES groups_of_idps (id) ON DELETE CASCADE,
    claimed BOOLEAN NOT NULL,
    ruled BOOLEAN NOT NULL,
    PRIMARY KEY (user_id, group_id)
);
INSERT INTO memberships VALUES('01a21823-413f-7a78-aafb-9a3b9d935719','fbbff959-c9a9-4ed2-b0e7-742f8429a6fc',1,0);
INSERT INTO memberships VALUES('01a21823-413f-7a78-aafb-9a3b9d935719','22574645-b6d6-403b-997e-afe94f1d5951',1,0);
INSERT INTO memberships VALUES('01a21823-4173-78c9-99bf-fd9e3e016734','ddb027c7-6c3d-4d19-b0eb-fa1a07cded89',1,0);
INSERT INTO memberships VALUES('01a21823-4173-78c9-99bf-fd9e3e016734','0891aded-e94a-481e-8cbd-f1581401107d',1,0);
INSERT INTO memberships VALUES('01a21823-41b2-7cf5-b489-48f498764bf5','ddb027c7-6c3d-4d19-b0eb-fa1a07cded89',1,0);
INSERT INTO memberships VALUES('01a21823-41b2-7cf5-b489-48f498764bf5','0891aded-e94a-481e-8cbd-f1581401107d',1,0);
CREATE TABLE profiles (
    user_id TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    document TEXT NOT NULL
);
INSERT INTO profiles VALUES('01a21823-413f-7a78-aafb-9a3b9d935719','{"department":{"value":"ML","source":"idp","idpUID":"df35936d-f013-5248-95fd-1b8b7b5caf7c","updatedAt":"2026-11-26T13:54:53.375204Z"}}');
INSERT INTO profiles VALUES('01a21823-4173-78c9-99bf-fd9e3e016734','{"department":{"value":"ML","source":"idp","idpUID":"3f0671a4-7d4c-5b3d-b768-4a420e188240","updatedAt":"2026-11-26T13:54:53.427394Z"}}');
INSERT INTO profiles VALUES('01a21823-41b2-7cf5-b489-48f498764bf5','{"department":{"value":"ML","source":"idp","idpUID":"3f0671a4-7d4c-5b3d-b768-4a420e188240","updatedAt":"2026-11-26T13:54:53.490377Z"}}');
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
INSERT INTO sessions VALUES(X'2c76a19f382714cc8dc21e1b9068268475dcf8526410e647eb0028de89dba04e','01a21823-413f-7a78-aafb-9a3b9d935719','df35936d-f013-5248-95fd-1b8b7b5caf7c','partners','id-of-dave@partner.example','s-3838b73e','partner.example',1795701293375204,1795701293375204,1795744493375204,3600000000,0,'{"nameID":{"value":"id-of-dave@partner.example","format":"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},"authnContext":"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport","returnURL":"https://grafana.example.com/d/1?var=a\u0026b=c","ip":"127.0.0.1","userAgent":"Go-http-client/1.1"}');
INSERT INTO sessions VALUES(X'8e465a5d3142078f80283abc11bcef059df9405aab29dd0deb5cef1eb06d093b','01a21823-4173-78c9-99bf-fd9e3e016734','3f0671a4-7d4c-5b3d-b768-4a420e188240','okta','id-of-alice@acme.example','s-95de724b','acme.example',1795701293427394,1795701293427394,1795744493427394,3600000000,0,'{"nameID":{"value":"id-of-alice@acme.example","format":"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},"authnContext":"urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport","returnURL":"https://grafana.example.com/d/1?var=a\u0026b=c","ip":"127.0.0.1","userAgent":"Go-http-client/1.1"}');
CREATE TABLE evictions (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    hash BLOB NOT NULL
);
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
INSERT INTO second_factors VALUES('3ac9567d-9448-475a-94c1-4b8b1f9d8b36','01a21823-4173-78c9-99bf-fd9e3e016734','totp','Authenticator app',X'06ca66e6f6f613dfaee1e24a795d40aa956af233d0f940f94c84f84a03f0629b4f008e86e186137eb2eea3874c790cea707fc2e9712c6257162a1353be31296c',1,59856709,1795701293431323,1795701293479511);
INSERT INTO second_factors VALUES('138da083-4d6c-4401-b7d9-6aec94826c7e','01a21823-4173-78c9-99bf-fd9e3e016734','recovery_code','',X'06ca66e6efc111a316068b120fc51022132c91832ac208b84c293853a8e0aa8adeb2f257',1,0,1795701293479511,0);
INSERT INTO second_factors VALUES('e723d437-a098-469f-a9db-795f06310bde','01a21823-4173-78c9-99bf-fd9e3e016734','recovery_code','',X'06ca66e6f40e24946f7800a2bea4715a085cc653c3ac42d3e32bd808aa43ec8615cfbfa2',1,0,1795701293479511,0);
INSERT INTO second_factors VALUES('94fa1638-aa8f-467c-ab0c-ad5acf348fb7','01a21823-4173-78c9-99bf-fd9e3e016734','recovery_code','',X'06ca66e672411bc7ddcf6c3f58c7865b98014de8038a0c63390c2742e31a6a1a9e305833',1,0,1795701293479511,0);
INSERT INTO second_factors VALUES('65fa7ad5-d84a-4dd6-a5c3-06937c928029','01a21823-4173-78c9-99bf-fd9e3e016734','recovery_code','',X'06ca66e6acdab11d22876c013b7a9b3dae0363e1b50495fec7de1d87d89ea8ed83f1b2c3',1,0,1795701293479511,0);
INSERT INTO second_factors VALUES('2944b141-7295-41a9-9ed6-54f40db136b2','01a21823-4173-78c9-99bf-fd9e3e016734','recovery_code','',X'06ca66e67b42057accfed7acf2822a13a62dfaf2c1222937f3dda375617cf783e2d55cb9',1,0,1795701293479511,0);
INSERT INTO second_factors VALUES('869f2d7a-e811-454b-a1bf-78d3291576e4','01a21823-4173-78c9-99bf-fd9e3e016734','recovery_code','',X'06ca66e6abe1e50bd45c0f29366fcd67319cb5e105e65ae50f358948a0ec730e1d37ee99',1,0,1795701293479511,0);
INSERT INTO second_factors VALUES('fd6b5b54-901d-4257-b8dc-cbc32dce2299','01a21823-4173-78c9-99bf-fd9e3e016734','recovery_code','',X'06ca66e6ec90f51d6e573427a5eae917bb58d5cec70ea324a8309033dae7c300303d06ba',1,0,1795701293479511,0);
INSERT INTO second_factors VALUES('e8cc28c5-483c-4532-b3d1-912552357a9b','01a21823-4173-78c9-99bf-fd9e3e016734','recovery_code','',X'06ca66e62cf9843ca3bd78299deee5d46bd1d0c136eeaed11aa343f8c5e6d50e15ef974f',1,0,1795701293479511,0);
INSERT INTO second_factors VALUES('3abfc7be-e0f5-4fa7-a85a-88424cc8a42e','01a21823-4173-78c9-99bf-fd9e3e016734','recovery_code','',X'06ca66e661a8c6508158b67bc2b226567b76e29f334c84b785bcb1f6275a4626528ccda3',1,0,1795701293479511,0);
INSERT INTO second_factors VALUES('eec8d196-6e65-4051-a3e3-fbcf015e7b41','01a21823-4173-78c9-99bf-fd9e3e016734','recovery_code','',X'06ca66e64ec1127858d71436aac45ac1b1a5e3ea91498ee07c0bbdf008d345cd1cd261a7',1,0,1795701293479511,0);
CREATE TABLE factor_throttles (
    user_id TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    failures BIGINT NOT NULL,
    until BIGINT NOT NULL
);
INSERT INTO factor_throttles VALUES('01a21823-4173-78c9-99bf-fd9e3e016734',0,0);
CREATE TABLE jobs (
    name TEXT PRIMARY KEY,
    state BLOB NOT NULL
);
CREATE TABLE audit_writers (
    writer TEXT PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL,
    sealed_sequence BIGINT NOT NULL,
    sealed_at BIGINT NOT NULL,
    first_sequence BIGINT NOT NULL
);
INSERT INTO audit_writers VALUES('replica-1/0',18,'7a125094b6628dd5f4eca5c039ae943facdd15592e7c0110b605297c174ca2a4',18,1795701293496441,1);
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
INSERT INTO audit_records VALUES('01a21823-413f-7343-8000-0001f4b9f6e7','replica-1/0',1,1795701293375204,'user_created_jit','success','partners','partners','NY89-9RMA','{"actor":{"id":"partners","ip":"127.0.0.1","kind":"idp","userAgent":"Go-http-client/1.1"},"details":{"idp":"partners","idpUID":"df35936d-f013-5248-95fd-1b8b7b5caf7c","matchedBy":"created"},"id":"01a21823-413f-7343-8000-0001f4b9f6e7","outcome":"success","previousHash":"","request":"NY89-9RMA","sequence":1,"target":{"kind":"User","name":"dave@partner.example","uid":"01a21823-413f-7a78-aafb-9a3b9d935719"},"tier":"security","time":"2026-11-26T13:54:53.375204Z","type":"user_created_jit","writer":"replica-1/0","hash":"2eea0896dfbdc5a537990294ac129ee7403adf3aaca2696e45e94bbef75dc346"}');
INSERT INTO audit_records VALUES('01a21823-413f-7343-8000-0002998184b3','replica-1/0',2,1795701293375204,'idp_group_discovered','success','partners','partners','NY89-9RMA','{"actor":{"id":"partners","ip":"127.0.0.1","kind":"idp","userAgent":"Go-http-client/1.1"},"details":{"cause":"sign_in","groups":["dev","ops"],"idp":"partners","idpUID":"df35936d-f013-5248-95fd-1b8b7b5caf7c"},"id":"01a21823-413f-7343-8000-0002998184b3","outcome":"success","previousHash":"2eea0896dfbdc5a537990294ac129ee7403adf3aaca2696e45e94bbef75dc346","request":"NY89-9RMA","sequence":2,"target":{"kind":"User","name":"dave@partner.example","uid":"01a21823-413f-7a78-aafb-9a3b9d935719"},"tier":"operational","time":"2026-11-26T13:54:53.375204Z","type":"idp_group_discovered","writer":"replica-1/0","hash":"772512bf03d7ecbce92d11ce0251b2f89b40366bfac3b751d004efe7ce7edd19"}');
INSERT INTO audit_records VALUES('01a21823-413f-7343-8000-000308744df0','replica-1/0',3,1795701293375204,'idp_group_member_added','success','partners','partners','NY89-9RMA','{"actor":{"id":"partners","ip":"127.0.0.1","kind":"idp","userAgent":"Go-http-client/1.1"},"details":{"cause":"sign_in","groups":["dev","ops"],"idp":"partners","idpUID":"df35936d-f013-5248-95fd-1b8b7b5caf7c"},"id":"01a21823-413f-7343-8000-000308744df0","outcome":"success","previousHash":"772512bf03d7ecbce92d11ce0251b2f89b40366bfac3b751d004efe7ce7edd19","request":"NY89-9RMA","sequence":3,"target":{"kind":"User","name":"dave@partner.example","uid":"01a21823-413f-7a78-aafb-9a3b9d935719"},"tier":"operational","time":"2026-11-26T13:54:53.375204Z","type":"idp_group_member_added","writer":"replica-1/0","hash":"30a632cff1b0eb1c6995473f1a699dc090a399177673d89afe96ba7ac394af88"}');
INSERT INTO audit_records VALUES('01a21823-413f-7343-8000-0004cd8ce1fe','replica-1/0',4,1795701293375204,'user_profile_updated','success','partners','partners','NY89-9RMA','{"actor":{"id":"partners","ip":"127.0.0.1","kind":"idp","userAgent":"Go-http-client/1.1"},"details":{"added":["department"],"cause":"idp_mirror","idp":"partners"},"id":"01a21823-413f-7343-8000-0004cd8ce1fe","outcome":"success","previousHash":"30a632cff1b0eb1c6995473f1a699dc090a399177673d89afe96ba7ac394af88","request":"NY89-9RMA","sequence":4,"target":{"kind":"User","name":"dave@partner.example","uid":"01a21823-413f-7a78-aafb-9a3b9d935719"},"tier":"operational","time":"2026-11-26T13:54:53.375204Z","type":"user_profile_updated","writer":"replica-1/0","hash":"722483a7531c37cb2ad696f458dbf99adfd6e5a267e18470ccb39dc85d0e7ecf"}');
INSERT INTO audit_records VALUES('01a21823-413f-7343-8000-00051e9932d4','replica-1/0',5,1795701293375204,'user_signed_in_saml','success','dave@partner.example','partners','NY89-9RMA','{"actor":{"email":"dave@partner.example","id":"01a21823-413f-7a78-aafb-9a3b9d935719","ip":"127.0.0.1","kind":"user","userAgent":"Go-http-client/1.1"},"details":{"idp":"partners","idpUID":"df35936d-f013-5248-95fd-1b8b7b5caf7c","matchedBy":"created"},"id":"01a21823-413f-7343-8000-00051e9932d4","outcome":"success","previousHash":"722483a7531c37cb2ad696f458dbf99adfd6e5a267e18470ccb39dc85d0e7ecf","request":"NY89-9RMA","sequence":5,"session":"2c76a19f382714cc8dc21e1b9068268475dcf8526410e647eb0028de89dba04e","target":{"kind":"User","name":"dave@partner.example","uid":"01a21823-413f-7a78-aafb-9a3b9d935719"},"tier":"security","time":"2026-11-26T13:54:53.375204Z","type":"user_signed_in_saml","writer":"replica-1/0","hash":"965f48294210ee8302044a4fc6d51fe62a7b3ebb112b0402949b23ecb75f769b"}');
INSERT INTO audit_records VALUES('01a21823-4173-764d-8000-00062eb00ae4','replica-1/0',6,1795701293427394,'user_created_jit','success','okta','okta','41QS-6E4M','{"actor":{"id":"okta","ip":"127.0.0.1","kind":"idp","userAgent":"Go-http-client/1.1"},"details":{"idp":"okta","idpUID":"3f0671a4-7d4c-5b3d-b768-4a420e188240","matchedBy":"created","secondFactor":true},"id":"01a21823-4173-764d-8000-00062eb00ae4","outcome":"success","previousHash":"965f48294210ee8302044a4fc6d51fe62a7b3ebb112b0402949b23ecb75f769b","request":"41QS-6E4M","sequence":6,"target":{"kind":"User","name":"alice@acme.example","uid":"01a21823-4173-78c9-99bf-fd9e3e016734"},"tier":"security","time":"2026-11-26T13:54:53.427394Z","type":"user_created_jit","writer":"replica-1/0","hash":"91766ead2e1233e45936b1e089a5c118fb572a302e217af9fc68b0fdfccaf6bd"}');
INSERT INTO audit_records VALUES('01a21823-4173-764d-8000-00072173475f','replica-1/0',7,1795701293427394,'idp_group_discovered','success','okta','okta','41QS-6E4M','{"actor":{"id":"okta","ip":"127.0.0.1","kind":"idp","userAgent":"Go-http-client/1.1"},"details":{"cause":"sign_in","groups":["dev","ops"],"idp":"okta","idpUID":"3f0671a4-7d4c-5b3d-b768-4a420e188240"},"id":"01a21823-4173-764d-8000-00072173475f","outcome":"success","previousHash":"91766ead2e1233e45936b1e089a5c118fb572a302e217af9fc68b0fdfccaf6bd","request":"41QS-6E4M","sequence":7,"target":{"kind":"User","name":"alice@acme.example","uid":"01a21823-4173-78c9-99bf-fd9e3e016734"},"tier":"operational","time":"2026-11-26T13:54:53.427394Z","type":"idp_group_discovered","writer":"replica-1/0","hash":"d42702aba55a735b9b889d2b40e5ec6ead3258509c7dcb569f9975f029f8571c"}');
INSERT INTO audit_records VALUES('01a21823-4173-764d-8000-000895d82976','replica-1/0',8,1795701293427394,'idp_group_member_added','success','okta','okta','41QS-6E4M','{"actor":{"id":"okta","ip":"127.0.0.1","kind":"idp","userAgent":"Go-http-client/1.1"},"details":{"cause":"sign_in","groups":["dev","ops"],"idp":"okta","idpUID":"3f0671a4-7d4c-5b3d-b768-4a420e188240"},"id":"01a21823-4173-764d-8000-000895d82976","outcome":"success","previousHash":"d42702aba55a735b9b889d2b40e5ec6ead3258509c7dcb569f9975f029f8571c","request":"41QS-6E4M","sequence":8,"target":{"kind":"User","name":"alice@acme.example","uid":"01a21823-4173-78c9-99bf-fd9e3e016734"},"tier":"operational","time":"2026-11-26T13:54:53.427394Z","type":"idp_group_member_added","writer":"replica-1/0","hash":"00f5459024cc26cfd213c28631c237861e1ec7b910731c0017e5c9e78d19c199"}');
INSERT INTO audit_records VALUES('01a21823-4173-764d-8000-0009640a9d1d','replica-1/0',9,1795701293427394,'user_profile_updated','success','okta','okta','41QS-6E4M','{"actor":{"id":"okta","ip":"127.0.0.1","kind":"idp","userAgent":"Go-http-client/1.1"},"details":{"added":["department"],"cause":"idp_mirror","idp":"okta"},"id":"01a21823-4173-764d-8000-0009640a9d1d","outcome":"success","previousHash":"00f5459024cc26cfd213c28631c237861e1ec7b910731c0017e5c9e78d19c199","request":"41QS-6E4M","sequence":9,"target":{"kind":"User","name":"alice@acme.example","uid":"01a21823-4173-78c9-99bf-fd9e3e016734"},"tier":"operational","time":"2026-11-26T13:54:53.427394Z","type":"user_profile_updated","writer":"replica-1/0","hash":"962eed4d31b018c941afe3a76915ec59e439d21b2d4722d05c83ce2740992f49"}');
INSERT INTO audit_records VALUES('01a21823-4173-764d-8000-000ac069823e','replica-1/0',10,1795701293427394,'user_signed_in_saml','success','alice@acme.example','okta','41QS-6E4M','{"actor":{"email":"alice@acme.example","id":"01a21823-4173-78c9-99bf-fd9e3e016734","ip":"127.0.0.1","kind":"user","userAgent":"Go-http-client/1.1"},"details":{"idp":"okta","idpUID":"3f0671a4-7d4c-5b3d-b768-4a420e188240","matchedBy":"created","secondFactor":true},"id":"01a21823-4173-764d-8000-000ac069823e","outcome":"success","previousHash":"962eed4d31b018c941afe3a76915ec59e439d21b2d4722d05c83ce2740992f49","request":"41QS-6E4M","sequence":10,"session":"9fda97bc7ee9773150c416bc3b840cd0cde81fb6199a510a49edb92ef69f7cf1","target":{"kind":"User","name":"alice@acme.example","uid":"01a21823-4173-78c9-99bf-fd9e3e016734"},"tier":"security","time":"2026-11-26T13:54:53.427394Z","type":"user_signed_in_saml","writer":"replica-1/0","hash":"144a1c2c30f7ef52956984c63c29f4bf67985e6134fc84973cad3a82b42d005e"}');
INSERT INTO audit_records VALUES('01a21823-41a7-782d-8000-000bc13685c0','replica-1/0',11,1795701293479511,'second_factor_enrolled','success','alice@acme.example','','Y56Z-10J7','{"actor":{"email":"alice@acme.example","id":"01a21823-4173-78c9-99bf-fd9e3e016734","ip":"127.0.0.1","kind":"user","userAgent":"Go-http-client/1.1"},"details":{"method":"totp"},"id":"01a21823-41a7-782d-8000-000bc13685c0","outcome":"success","previousHash":"144a1c2c30f7ef52956984c63c29f4bf67985e6134fc84973cad3a82b42d005e","request":"Y56Z-10J7","sequence":11,"session":"9fda97bc7ee9773150c416bc3b840cd0cde81fb6199a510a49edb92ef69f7cf1","target":{"kind":"User","name":"alice@acme.example","uid":"01a21823-4173-78c9-99bf-fd9e3e016734"},"tier":"security","time":"2026-11-26T13:54:53.479511Z","type":"second_factor_enrolled","writer":"replica-1/0","hash":"f2a12d766f6a719f376caf4a92ca589a050fcb0196589606206dd3c0395055bf"}');
INSERT INTO audit_records VALUES('01a21823-41a7-782d-8000-000c0bafc1ae','replica-1/0',12,1795701293479511,'second_factor_verified','success','alice@acme.example','','Y56Z-10J7','{"actor":{"email":"alice@acme.example","id":"01a21823-4173-78c9-99bf-fd9e3e016734","ip":"127.0.0.1","kind":"user","userAgent":"Go-http-client/1.1"},"details":{"method":"totp"},"id":"01a21823-41a7-782d-8000-000c0bafc1ae","outcome":"success","previousHash":"f2a12d766f6a719f376caf4a92ca589a050fcb0196589606206dd3c0395055bf","request":"Y56Z-10J7","sequence":12,"session":"8e465a5d3142078f80283abc11bcef059df9405aab29dd0deb5cef1eb06d093b","target":{"kind":"User","name":"alice@acme.example","uid":"01a21823-4173-78c9-99bf-fd9e3e016734"},"tier":"security","time":"2026-11-26T13:54:53.479511Z","type":"second_factor_verified","writer":"replica-1/0","hash":"23285b37244faf58fffe4b4e2c30a63cd5ce2b4ba8166042fa4491d1433ce9ad"}');
INSERT INTO audit_records VALUES('01a21823-41b2-7608-8000-000d715cae5e','replica-1/0',13,1795701293490377,'user_created_jit','success','okta','okta','7BC7-EWV9','{"actor":{"id":"okta","ip":"127.0.0.1","kind":"idp","userAgent":"Go-http-client/1.1"},"details":{"idp":"okta","idpUID":"3f0671a4-7d4c-5b3d-b768-4a420e188240","matchedBy":"created","secondFactor":true},"id":"01a21823-41b2-7608-8000-000d715cae5e","outcome":"success","previousHash":"23285b37244faf58fffe4b4e2c30a63cd5ce2b4ba8166042fa4491d1433ce9ad","request":"7BC7-EWV9","sequence":13,"target":{"kind":"User","name":"carol@acme.example","uid":"01a21823-41b2-7cf5-b489-48f498764bf5"},"tier":"security","time":"2026-11-26T13:54:53.490377Z","type":"user_created_jit","writer":"replica-1/0","hash":"0da59150cbaa3f25de7c73a087ca7e181670c693b9e14bb1594a3193a79360aa"}');
INSERT INTO audit_records VALUES('01a21823-41b2-7608-8000-000e4119f408','replica-1/0',14,1795701293490377,'idp_group_member_added','success','okta','okta','7BC7-EWV9','{"actor":{"id":"okta","ip":"127.0.0.1","kind":"idp","userAgent":"Go-http-client/1.1"},"details":{"cause":"sign_in","groups":["dev","ops"],"idp":"okta","idpUID":"3f0671a4-7d4c-5b3d-b768-4a420e188240"},"id":"01a21823-41b2-7608-8000-000e4119f408","outcome":"success","previousHash":"0da59150cbaa3f25de7c73a087ca7e181670c693b9e14bb1594a3193a79360aa","request":"7BC7-EWV9","sequence":14,"target":{"kind":"User","name":"carol@acme.example","uid":"01a21823-41b2-7cf5-b489-48f498764bf5"},"tier":"operational","time":"2026-11-26T13:54:53.490377Z","type":"idp_group_member_added","writer":"replica-1/0","hash":"9d30a559a9d024afec8c4affd82eaad028f135d6d7fe415db5e33949a4d0d67b"}');
INSERT INTO audit_records VALUES('01a21823-41b2-7608-8000-000f654c60b7','replica-1/0',15,1795701293490377,'user_profile_updated','success','okta','okta','7BC7-EWV9','{"actor":{"id":"okta","ip":"127.0.0.1","kind":"idp","userAgent":"Go-http-client/1.1"},"details":{"added":["department"],"cause":"idp_mirror","idp":"okta"},"id":"01a21823-41b2-7608-8000-000f654c60b7","outcome":"success","previousHash":"9d30a559a9d024afec8c4affd82eaad028f135d6d7fe415db5e33949a4d0d67b","request":"7BC7-EWV9","sequence":15,"target":{"kind":"User","name":"carol@acme.example","uid":"01a21823-41b2-7cf5-b489-48f498764bf5"},"tier":"operational","time":"2026-11-26T13:54:53.490377Z","type":"user_profile_updated","writer":"replica-1/0","hash":"275aa6eec7dca97407616b0ca7b31393e76c6fcc07d796124ee0200ced3b37b2"}');
INSERT INTO audit_records VALUES('01a21823-41b2-7608-8000-0010eea1d7a6','replica-1/0',16,1795701293490377,'user_signed_in_saml','success','carol@acme.example','okta','7BC7-EWV9','{"actor":{"email":"carol@acme.example","id":"01a21823-41b2-7cf5-b489-48f498764bf5","ip":"127.0.0.1","kind":"user","userAgent":"Go-http-client/1.1"},"details":{"idp":"okta","idpUID":"3f0671a4-7d4c-5b3d-b768-4a420e188240","matchedBy":"created","secondFactor":true},"id":"01a21823-41b2-7608-8000-0010eea1d7a6","outcome":"success","previousHash":"275aa6eec7dca97407616b0ca7b31393e76c6fcc07d796124ee0200ced3b37b2","request":"7BC7-EWV9","sequence":16,"session":"99d7fd2193c4fcb3f7f78247b6f4160d95cee085b2be7d454200170d9bec8a39","target":{"kind":"User","name":"carol@acme.example","uid":"01a21823-41b2-7cf5-b489-48f498764bf5"},"tier":"security","time":"2026-11-26T13:54:53.490377Z","type":"user_signed_in_saml","writer":"replica-1/0","hash":"f385353908bd8af805ea1eaef26e6d0e976fe017f8f671fe003f30da64298ca8"}');
INSERT INTO audit_records VALUES('01a21823-41b5-79c6-8000-001121ad4e7d','replica-1/0',17,1795701293493611,'user_suspended','success','operator','okta','D54W-XP92','{"actor":{"id":"operator","kind":"system"},"details":{"cause":"suspended","idp":"okta","sessions":1},"id":"01a21823-41b5-79c6-8000-001121ad4e7d","outcome":"success","previousHash":"f385353908bd8af805ea1eaef26e6d0e976fe017f8f671fe003f30da64298ca8","request":"D54W-XP92","sequence":17,"target":{"kind":"User","name":"carol@acme.example","uid":"01a21823-41b2-7cf5-b489-48f498764bf5"},"tier":"security","time":"2026-11-26T13:54:53.493611Z","type":"user_suspended","writer":"replica-1/0","hash":"1a1c35534d0d1c7788501f73e404a5094d5d6b44d20550d1872813a90c66ebb8"}');
INSERT INTO audit_records VALUES('01a21823-41b8-770e-8000-0012b5ed2c19','replica-1/0',18,1795701293496441,'audit_checkpoint','success','','','','{"actor":{"kind":"system"},"details":{"closing":true,"head":{"hash":"1a1c35534d0d1c7788501f73e404a5094d5d6b44d20550d1872813a90c66ebb8","sequence":17,"writer":"replica-1/0"},"keyID":"9bae200d874ac14e","signature":"uqh/XJQ4zOF+tLGI88SeFx38saI2jV5nHO0cqUHxzeQp2yE6Dyhfq9pODuFbFFIXkQ4bDgGm9dgq1rwMblAnDQ==","time":"2026-11-26T13:54:53.496441Z"},"id":"01a21823-41b8-770e-8000-0012b5ed2c19","outcome":"success","previousHash":"1a1c35534d0d1c7788501f73e404a5094d5d6b44d20550d1872813a90c66ebb8","sequence":18,"target":{"kind":"AuditLog","name":"replica-1/0"},"tier":"system","time":"2026-11-26T13:54:53.496441Z","type":"audit_checkpoint","writer":"replica-1/0","hash":"7a125094b6628dd5f4eca5c039ae943facdd15592e7c0110b605297c174ca2a4"}');
CREATE TABLE audit_cursors (
    sink TEXT NOT NULL,
    writer TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (sink, writer)
);
INSERT INTO audit_cursors VALUES('stdout','',0);
INSERT INTO audit_cursors VALUES('stdout','replica-1/0',18);
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until BIGINT NOT NULL
);
INSERT INTO leases VALUES('sink/stdout','5bcf3a5c-76a0-4c2c-a027-8f26b40e4facreplica-1',1795701323501057);
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
CREATE TABLE audit_keys (
    key TEXT PRIMARY KEY,
    at BIGINT NOT NULL
);
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('goose_db_version',5);
CREATE INDEX pending_requests_expiry ON pending_requests (expires_at);
CREATE INDEX seen_assertions_expiry ON seen_assertions (until);
CREATE INDEX users_suspended ON users (email) WHERE suspended_at > 0;
CREATE UNIQUE INDEX links_subject ON links (idp_uid, subject) WHERE subject IS NOT NULL;
CREATE INDEX links_idp ON links (idp_uid, user_id);
CREATE INDEX sessions_user ON sessions (user_id, created_at);
CREATE INDEX sessions_name_id ON sessions (idp_uid, name_id);
CREATE INDEX sessions_domain ON sessions (idp_uid, email_domain);
CREATE INDEX sessions_created ON sessions (created_at, token_hash);
CREATE INDEX sessions_expiry ON sessions (expires_at);
CREATE INDEX evictions_at ON evictions (at);
CREATE INDEX second_factors_user ON second_factors (user_id);
CREATE UNIQUE INDEX audit_records_chain ON audit_records (writer, sequence);
CREATE INDEX audit_records_type ON audit_records (type, id);
CREATE INDEX audit_records_actor ON audit_records (actor, id) WHERE actor <> '';
CREATE INDEX audit_records_idp ON audit_records (idp, id) WHERE idp <> '';
CREATE INDEX audit_records_request ON audit_records (request) WHERE request <> '';
CREATE INDEX debug_entries_kind ON debug_entries (idp_uid, error_type, id);
CREATE INDEX debug_entries_reference ON debug_entries (reference);
CREATE INDEX links_group_overage ON links (idp_uid) WHERE group_overage;
CREATE INDEX audit_keys_at ON audit_keys (at);
CREATE INDEX users_of_idp ON users (idp_uid);
COMMIT;
