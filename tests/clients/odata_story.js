// @odata/client, unmodified, against the Integration API: prints what it saw as one line of JSON.
// usage: node odata_story.js URL CLIENT_ID CLIENT_SECRET STORY
const { OData } = require("@odata/client");

const [url, clientId, clientSecret, story] = process.argv.slice(2);
const credential = { clientId, clientSecret, tokenUrl: `${url}/authorizationserver/oauth/token`, tokenRetrieveType: "body" };

function client(service) {
  return OData.New({ serviceEndpoint: `${url}/odata2webservices/${service}/`, credential, processCsrfToken: false });
}

const stories = {
  async reads() {
    const service = client("OrderSync");
    const orders = service.getEntitySet("Orders");
    const filter = service.newFilter().property("totalPrice").gt(20).property("code").ne("o4");
    const options = service.newOptions().filter(filter).expand(["entries", "user"]).orderby("code", "desc").top(100);
    const found = await orders.query(options);
    const one = await orders.retrieve("o1", service.newOptions().expand("entries/product"));
    const gone = await orders.retrieve("nothing").catch((error) => error.message);
    return {
      codes: found.map((order) => order.code), users: found.map((order) => order.user.uid),
      quantities: one.entries.results.map((entry) => entry.quantity),
      product: one.entries.results[1].product.code, count: await orders.count(), gone,
    };
  },
  async writes() {
    const service = client("UnitSync");
    const units = service.getEntitySet("B2BUnits");
    const address = { publicKey: "a|1", town: "Köln", country: { isocode: "DE" } };
    const made = await units.create({ uid: "it's|new", name: "One", addresses: [address] });
    const again = await units.create({ uid: "it's|new", name: "Two" });
    const key = encodeURIComponent(made.integrationKey); // this client sends keys as they are given
    await units.update(key, { name: "Three" });
    const read = await units.retrieve(key);
    const refused = await units.create({ uid: "x", colour: "red" }).catch((error) => error.message);
    await units.create({ uid: "gone" });
    await units.delete("gone");
    return { key: made.integrationKey, same: made.integrationKey === again.integrationKey, name: read.name, refused };
  },
  async batches() {
    const service = client("UnitSync");
    const responses = await service.execBatchRequests([
      service.newBatchRequest({ collection: "B2BUnits", method: "POST", entity: { uid: "B1", name: "One" }, withContentLength: true }),
      service.newBatchRequest({ collection: "B2BUnits", method: "POST", entity: { uid: "B2", colour: "red" }, withContentLength: true }),
      service.newBatchRequest({ collection: "B2BUnits", method: "GET", params: service.newOptions().top(5) }),
    ]);
    const bodies = await Promise.all(responses.map((response) => response.json()));
    return {
      statuses: responses.map((response) => response.status), made: bodies[0].d.integrationKey,
      refused: bodies[1].error.code, listed: bodies[2].d.results.map((unit) => unit.uid),
    };
  },
};

stories[story]()
  .then((seen) => console.log(JSON.stringify(seen)))
  .catch((error) => { console.error(error); process.exit(1); });
