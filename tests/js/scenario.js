// What an application does with a JavaScript driver; both official drivers run the same scenario.
// usage: node scenario.js DRIVER PORT. Ends with status 0 and the line `ok` when everything was as it should be.
"use strict";

const assert = require("node:assert/strict");

const [driver, port] = process.argv.slice(2);
const r = driver === "rethinkdb-ts" ? require(driver).r : require(driver);

async function connect() {
  const options = { host: "127.0.0.1", port: Number(port) };
  return r.connect(options);
}

async function rows(cursor) {
  return Array.from(Array.isArray(cursor) ? cursor : await cursor.toArray());
}

async function queries(conn) {
  const created = await r.db("js").tableCreate("people").run(conn);
  assert.equal(created.tables_created, 1);
  const people = r.db("js").table("people");
  const when = new Date(Date.UTC(2020, 1, 29, 12, 0, 0));
  const written = await people
    .insert([
      { id: 1, name: "Ada", born: when, key: Buffer.from([0, 1, 255]) },
      { id: 2, name: "Grace", tags: ["navy", "compiler"] },
      { id: 3, name: "Edsger", nested: { deep: { value: null } } },
    ])
    .run(conn);
  assert.equal(written.inserted, 3);
  const ada = await people.get(1).run(conn);
  assert.equal(ada.born.getTime(), when.getTime());
  assert.deepEqual([...ada.key], [0, 1, 255]);
  const names = await rows(await people.orderBy("name").map((row) => row("name")).run(conn));
  assert.deepEqual(names, ["Ada", "Edsger", "Grace"]);
  await people.indexCreate("name").run(conn);
  await people.indexWait("name").run(conn);
  const found = await rows(await people.getAll("Grace", { index: "name" }).run(conn));
  assert.deepEqual(found, [{ id: 2, name: "Grace", tags: ["navy", "compiler"] }]);
  assert.equal(await people.filter((row) => row("id").gt(1)).count().run(conn), 2);
  const grouped = await people.group((row) => row("id").mod(2)).count().run(conn);
  assert.deepEqual(
    Array.from(grouped, (one) => [one.group, one.reduction]),
    [[0, 1], [1, 2]],
  );
  const updated = await people
    .get(2)
    .update({ seen: r.row("id").add(1) }, { returnChanges: true })
    .run(conn);
  assert.equal(updated.changes[0].new_val.seen, 3);
}

async function errors(conn) {
  await assert.rejects(
    async () => r.expr(1).add("a").run(conn),
    (error) => /Expected type NUMBER but found STRING/.test(error.message ?? error.msg),
  );
  await assert.rejects(
    async () => r.db("js").table("missing").run(conn),
    (error) => /Table `js.missing` does not exist/.test(error.message ?? error.msg),
  );
}

async function longAnswer(conn) {
  const all = await rows(await r.range(50000).map((n) => ({ n, square: n.mul(n) })).run(conn));
  assert.equal(all.length, 50000);
  assert.equal(all[49999].square, 49999 * 49999);
}

async function feed(conn, writer) {
  const people = r.db("js").table("people");
  const cursor = await people.get(1).changes({ includeInitial: true }).run(conn);
  assert.equal((await cursor.next()).new_val.name, "Ada");
  await people.get(1).update({ name: "Ada L." }).run(writer);
  const change = await cursor.next();
  assert.equal(change.old_val.name, "Ada");
  assert.equal(change.new_val.name, "Ada L.");
  await cursor.close();
}

async function main() {
  const [conn, writer] = [await connect(), await connect()];
  if ((await r.dbList().run(conn)).includes("js")) await r.dbDrop("js").run(conn);
  await r.dbCreate("js").run(conn);
  await queries(conn);
  await errors(conn);
  await longAnswer(conn);
  await feed(conn, writer);
  await r.dbDrop("js").run(conn);
  await conn.close();
  await writer.close();
  console.log("ok");
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
