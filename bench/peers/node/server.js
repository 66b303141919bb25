// A server of pages and feeds with Node's own http module, for comparison.
"use strict";
const http = require("http");

const [host, port] = process.argv[2].split(":");
const topics = new Map(); // each has its streams and its newest updates
const head = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"};
let last = 0;

function topicOf(name) {
  if (!topics.has(name)) { topics.set(name, {streams: new Set(), kept: []}); }
  return topics.get(name);
}

function event(id, action, target, html) {
  return "id: " + id + "\nevent: " + action + "\ndata: " + target + "\ndata: " + html + "\n\n";
}

function follow(request, response, topic) {
  response.writeHead(200, head);
  response.flushHeaders();
  request.socket.setNoDelay(true);
  const after = +request.headers["last-event-id"];
  if (after) {
    for (const [id, text] of topic.kept) { if (id > after) { response.write(text); } }
  }
  topic.streams.add(response);
  response.on("close", () => topic.streams.delete(response));
}

function publish(request, response, topic) {
  let body = "";
  request.on("data", (part) => { body += part; });
  request.on("end", () => {
    const u = JSON.parse(body), text = event(++last, u.action, u.target, u.html);
    topic.kept.push([last, text]);
    if (topic.kept.length > 1024) { topic.kept.shift(); }
    for (const stream of topic.streams) { stream.write(text); }
    response.writeHead(201).end();
  });
}

// job sends n updates of size bytes, each when it is due, and waits while the
// client does not take them.
async function job(request, response, query) {
  const n = +query.get("n"), size = +query.get("size");
  const unit = {ms: 1, s: 1000, "µs": 0.001}[query.get("delay").replace(/[0-9.]/g, "")] || 0;
  const delay = parseFloat(query.get("delay")) * unit, began = +query.get("began") / 1000;
  response.writeHead(200, head);
  request.socket.setNoDelay(true);
  for (let i = 1; i <= n && !response.destroyed; i++) {
    let due = 0;
    if (delay) {
      const at = began + i * delay, left = at - (performance.timeOrigin + performance.now());
      due = Math.round(at * 1000);
      if (left > 0) { await new Promise((done) => { setTimeout(done, left); }); }
    }
    const text = ("ev-" + i + "-" + due + "-").padEnd(size, "x");
    if (!response.write(event(i, "append", "log", "<p>" + text + "</p>"))) {
      await new Promise((done) => { response.once("drain", done); response.once("close", done); });
    }
  }
  response.end();
}

http.createServer((request, response) => {
  const url = new URL(request.url, "http://server"), name = url.pathname.replace("/feeds/", "");
  if (url.pathname === "/job") { job(request, response, url.searchParams); }
  else if (request.method === "POST") { publish(request, response, topicOf(name)); }
  else { follow(request, response, topicOf(name)); }
}).listen({port: +port, host, backlog: 4096});
