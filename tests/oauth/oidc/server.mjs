// An OAuth 2.0 server that nobody of this project wrote, set up as near to Atlassian's shape as it goes: a confidential
// client, the code flow, rotating refresh tokens without any leeway. Usage: node server.mjs '<JSON settings>'.
import http from 'node:http';
import Provider from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${settings.port}`;
const counts = { token: 0, refused: 0 };

const provider = new Provider(issuer, {
  clients: [{
    client_id: settings.client_id,
    client_secret: settings.client_secret,
    redirect_uris: [settings.redirect_uri],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_post',
    application_type: 'native',
    id_token_signed_response_alg: 'ES256',
  }],
  scopes: ['openid', 'offline_access', 'read:me', 'read:confluence-groups'],
  extraParams: ['audience'],
  pkce: { required: () => settings.pkce },
  features: { devInteractions: { enabled: false } },
  routes: { authorization: '/authorize', token: '/oauth/token' },
  ttl: { AccessToken: 3600, AuthorizationCode: 60, RefreshToken: 86400, Grant: 86400, Session: 3600, Interaction: 600, IdToken: 3600 },
  issueRefreshToken: async () => true,
  rotateRefreshToken: () => true,
  cookies: { keys: ['only-for-tests'] },
  jwks: { keys: [JSON.parse(settings.jwk)] },
  findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
});

// The person at the screen: signs in and consents (or declines) at once.
async function interact(request, response) {
  const { uid, prompt, params, session } = await provider.interactionDetails(request, response);
  if (settings.decline) {
    return provider.interactionFinished(request, response, { error: 'access_denied', error_description: 'User said no' });
  }
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: 'somebody' } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}

const handle = provider.callback();
http.createServer((request, response) => {
  if (request.url === '/counts') {
    response.setHeader('content-type', 'application/json');
    return response.end(JSON.stringify(counts));
  }
  if (request.url === '/oauth/token') {
    counts.token += 1;
    response.on('finish', () => { if (response.statusCode >= 400) counts.refused += 1; });
  }
  if (request.url.startsWith('/interaction/')) {
    return interact(request, response).catch((error) => { response.statusCode = 500; response.end(String(error)); });
  }
  return handle(request, response);
}).listen(settings.port, '127.0.0.1', () => console.log('listening'));
