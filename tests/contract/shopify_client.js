// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The vendor's own client reads and writes on the simulator: node shopify_client.js URL SHOP. Prints what it was told
// as JSON. The client insists on https://SHOP; its fetch is mapped to the simulator, with the shop in the path.
'use strict';

const [base, shop] = process.argv.slice(2);
const real = globalThis.fetch;
globalThis.fetch = (input, init) => {
  const url = new URL(typeof input === 'string' ? input : (input.url ?? input));
  return real(`${base}/${url.host}${url.pathname}${url.search}`, init);
};

require('@shopify/shopify-api/adapters/node');
const { shopifyApi, Session, LogSeverity } = require('@shopify/shopify-api');

const VERSION = '2026-10';

/** The other reads and writes of the scope: orders with lines, tags, consent, an order's note, a bulk operation. */
async function more(client, told) {
  const ask = async (query, variables) => (await client.request(query, { variables })).data;
  const list = await ask(`{ orders(first: 250) { nodes { id note totalPriceSet { shopMoney { amount } }
    lineItems(first: 20) { nodes { id quantity } } } } products(first: 250) { nodes { id variants(first: 9) { nodes { id } } } } }`);
  told.orders = list.orders.nodes;
  told.products = list.products.nodes;
  const [order, customer] = [told.orders[0].id, told.set.customer.id];
  told.tags = await ask(
    'mutation($id: ID!) { tagsAdd(id: $id, tags: ["more"]) { userErrors { message } } tagsRemove(id: $id, tags: ["client"]) { userErrors { message } } }',
    { id: customer },
  );
  told.consent = await ask(
    `mutation($i: CustomerEmailMarketingConsentUpdateInput!) { customerEmailMarketingConsentUpdate(input: $i) {
      customer { defaultEmailAddress { marketingState } } userErrors { message code } } }`,
    {
      i: {
        customerId: customer,
        emailMarketingConsent: { marketingState: 'SUBSCRIBED', marketingOptInLevel: 'SINGLE_OPT_IN' },
      },
    },
  );
  told.order = await ask(
    'mutation($i: OrderInput!) { orderUpdate(input: $i) { order { id note } userErrors { message } } }',
    { i: { id: order, note: 'by the official client' } },
  );
  const inner = '{ orders { edges { node { id lineItems { edges { node { id quantity } } } } } } }';
  const begun = await ask(
    'mutation($q: String!) { bulkOperationRunQuery(query: $q) { bulkOperation { id } userErrors { message } } }',
    { q: inner },
  );
  const id = begun.bulkOperationRunQuery.bulkOperation.id;
  let operation = { status: 'CREATED' };
  while (['CREATED', 'RUNNING'].includes(operation.status)) {
    operation = (
      await ask('query($id: ID!) { bulkOperation(id: $id) { status objectCount fileSize url } }', { id })
    ).bulkOperation;
    await new Promise((done) => setTimeout(done, 50));
  }
  told.bulk = { ...operation, lines: (await (await real(operation.url)).text()).trim().split('\n').map((line) => JSON.parse(line)) };
}

async function main() {
  const api = shopifyApi({
    apiKey: 'dray-client',
    apiSecretKey: 'dray-secret',
    scopes: ['write_customers', 'read_orders'],
    hostName: 'app.example',
    apiVersion: VERSION,
    isEmbeddedApp: false,
    logger: { level: LogSeverity.Error, log: async () => {} },
  });
  const told = {};
  const { session } = await api.auth.clientCredentials({ shop });
  told.token = session.accessToken;
  const client = new api.clients.Graphql({ session });

  told.customers = [];
  let after = null;
  do {
    const { data } = await client.request(
      `query($after: String) { customers(first: 80, after: $after, sortKey: UPDATED_AT) {
      edges { node { id email tags updatedAt } } pageInfo { hasNextPage endCursor } } }`,
      { variables: { after } },
    );
    told.customers.push(...data.customers.edges.map((edge) => edge.node));
    after = data.customers.pageInfo.hasNextPage ? data.customers.pageInfo.endCursor : null;
  } while (after);

  const set = await client.request(
    `mutation($input: CustomerSetInput!, $identifier: CustomerSetIdentifiers) {
    customerSet(input: $input, identifier: $identifier) { customer { id email tags } userErrors { field message code } } }`,
    {
      variables: {
        input: { email: 'official@example.com', tags: ['client'] },
        identifier: { email: 'official@example.com' },
      },
    },
  );
  told.set = set.data.customerSet;
  const fields = await client.request(
    `mutation($m: [MetafieldsSetInput!]!) { metafieldsSet(metafields: $m) {
    metafields { key value } userErrors { field message code } } }`,
    { variables: { m: [{ ownerId: told.set.customer.id, namespace: 'custom', key: 'vip', value: 'true' }] } },
  );
  told.metafields = fields.data.metafieldsSet;
  told.cost = fields.extensions.cost;

  await more(client, told);

  try {
    await client.request('{ customers(first: 1) { nodes { shoesize } } }');
  } catch (error) {
    told.refused = { name: error.constructor.name, code: error.body?.errors?.graphQLErrors?.[0]?.extensions?.code };
  }

  const first = await api.auth.refreshToken({ shop, refreshToken: 'shprt_dray_first' });
  told.refreshed = { access: first.session.accessToken, refresh: first.session.refreshToken };
  const renewed = new api.clients.Graphql({ session: new Session({ ...first.session }) });
  told.shop = (await renewed.request('{ shop { name myshopifyDomain } }')).data.shop;
  process.stdout.write(JSON.stringify(told));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n${JSON.stringify(error.body ?? error.response?.body ?? null)}\n`);
  process.exit(1);
});
