// jsforce, unmodified, against an org: prints what it saw as one line of JSON.
// usage: node jsforce_story.js URL CLIENT_ID CLIENT_SECRET STORY
const jsforce = require("jsforce");

const [url, clientId, clientSecret, story] = process.argv.slice(2);

async function signIn() {
  const conn = new jsforce.Connection({ instanceUrl: url, version: "60.0", oauth2: { loginUrl: url, clientId, clientSecret } });
  const user = await conn.authorize({ grant_type: "client_credentials" });
  return { conn, user };
}

const stories = {
  async records({ conn, user }) {
    const created = await conn.sobject("Account").create({ Name: "one", Commerce_Id__c: "k" });
    const updated = await conn.sobject("Account").update({ Id: created.id, Name: "two" });
    const upserted = await conn.sobject("Account").upsert({ Name: "three", Commerce_Id__c: "k" }, "Commerce_Id__c");
    const read = await conn.sobject("Account").retrieve(created.id);
    const refused = await conn.sobject("Account").create({}).catch((error) => error.errorCode);
    const identity = await conn.identity();
    const described = await conn.sobject("Contact").describe();
    const everything = await conn.describeGlobal();
    const limits = await conn.limits();
    const deleted = await conn.sobject("Account").delete(created.id);
    const gone = await conn.sobject("Account").retrieve(created.id).catch((error) => error.errorCode);
    return {
      ids: [created.id, updated.id, upserted.id], created: upserted.created, name: read.Name, refused,
      sameUser: identity.user_id === user.id && identity.organization_id === user.organizationId,
      relationship: described.fields.find((field) => field.name === "AccountId").relationshipName,
      children: described.childRelationships.length > 0, objects: everything.sobjects.length,
      calls: limits.DailyApiRequests.Max, limitInfo: conn.limitInfo.apiUsage.limit, deleted: deleted.success, gone,
    };
  },

  async collections({ conn }) {
    const rows = Array.from({ length: 450 }, (_, n) => ({ Commerce_Id__c: `c${n}`, Name: `Zoë ${n}` }));
    rows[3].Name = "x".repeat(256);
    const made = await conn.sobject("Account").upsert(rows, "Commerce_Id__c", { allowRecursive: true, allOrNone: false });
    const ids = made.filter((row) => row.success).slice(0, 250).map((row) => row.id);
    const read = await conn.sobject("Account").retrieve(ids, { fields: ["Id", "Name"] });
    const removed = await conn.sobject("Account").delete(ids.slice(0, 2));
    return {
      failed: made.flatMap((row, n) => (row.success ? [] : [[n, row.errors[0].statusCode]])),
      read: read.length, removed: removed.map((row) => row.success),
    };
  },

  async query({ conn }) {
    const all = await conn.query("SELECT Id, Name FROM Account ORDER BY Name").run({ autoFetch: true, maxFetch: 10000 });
    const some = await conn.sobject("Account").find({ Name: { $like: "n 1%" } }, ["Id", "Name"]).sort({ Name: -1 }).limit(2);
    const nested = await conn.sobject("Account").select("Name").include("Contacts").select("LastName").end()
      .where({ Name: "n 1" }).execute();
    const count = await conn.sobject("Account").count({ Name: "n 7" });
    const found = await conn.search("FIND {n 12} RETURNING Account(Id)");
    const explained = await conn.query("SELECT Id FROM Account").explain();
    const bad = await conn.query("SELECT Nope FROM Account").catch((error) => error.errorCode);
    const removed = await conn.sobject("Contact").find({ LastName: "c" }).destroy();
    return {
      all: all.records.length, some: some.map((row) => row.Name), nested: nested[0].Contacts.records.map((row) => row.LastName),
      count, found: found.searchRecords.length, plans: explained.plans.length, bad, removed: removed.length,
    };
  },

  async bulk2({ conn }) {
    conn.bulk2.pollInterval = 50;
    const input = Array.from({ length: 300 }, (_, n) => ({ Commerce_Id__c: `b${n}`, Name: `Zoë "${n}", GmbH` }));
    input.push({ Commerce_Id__c: "bad", Name: "x".repeat(256) });
    const loaded = await conn.bulk2.loadAndWaitForResults({
      object: "Account", operation: "upsert", externalIdFieldName: "Commerce_Id__c", input, pollTimeout: 20000, pollInterval: 50,
    });
    const job = conn.bulk2.createJob({ object: "Account", operation: "insert" });
    await job.open();
    await job.uploadData("Name\nstep by step\n");
    await job.close();
    await job.poll(50, 20000);
    const info = await job.check();
    const stream = await conn.bulk2.query("SELECT Id, Name FROM Account", { pollInterval: 50 });
    const rows = await stream.toArray();
    await job.delete();
    return {
      good: loaded.successfulResults.length, bad: loaded.failedResults.map((row) => row.sf__Error.split(":")[0]),
      left: loaded.unprocessedRecords.length, state: info.state, rows: rows.length, sample: rows.map((row) => row.Name).sort()[0],
    };
  },

  async bulk1({ conn }) {
    conn.bulk.pollInterval = 50;
    const made = await conn.bulk.load("Account", "upsert", { extIdField: "Commerce_Id__c" }, [
      { Commerce_Id__c: "1", Name: "Zoë" }, { Commerce_Id__c: "2", Name: "x".repeat(256) },
    ]);
    const stream = await conn.bulk.query("SELECT Id, Name FROM Account");
    const rows = await stream.toArray();
    return { made: made.map((row) => row.success), rows: rows.map((row) => row.Name) };
  },

  async sessions({ conn }) {
    const token = conn.accessToken;
    await conn.logout();
    const other = new jsforce.Connection({ instanceUrl: url, accessToken: token, version: "60.0" });
    const dead = await other.query("SELECT Id FROM Account").catch((error) => error.errorCode || String(error));
    const bulk = await other.bulk.createJob("Account", "insert").open().catch((error) => error.errorCode || String(error));
    return { dead, bulk };
  },
};

signIn()
  .then((session) => stories[story](session))
  .then((seen) => console.log(JSON.stringify(seen)))
  .catch((error) => {
    console.error(error);
    process.exit(1);
  });
