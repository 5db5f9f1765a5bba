// An identity provider by Auth0's samlp: a page that asks for a password, and samlp for everything that is SAML.
//
// Usage: node idp.js FOLDER HOST:PORT BASE SIGNING, with FOLDER/idp.key, idp.crt, users.json and, once it is known, sp.json (the service
// provider: entityID, acsURL, signingCertificate, encryptionCertificate). SIGNING is assertion, response or both; an encrypted assertion
// is asked for by a fifth argument, the algorithm's URI.
'use strict';
const fs = require('fs');
const http = require('http');
const path = require('path');
const { URL, URLSearchParams } = require('url');
const samlp = require('samlp');

const [folder, address, base, signing, encryption] = process.argv.slice(2);
const read = (name) => fs.readFileSync(path.join(folder, name), 'utf8');
const users = JSON.parse(read('users.json'));
const EMAIL = 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress';

// mapper is samlp's way from a user to attributes; its prototype says which of them the metadata lists.
function mapper(user) {
  return {
    getClaims: () => user.Attributes,
    getNameIdentifier: () => ({ nameIdentifier: user.Attributes.email[0], nameIdentifierFormat: EMAIL }),
  };
}
mapper.prototype.metadata = [];

const identity = { issuer: base + '/samlp', cert: read('idp.crt'), key: read('idp.key'), profileMapper: mapper };
const metadata = samlp.metadata({ ...identity, redirectEndpointPath: '/sso', postEndpointPath: '/sso', logoutEndpointPaths: { none: '' } });

function signIn(user, req, res) {
  const sp = JSON.parse(read('sp.json'));
  const options = {
    ...identity, getUserFromRequest: () => user, getPostURL: (_audience, _request, _req, done) => done(null, sp.acsURL),
    audience: sp.entityID, destination: sp.acsURL, recipient: sp.acsURL, signingCert: sp.signingCertificate, sessionIndex: '_session-' + user.Name,
    lifetimeInSeconds: 300, signAssertion: signing !== 'response', signResponse: signing !== 'assertion',
    authnContextClassRef: 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport',
  };
  if (encryption) {
    // samlp calls AES-CBC insecure and wants to be told that it may use it.
    Object.assign(options, { disallowEncryptionWithInsecureAlgorithm: false, encryptionAlgorithm: encryption, encryptionCert: sp.encryptionCertificate, encryptionPublicKey: sp.encryptionPublicKey });
  }
  samlp.auth(options)(req, res, (error) => fail(res, error));
}

function fail(res, error) {
  res.statusCode = 500;
  res.end('samlp: ' + (error && error.stack));
}

const escape = (s) => s.replace(/[&<>"']/g, (c) => '&#' + c.charCodeAt(0) + ';');
const hidden = (name, value) => (value === undefined ? '' : `<input type="hidden" name="${name}" value="${escape(value)}">`);
const page = (req) => `<!doctype html><title>Sign in</title><form method="post"><input id="username" name="username"><input id="password" name="password" type="password">
  ${hidden('SAMLRequest', req.body.SAMLRequest)}${hidden('RelayState', req.body.RelayState)}<button id="submit_button">Sign in</button></form>`;

// serve gives samlp the few parts of Express that it uses.
function serve(req, res, body) {
  const url = new URL(req.url, base);
  req.originalUrl = req.url;
  req.query = Object.fromEntries(url.searchParams);
  req.body = Object.fromEntries(new URLSearchParams(body));
  res.set = (name, value) => res.setHeader(name, value);
  res.send = (content) => {
    if (typeof content === 'number') res.statusCode = content;
    res.end(String(content));
  };
  const user = users.find((u) => u.Name === req.body.username && u.Password === req.body.password);
  if (url.pathname === '/metadata') return metadata(req, res);
  if (url.pathname !== '/sso') return fail(res, new Error('no such page'));
  if (!user) {
    res.set('Content-Type', 'text/html');
    return res.send(page(req));
  }
  // samlp looks for the query's signature on a GET alone; the form came from that address.
  if (req.query.SAMLRequest) req.method = 'GET';
  return signIn(user, req, res);
}

const [host, port] = address.split(':');
http.createServer((req, res) => {
  let body = '';
  req.on('data', (chunk) => { body += chunk; });
  req.on('end', () => {
    try {
      serve(req, res, body);
    } catch (error) {
      fail(res, error);
    }
  });
}).listen(Number(port), host);
