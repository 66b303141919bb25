// A small browser for the tests of runtime.js, as far as the runtime looks at one.
// It has several tabs, which share channels and locks. The test is its host, which
// has the clock, the HTML parser and the servers:
//
//   host.parse(html, context)  the nodes of html inside an element named context
//   host.now()                 milliseconds
//   host.later(ms, task)       runs task later
//   host.random()              0 to 1
//   host.delay()               milliseconds until a message arrives
//   host.request(request)      a tab asks for {kind, url, tab, …}
//   host.error(text)           something was thrown where nobody catches it
(function (host) {
  var channels = [], locks = {};

  // A Node is a document, an element (its nodeName in capitals), a text or a comment.
  class Node {
    constructor(type, name, document) {
      this.nodeType = type;
      this.nodeName = name;
      this.ownerDocument = document;
      this.parentNode = null;
      this.childNodes = [];
      this.attributes = [];
      this.style = {};
      this.data = "";
    }

    get firstChild() { return this.childNodes[0] || null; }
    get lastChild() { return this.childNodes[this.childNodes.length - 1] || null; }

    get nextSibling() {
      var siblings = this.parentNode ? this.parentNode.childNodes : [];
      return siblings[siblings.indexOf(this) + 1] || null;
    }

    get href() { return this.getAttribute("href"); }

    getAttribute(name) {
      for (var a of this.attributes) { if (a.name === name) { return a.value; } }
      return null;
    }

    setAttribute(name, value) {
      for (var a of this.attributes) { if (a.name === name) { a.value = String(value); return; } }
      this.attributes.push({name: name, value: String(value)});
    }

    appendChild(node) { return this.insertBefore(node, null); }

    insertBefore(node, next) {
      if (node.parentNode) { node.parentNode.removeChild(node); }
      this.childNodes.splice(next ? this.childNodes.indexOf(next) : this.childNodes.length, 0, node);
      node.parentNode = this;
      if (this.ownerDocument.contains(node)) {
        each(node, function (n) { if (n.nodeName === "IFRAME") { n.ownerDocument.window.load(n); } });
      }
      return node;
    }

    removeChild(node) {
      this.childNodes.splice(this.childNodes.indexOf(node), 1);
      node.parentNode = null;
      each(node, function (n) { if (n.request) { n.request.close(); } });
      return node;
    }

    contains(node) {
      while (node && node !== this) { node = node.parentNode; }
      return !!node;
    }

    get innerHTML() { return this.childNodes.map(serialize).join(""); }

    set innerHTML(html) {
      while (this.firstChild) { this.removeChild(this.firstChild); }
      insert(this, null, host.parse(html, this.nodeName.toLowerCase()));
    }

    insertAdjacentHTML(where, html) {
      var inside = /^(afterbegin|beforeend)$/.test(where), parent = inside ? this : this.parentNode;
      if (!parent || parent.nodeType === 9) { throw new Error("NoModificationAllowedError"); }
      var next = {beforebegin: this, afterbegin: this.firstChild, beforeend: null, afterend: this.nextSibling}[where];
      insert(parent, next, host.parse(html, parent.nodeName.toLowerCase()));
    }

    getElementsByTagName(name) {
      var all = [];
      each(this, function (n) { if (n.nodeName === name.toUpperCase()) { all.push(n); } });
      return all;
    }

    getElementById(id) {
      var found = null;
      each(this, function (n) { if (!found && n.getAttribute("id") === id) { found = n; } });
      return found;
    }

    createElement(name) { return new Node(1, name.toUpperCase(), this); }

    get documentElement() { return this.getElementsByTagName("html")[0]; }
    get body() { return this.getElementsByTagName("body")[0] || null; }
  }

  function each(node, visit) {
    visit(node);
    for (var child of node.childNodes.slice(0)) { each(child, visit); }
  }

  // insert makes nodes of what the parser has read.
  function insert(parent, next, parsed) {
    for (var p of parsed) {
      var node = new Node(p.type, p.name, parent.ownerDocument);
      node.data = p.data;
      for (var a of p.attributes) { node.setAttribute(a[0], a[1]); }
      parent.insertBefore(node, next);
      insert(node, null, p.children);
    }
  }

  function serialize(node) {
    if (node.nodeType === 3) { return escape(node.data); }
    if (node.nodeType === 8) { return "<!--" + node.data + "-->"; }
    var name = node.nodeName.toLowerCase();
    var attributes = node.attributes.map(function (a) { return " " + a.name + "=\"" + escape(a.value) + "\""; }).join("");
    return "<" + name + attributes + ">" + node.innerHTML + "</" + name + ">";
  }

  function escape(text) {
    return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
  }

  function page(window, html) {
    var document = new Node(9, "#document");
    document.ownerDocument = document;
    document.window = window;
    document.title = "";
    document.hidden = false;
    insert(document, null, host.parse(html, ""));
    return document;
  }

  // A Target has listeners; what one of them throws does not reach the others.
  class Target {
    constructor() { this.listeners = []; }
    addEventListener(type, listener) { this.listeners.push([type, listener]); }

    fire(type, event) {
      for (var l of this.listeners.slice(0)) { if (l[0] === type) { attempt(l[1], event); } }
      if (this["on" + type]) { attempt(this["on" + type], event); }
    }
  }

  function attempt(listener, event) {
    try { listener(event); } catch (e) { host.error(String(e && e.stack || e)); }
  }

  // What a tab asks for. Its answer comes by calls of begin, write, end, refuse and
  // die, which do nothing when the tab has closed it.
  function ask(tab, kind, url, answers) {
    var request = {kind: kind, url: url, tab: tab.number, open: true, close: function () { request.open = false; }};
    for (let name in answers) {
      request[name] = function (a, b, c) { tab.task(function () { if (request.open) { answers[name](a, b, c); } }); };
    }
    tab.requests.push(request);
    host.request(request);
    return request;
  }

  // The stream of an EventSource is read as HTML, section 9.2.6, says.
  function eventSource(tab) {
    return class EventSource extends Target {
      constructor(url, options) {
        super();
        this.readyState = 0;
        this.withCredentials = !!options.withCredentials;
        this.rest = this.data = this.type = this.id = "";
        this.request = ask(tab, "sse", url, {
          write: (text) => this.read(text),
          end: () => this.fail(0),
          refuse: () => this.fail(2),
          die: () => { this.readyState = 2; }
        });
        this.request.withCredentials = this.withCredentials;
      }

      close() {
        this.readyState = 2;
        this.request.close();
      }

      fail(readyState) {
        this.readyState = readyState;
        this.fire("error", {type: "error"});
      }

      read(text) {
        var lines = (this.rest + text).split("\n");
        this.rest = lines.pop();
        if (this.readyState === 0) {
          this.readyState = 1;
          this.fire("open", {type: "open"});
        }
        for (var line of lines) { this.line(line); }
      }

      line(line) {
        var colon = line.indexOf(":"), field = colon < 0 ? line : line.slice(0, colon), value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (line === "") { return this.dispatch(); }
        if (field === "event") { this.type = value; }
        if (field === "data") { this.data += value + "\n"; }
        if (field === "id") { this.id = value; }
      }

      dispatch() {
        var event = {type: this.type || "message", data: this.data.slice(0, -1), lastEventId: this.id}, any = this.data !== "";
        this.type = this.data = "";
        if (any && this.readyState === 1) { this.fire(event.type, event); }
      }
    };
  }

  // A frame runs the scripts of its document one by one as they arrive, and stops
  // when its element leaves the page. Scripts of the runtime's frames hold no "<".
  function frame(tab, window, element) {
    var view = {name: element.name || "", parent: window, ff: undefined}, rest = "";
    view.window = view;
    view.document = page(view, "<body>");
    element.contentWindow = view;
    element.request = ask(tab, "frame", element.src, {
      write: function (text) {
        var match;
        for (rest += text; element.request.open && (match = /<script[^>]*>([^<]*)<\/script>/.exec(rest));) {
          rest = rest.slice(match.index + match[0].length);
          view.document.body.appendChild(view.document.createElement("script"));
          attempt(function () { run(view, match[1]); });
        }
      },
      end: function () { if (element.onload) { attempt(element.onload, {type: "load"}); } },
      refuse: function () { if (element.onload) { attempt(element.onload, {type: "load"}); } },
      die: function () { }
    });
  }

  function xmlHttpRequest(tab) {
    return class XMLHttpRequest {
      constructor() { this.withCredentials = false; }

      open(method, url) { this.url = url; }

      send() {
        var finish = (status, text, headers) => {
          this.readyState = 4;
          this.status = status;
          this.responseText = text;
          this.getResponseHeader = (name) => headers[name] || null;
          this.request.close();
          attempt(this.onreadystatechange, {});
        };
        this.request = ask(tab, "poll", this.url, {
          end: finish,
          refuse: (status, headers) => finish(status, "", headers),
          die: function () { }
        });
        this.request.withCredentials = this.withCredentials;
      }

      abort() {
        if (this.request.open) { this.request.refuse(0, {}); }
        this.request.close();
      }
    };
  }

  // Messages of one tab arrive in order at another, each after a delay.
  function broadcastChannel(tab) {
    return class BroadcastChannel {
      constructor(name) {
        this.name = name;
        this.tab = tab;
        this.at = 0;
        channels.push(this);
      }

      postMessage(data) {
        for (let other of channels) {
          if (other === this || other.name !== this.name) { continue; }
          other.at = Math.max(other.at, host.now() + host.delay());
          let copy = JSON.parse(JSON.stringify(data));
          host.later(other.at - host.now(), function () {
            if (channels.indexOf(other) >= 0) { other.tab.task(function () { other.onmessage({data: copy}); }); }
          });
        }
      }

      close() { channels = channels.filter((c) => c !== this); }
    };
  }

  // A lock has a queue; whoever is first holds it until its promise is kept.
  function lockManager(tab) {
    return {
      request: function (name, callback) {
        return new Promise(function (resolve, reject) {
          if (tab.locksForbidden) { return reject(new Error("SecurityError")); }
          var wish = {tab: tab, name: name, grant: function () {
            wish.granted = true;
            tab.task(function () {
              Promise.resolve(callback({name: name})).then(function (value) {
                release(wish);
                resolve(value);
              }, reject);
            });
          }};
          locks[name] = (locks[name] || []).concat([wish]);
          grant(name);
        });
      }
    };
  }

  function release(wish) {
    locks[wish.name] = locks[wish.name].filter((w) => w !== wish);
    grant(wish.name);
  }

  function grant(name) {
    host.later(0, function () {
      var first = (locks[name] || [])[0];
      if (first && !first.granted) { first.grant(); }
    });
  }

  function storage() {
    var items = {};
    return {
      getItem: function (key) { return key in items ? items[key] : null; },
      setItem: function (key, value) { items[key] = String(value); }
    };
  }

  // run runs code as a script of a window, which has its variables.
  function run(window, code) {
    var scope = new Proxy(window, {has: function (_, name) { return name in window || !(name in globalThis); }});
    return new Function("scope", "with (scope) { " + code + "\n}")(scope);
  }

  var tabs = 0;

  // open opens a tab with a page that has the runtime. options has its html, what
  // the browser lacks, a script that runs behind the runtime, and the storage of
  // an earlier page of the tab.
  function open(runtime, options) {
    var tab = {number: tabs++, alive: true, frozen: null, reloads: 0, requests: [], storage: options.storage || storage()};
    var window = new Target();

    // A frozen tab does later what it has to do, a closed one nothing.
    tab.task = function (f) {
      if (tab.frozen) { tab.frozen.push(f); } else if (tab.alive) { f(); }
    };

    window.window = window.top = window;
    window.sessionStorage = tab.storage;
    window.location = {reload: function () { tab.reloads++; }};
    window.setTimeout = function (f, ms) {
      var timer = {cleared: false};
      host.later(ms, function () { tab.task(function () { if (!timer.cleared) { f(); } }); });
      return timer;
    };
    window.setInterval = function (f, ms) {
      var timer = {cleared: false};
      (function again() {
        if (!timer.cleared && tab.alive) { host.later(ms, function () { tab.task(function () { if (!timer.cleared) { f(); } }); again(); }); }
      })();
      return timer;
    };
    window.clearTimeout = window.clearInterval = function (timer) { if (timer) { timer.cleared = true; } };
    window.navigator = {locks: lockManager(tab)};
    window.EventSource = eventSource(tab);
    window.XMLHttpRequest = xmlHttpRequest(tab);
    window.BroadcastChannel = broadcastChannel(tab);
    window.Promise = Promise;
    window.JSON = JSON;
    window.load = function (element) { frame(tab, window, element); };
    window.document = page(window, options.html);
    window.document.hidden = options.hidden;
    window.document.listeners = [];
    window.document.addEventListener = window.addEventListener;
    window.document.fire = window.fire;
    for (var name of options.lacks) { lack(tab, window, name); }

    tab.run = function (code) { return run(window, code); };
    tab.fire = function (type, event) { tab.task(function () { window.fire(type, event || {type: type}); }); };
    tab.click = function (id, prevented) {
      var event = {type: "click", target: window.document.getElementById(id), defaultPrevented: prevented};
      tab.task(function () { window.document.fire("click", event); });
    };
    tab.freeze = function () { tab.frozen = []; };
    tab.thaw = function () {
      var tasks = tab.frozen;
      tab.frozen = null;
      for (var f of tasks) { attempt(f); }
    };
    // forget is thaw for a tab whose tasks were lost.
    tab.forget = function () { tab.frozen = null; };
    // A tab that dies says nothing any more; what it has said still arrives.
    tab.die = function () {
      tab.alive = false;
      for (var r of tab.requests) { r.close(); }
      channels = channels.filter(function (c) { return c.tab !== tab; });
      for (var name in locks) {
        locks[name] = locks[name].filter(function (w) { return w.tab !== tab; });
        grant(name);
      }
    };

    var clock = function () { };
    clock.prototype.valueOf = host.now;
    var dice = Object.create(Math, {random: {value: host.random}});
    runtime(window, window.document, clock, dice);
    if (options.script) { run(window, options.script); }
    window.fire("load", {type: "load"});
    return tab;
  }

  function lack(tab, window, name) {
    switch (name) {
    case "XMLHttpRequest":
      window.ActiveXObject = window.XMLHttpRequest;
      break;
    case "addEventListener":
      window.attachEvent = function (type, listener) { window[type] = listener; };
      break;
    case "navigator.locks":
      window.navigator = {};
      return;
    case "lawful locks":
      tab.locksForbidden = true;
      return;
    case "lawful channels":
      window.BroadcastChannel = function () { throw new Error("SecurityError"); };
      return;
    case "lawful storage":
      Object.defineProperty(window, "sessionStorage", {get: function () { throw new Error("SecurityError"); }});
      return;
    }
    window[name] = undefined;
  }

  return open;
})
