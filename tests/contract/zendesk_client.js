// SPDX-FileCopyrightText: the dray authors
// SPDX-License-Identifier: Apache-2.0
//
// The official client reads and writes on a server at argv[2] with the OAuth token argv[3]; what it was told goes to stdout as JSON.
// Started by test_zendesk.py, which compares it with what the simulator holds.
const {createClient} = require('node-zendesk');

const [url, token] = process.argv.slice(2);
const client = createClient({endpointUri: `${url}/api/v2`, oauth: true, token});
const told = (answer) => answer.result ?? answer;

async function refused(call) {
  try {
    await call();
  } catch (error) {
    return String(error.message);
  }
  return null;
}

async function reads() {
  return {
    me: told(await client.users.me()),
    users: await client.users.list(),
    groups: await client.groups.list(),
    tickets: await client.tickets.list(),
    organizations: await client.organizations.list(),
    ticket_fields: await client.ticketfields.list(),
    user_fields: await client.userfields.list(),
    organization_memberships: await client.organizationmemberships.list(),
    exported: await client.tickets.incremental(1),
  };
}

async function people() {
  const made = told(await client.users.create({user: {
    name: 'Ünï 🦊', email: 'Uni@example.com', external_id: 'node-1', user_fields: {visits: 9007199254740991, tier: 'tier_gold'}}}));
  await client.users.update(made.id, {user: {notes: 'from node'}});
  const upserted = told(await client.users.createOrUpdate({user: {external_id: 'NODE-1', phone: '+49 30'}}));
  const submitted = told(await client.users.createOrUpdateMany({users: [{name: 'M1', external_id: 'm1'}, {name: 'M2', email: 'bad'}]}));
  const job = await client.jobstatuses.watch((submitted.job_status ?? submitted).id, 100, 100);
  await client.users.addTags(made.id, {tags: ['From Node']});
  const organization = told(await client.organizations.create({organization: {name: 'Node GmbH', external_id: 'n-org'}}));
  const membership = told(await client.organizationmemberships.create({user_id: made.id, organization_id: organization.id}));
  return {made, upserted, job: job.job_status ?? job, organization, membership, shown: told(await client.users.show(made.id)),
    refused: await refused(() => client.users.create({user: {name: ''}})), missing: await refused(() => client.users.show(5))};
}

async function tickets(requester_id) {
  const made = told(await client.tickets.create({ticket: {subject: 'From node', comment: {body: 'hi'}, requester_id}}));
  await client.tickets.update(made.id, {ticket: {status: 'solved', tags: ['n'], comment: {body: 'done', public: false}}});
  const gone = told(await client.tickets.create({ticket: {subject: 'Gone', comment: {body: 'x'}}}));
  await client.tickets.delete(gone.id);
  return {made, gone, comments: await client.tickets.getComments(made.id), shown: told(await client.tickets.show(made.id))};
}

(async () => {
  const out = {reads: await reads(), people: await people()};
  out.tickets = await tickets(out.people.made.id);
  console.log(JSON.stringify(out));
})().catch((error) => {
  console.error(error, JSON.stringify(error.result));
  process.exit(1);
});
