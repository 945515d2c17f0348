// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// Who may do what: static, client-credentials and rotating offline tokens with the OAuth endpoint, and access scopes
// by field.
'use strict';

const crypto = require('crypto');
const { nodeType } = require('./schema');
const { failure } = require('./vendor_errors');

const REFRESH_DAYS = 90;
const OLD_REFRESH_DAYS = 30;
const CREDENTIALS_TTL = 86399;
const DAY_MS = 86400000;
const CODE_MS = 600000;
const SCOPES = [
  'read_all_orders',
  'read_customers',
  'read_draft_orders',
  'read_inventory',
  'read_locations',
  'read_metaobjects',
  'read_orders',
  'read_products',
  'write_customers',
  'write_draft_orders',
  'write_inventory',
  'write_orders',
  'write_products',
];

class Access {
  constructor(sim, map) {
    this.sim = sim;
    this.map = map;
    this.denied = new Set(); // fields that the app has no approval for (protected customer data), as `Type.field`
    this.setScopes(sim.options.scopes ? sim.options.scopes.split(',') : SCOPES);
    this.tokens = new Map();
    this.refreshTokens = new Map();
    this.codes = new Map(); // -> {expires, redirectUri}
    this.issued = 0;
    this.cache = new Map();
    this.installed = true;
    this.permitted = true;
    if (sim.options.token) this.tokens.set(sim.options.token, { kind: 'static', expires: Infinity });
    this.addRefresh(sim.options.refreshToken, null);
  }

  setScopes(list) {
    this.scopes = new Set(list.filter(Boolean));
    for (const one of list) if (one.startsWith('write_')) this.scopes.add(one.replace('write_', 'read_'));
  }

  fresh(prefix) {
    this.issued += 1;
    const made = crypto.createHash('sha256').update(`${this.sim.options.seed}-${prefix}-${this.issued}`);
    return `${prefix}_${made.digest('hex').slice(0, 32)}`;
  }

  addRefresh(token, replaces) {
    this.refreshTokens.set(token, { expires: this.sim.clock.now() + REFRESH_DAYS * DAY_MS, replaces, used: false });
  }

  /** {token, who} of a request, or null: unknown, expired or revoked. */
  of(request) {
    const given = request.headers['x-shopify-access-token'];
    const token = given && this.tokens.get(given);
    if (!token || token.expires <= this.sim.clock.now()) return null;
    return { scopes: this.scopes, kind: token.kind, value: given };
  }

  // ---- the OAuth endpoint ----

  /** POST /admin/oauth/access_token. The answer, with `request.note.oauth` told for the ledger (never a secret). */
  exchange(request) {
    const form = this.form(request);
    if (!form) return refused('invalid_request', 'The body is neither JSON nor a form');
    request.note.who = form.client_id;
    request.note.oauth = { grant: form.grant_type || (form.code ? 'authorization_code' : 'none') };
    if (form.client_id !== this.sim.options.clientId || form.client_secret !== this.sim.options.clientSecret) {
      return refused('application_cannot_be_found', 'The app does not exist or its secret is wrong');
    }
    if (form.grant_type === 'client_credentials') return this.credentials();
    if (form.grant_type === 'refresh_token') return this.refresh(form.refresh_token, request);
    if (form.code && ['authorization_code', undefined].includes(form.grant_type)) return this.code(form);
    return refused('invalid_request', 'Missing or invalid grant_type');
  }

  form(request) {
    const text = request.raw.toString('utf8');
    if (/json/.test(request.headers['content-type'] || '')) {
      try {
        return JSON.parse(text);
      } catch {
        return null;
      }
    }
    return Object.fromEntries(new URLSearchParams(text));
  }

  credentials() {
    if (!this.installed) return refused('app_not_installed', 'The app is not installed on this shop');
    if (!this.permitted) return refused('shop_not_permitted', 'Client credentials cannot be performed on this shop');
    const token = this.fresh('shpat');
    this.tokens.set(token, { kind: 'client_credentials', expires: this.sim.clock.now() + CREDENTIALS_TTL * 1000 });
    return { status: 200, body: { access_token: token, scope: this.scopeText(), expires_in: CREDENTIALS_TTL } };
  }

  /** GET /admin/oauth/authorize: where the merchant says yes; here that is said at once, and the browser sent back. */
  authorize(request) {
    const asked = Object.fromEntries(request.query);
    const { clientId, redirectUri, shop } = this.sim.options;
    if (asked.client_id !== clientId) return refused('invalid_request', 'Could not find Shopify API application');
    if (asked.redirect_uri !== redirectUri)
      return refused('invalid_request', 'The redirect_uri is not whitelisted');
    const wrong = (asked.scope || '').split(',').filter((one) => !SCOPES.includes(one.trim()));
    if (wrong.length) return refused('invalid_scope', `There is no such scope: ${wrong.join(', ')}`);
    const code = this.newCode();
    const back = new URLSearchParams({ code, shop, ...(asked.state && { state: asked.state }) });
    return { status: 302, headers: { Location: `${redirectUri}?${back}` }, body: null };
  }

  newCode() {
    const code = this.fresh('code');
    this.codes.set(code, { expires: this.sim.clock.now() + CODE_MS, redirectUri: this.sim.options.redirectUri });
    return code;
  }

  code(form) {
    const granted = this.codes.get(form.code);
    this.codes.delete(form.code); // good for one attempt
    if (!granted || granted.expires <= this.sim.clock.now())
      return refused('invalid_request', 'The authorization code was not found or was already used');
    if (form.redirect_uri !== undefined && form.redirect_uri !== granted.redirectUri)
      return refused('invalid_request', 'The redirect_uri is not the one that the code was granted for');
    if (form.expiring !== undefined && !['0', '1'].includes(String(form.expiring)))
      return refused('invalid_request', 'expiring is 0 or 1');
    if (String(form.expiring) !== '1') {
      const token = this.fresh('shpat');
      this.tokens.set(token, { kind: 'static', expires: Infinity });
      return { status: 200, body: { access_token: token, scope: this.scopeText() } };
    }
    return this.pair(null);
  }

  /** A new pair for a refresh token. Using a token for the first time ends the one that it replaced. */
  refresh(token, request) {
    const now = this.sim.clock.now();
    const known = this.refreshTokens.get(token);
    if (!known || known.expires <= now) {
      request.note.oauth.refused = known ? 'expired' : 'unknown or replaced';
      return refused('invalid_grant', 'The refresh token is invalid, expired or was replaced');
    }
    if (known.replaces) {
      this.refreshTokens.delete(known.replaces);
      known.replaces = null;
    }
    // A second use of the same token (the answer to the first was lost): what that one made and nobody used is void.
    if (known.used) {
      for (const [other, entry] of this.refreshTokens) if (entry.replaces === token) this.refreshTokens.delete(other);
    }
    request.note.oauth.again = known.used;
    known.used = true;
    known.expires = Math.min(known.expires, now + OLD_REFRESH_DAYS * DAY_MS);
    return this.pair(token);
  }

  pair(replaces) {
    const { tokenTtl } = this.sim.options;
    const [access, next] = [this.fresh('shpat'), this.fresh('shprt')];
    this.tokens.set(access, { kind: 'offline', expires: this.sim.clock.now() + tokenTtl * 1000 });
    this.addRefresh(next, replaces);
    return {
      status: 200,
      body: {
        access_token: access,
        scope: this.scopeText(),
        expires_in: tokenTtl,
        refresh_token: next,
        refresh_token_expires_in: REFRESH_DAYS * 86400,
      },
    };
  }

  scopeText() {
    return [...this.scopes]
      .filter((one) => !this.scopes.has(one.replace('read_', 'write_')) || !one.startsWith('read_'))
      .sort()
      .join(',');
  }

  // ---- scopes ----

  /** What a field needs: {scopes: any of these, text}, or null. */
  needs(typeName, field) {
    const name = `${typeName}.${field.name}`;
    if (!this.cache.has(name)) {
      this.cache.set(
        name,
        this.map.get(name) || (typeName === 'Mutation' ? null : this.map.get(nodeType(field.type).name)) || null,
      );
    }
    return this.cache.get(name);
  }

  allows(typeName, field) {
    const needs = this.needs(typeName, field);
    return !needs || needs.scopes.some((scope) => this.scopes.has(scope));
  }

  /** Throws ACCESS_DENIED when the app may not see this field. */
  check(typeName, field) {
    if (this.denied.has(`${typeName}.${field.name}`) || this.denied.has(typeName)) {
      throw failure(
        `This app is not approved to access the ${typeName}.${field.name} field. See ` +
          'https://shopify.dev/docs/apps/launch/protected-customer-data for more details.',
        'ACCESS_DENIED',
        { documentation: 'https://shopify.dev/docs/apps/launch/protected-customer-data' },
      );
    }
    if (!this.allows(typeName, field)) {
      const { text } = this.needs(typeName, field);
      throw failure(`Access denied for ${field.name} field. Required access: ${text}`, 'ACCESS_DENIED', {
        documentation: 'https://shopify.dev/api/usage/access-scopes',
        requiredAccess: text,
      });
    }
  }

  /** For mutations whose scope depends on the record that they write. */
  checkWrite(kind, field) {
    const scope = {
      Customer: 'write_customers',
      Order: 'write_orders',
      Product: 'write_products',
      ProductVariant: 'write_products',
      Collection: 'write_products',
      DraftOrder: 'write_draft_orders',
    }[kind];
    if (!scope || this.scopes.has(scope)) return;
    throw failure(`Access denied for ${field} field. Required access: \`${scope}\` access scope.`, 'ACCESS_DENIED', {
      documentation: 'https://shopify.dev/api/usage/access-scopes',
      requiredAccess: `\`${scope}\` access scope.`,
    });
  }

  /** For tests: revoke a token or all, change scopes, deny fields, end the installation, grant access (`code`). */
  order({ revoke, scopes, deny, installed, permitted, code }) {
    if (revoke === 'all') this.tokens.clear();
    else if (revoke) this.tokens.delete(revoke);
    if (scopes) this.setScopes(scopes);
    if (deny) this.denied = new Set(deny);
    if (installed !== undefined) this.installed = installed;
    if (permitted !== undefined) this.permitted = permitted;
    return code ? { ...this.shown(), code: this.newCode() } : this.shown();
  }

  shown() {
    const now = this.sim.clock.now();
    const live = (map) => [...map].filter(([, one]) => one.expires > now).map(([token]) => token);
    return {
      tokens: live(this.tokens),
      refresh_tokens: live(this.refreshTokens),
      scopes: [...this.scopes].sort(),
      denied: [...this.denied],
    };
  }
}

function refused(error, description) {
  return { status: 400, body: { error, error_description: description } };
}

module.exports = { Access };
