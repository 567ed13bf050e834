// Copies all that happens to a table into a file, one message a line, whatever fails in between.
// usage: node follow.js PORT FILE. The file is all that is kept: its last line says where to go on.
"use strict";

const fs = require("node:fs");
const r = require("rethinkdb");

const [port, path] = process.argv.slice(2);
const orders = r.db("shop").table("orders");
const pause = () => new Promise((resolve) => setTimeout(resolve, 100));

// The token to go on from; null to begin anew. What was cut off in the midst of a line is removed.
function place() {
  const written = fs.existsSync(path) ? fs.readFileSync(path) : Buffer.alloc(0);
  const complete = written.subarray(0, written.lastIndexOf("\n") + 1);
  const last = complete.toString().trimEnd().split("\n").pop();
  const token = (last && JSON.parse(last).resume_token) || null;
  fs.writeFileSync(path, token ? complete : ""); // killed among the initial values: read them again
  return token;
}

async function follow() {
  const conn = await r.connect({ host: "127.0.0.1", port: Number(port) });
  conn.on("error", () => {}); // the feed fails with it
  const feed = await orders
    .changes({
      includeInitial: true, // when there is no token
      includeStates: true, // the end of the initial values has a token, too
      includeResumeTokens: true,
      resumeAfter: place(),
    })
    .run(conn);
  await feed.eachAsync((message) => fs.appendFileSync(path, JSON.stringify(message) + "\n"));
}

async function main() {
  for (;;) {
    try {
      await follow();
    } catch (error) {
      if (error.name === "ReqlOpFailedError") {
        if (!error.msg.includes("Cannot resume")) throw error;
        fs.unlinkSync(path); // away for too long: the table is read anew
      } else if (!["ReqlDriverError", "ReqlRuntimeError"].includes(error.name)) throw error;
      await pause(); // the server is not there; it will be
    }
  }
}

main();
