// An identity provider over npm's samlp: login form, answer, logout, metadata.
// What it does stands in the file that USHER_TEST_STATE names, and is read at each request.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const samlp = require('samlp');
const SessionParticipants = require('samlp/lib/sessionParticipants');

const sessions = new Map();
const load = () => JSON.parse(fs.readFileSync(process.env.USHER_TEST_STATE, 'utf8'));

const escape = (text) =>
  String(text).replace(/[&<>"']/g, (found) => `&#${found.charCodeAt(0)};`);

const pem = (base64) =>
  `-----BEGIN CERTIFICATE-----\n${base64.match(/.{1,64}/g).join('\n')}\n-----END CERTIFICATE-----\n`;

// What a person's attributes are called: as at Okta.
function profile(person, answers) {
  return {
    getClaims: () => ({
      email: person.mail,
      firstName: person.given_name,
      lastName: person.family_name,
      groups: person.groups,
    }),
    getNameIdentifier: () => ({ nameIdentifier: answers.name_id || person.name }),
  };
}

// The little of express that samlp asks for.
function dress(response) {
  response.set = (name, value) => response.setHeader(name, value);
  response.send = (body) => {
    if (typeof body === 'number') response.statusCode = body;
    response.end(typeof body === 'number' ? 'You are signed out.' : body);
  };
  response.redirect = (url) => {
    response.writeHead(302, { Location: url });
    response.end();
  };
  return response;
}

function sessionOf(request, response) {
  const cookies = new URLSearchParams((request.headers.cookie || '').replace(/;\s*/g, '&'));
  let id = cookies.get('idp_session');
  if (!sessions.has(id)) {
    id = crypto.randomBytes(16).toString('hex');
    sessions.set(id, { id, person: null, participants: [] });
    response.setHeader('Set-Cookie', `idp_session=${id}; Path=/; HttpOnly`);
  }
  return sessions.get(id);
}

function showForm(request, response) {
  const hidden = Object.entries(request.body)
    .map(([name, value]) => `<input type="hidden" name="${escape(name)}" value="${escape(value)}">`)
    .join('');
  response.set('Content-Type', 'text/html');
  response.send(
    `<form method="post" action="${escape(request.url)}">${hidden}` +
      '<input name="username"><input name="password" type="password"></form>',
  );
}

function signIn(request, response, state, next) {
  const given = state.people.find(
    (one) => one.name === request.body.username && one.password === request.body.password,
  );
  delete request.body.username;
  delete request.body.password;
  const session = request.session;
  session.person = given || session.person;
  samlp.parseRequest(request, (error, asked) => {
    if (error || !asked) return next(error || new Error('no request'));
    const isAskedAgain = asked.forceAuthn === 'true' && !given;
    if (!session.person || isAskedAgain) return showForm(request, response);
    const provider = state.service_provider;
    if (asked.issuer !== provider.entity_id) return next(new Error('unknown service provider'));
    const sessionIndex = `_${crypto.randomBytes(16).toString('hex')}`;
    const nameId = state.answers.name_id || session.person.name;
    session.participants.push({
      serviceProviderId: provider.entity_id,
      sessionIndex,
      nameId,
      nameIdFormat: 'urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified',
      serviceProviderLogoutURL: provider.slo,
      cert: pem(provider.certificate),
      binding: `urn:oasis:names:tc:SAML:2.0:bindings:HTTP-${state.answers.binding === 'post' ? 'POST' : 'Redirect'}`,
    });
    const encrypted = state.answers.encrypt && {
      encryptionCert: pem(provider.certificate),
      encryptionPublicKey: crypto.createPublicKey(pem(provider.certificate)).export({ type: 'spki', format: 'pem' }),
    };
    return samlp.auth({
      issuer: state.entity_id,
      cert: fs.readFileSync(state.certificate, 'utf8'),
      key: fs.readFileSync(state.key, 'utf8'),
      audience: state.answers.audience || provider.entity_id,
      destination: provider.acs,
      recipient: provider.acs,
      lifetimeInSeconds: 300,
      sessionIndex,
      nameIdentifierFormat: 'urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified',
      signResponse: state.answers.sign_response,
      signAssertion: state.answers.sign_assertion,
      signingCert: request.query.Signature ? pem(provider.certificate) : undefined,
      profileMapper: (person) => profile(person, state.answers),
      getUserFromRequest: () => session.person,
      getPostURL: (audience, dom, asking, callback) => callback(null, provider.acs),
      ...encrypted,
    })(request, response, next);
  });
}

function signOut(request, response, state, next) {
  const session = request.session;
  return samlp.logout({
    issuer: state.entity_id,
    cert: fs.readFileSync(state.certificate, 'utf8'),
    key: fs.readFileSync(state.key, 'utf8'),
    protocolBinding: 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect',
    deflate: true,
    signatureAlgorithm: 'rsa-sha256',
    digestAlgorithm: 'sha256',
    sessionParticipants: new SessionParticipants(session.participants),
    clearIdPSession: (callback) => {
      session.person = null;
      return callback();
    },
  })(request, response, next);
}

function showMetadata(request, response, state) {
  samlp.metadata({
    issuer: state.entity_id,
    cert: fs.readFileSync(state.published[0], 'utf8'),
    redirectEndpointPath: '/sso',
    postEndpointPath: '/sso',
    logoutEndpointPaths: { redirect: '/slo', post: '/slo' },
  })(request, response);
}

const server = http.createServer((request, response) => {
  dress(response);
  const state = load();
  const url = new URL(request.url, state.url);
  let text = '';
  request.on('data', (part) => (text += part));
  request.on('end', () => {
    const next = (error) => {
      response.statusCode = 400;
      response.end(error ? String(error.stack || error) : 'Not found');
    };
    request.query = Object.fromEntries(url.searchParams);
    request.body = Object.fromEntries(new URLSearchParams(text));
    request.originalUrl = request.url;
    request.protocol = 'http';
    request.session = sessionOf(request, response);
    const pages = { '/sso': signIn, '/slo': signOut, '/metadata': showMetadata };
    try {
      (pages[url.pathname] || ((a, b, c, d) => d()))(request, response, state, next);
    } catch (error) {
      next(error);
    }
  });
});
server.listen(new URL(load().url).port, '127.0.0.1');
