// The browser's half of Foreverframe. Every transport ends in ff(action, target,
// html, id), which changes the page; the rest finds a transport that works and
// keeps it. ES3 syntax, no dependency.
(function (window, document) {
  var root = document.documentElement;
  var born = now();
  var last = 0; // the id of the last event that the page has got
  var listeners = {}; // functions by "on " and the name of their event

  // What changes the page: one function for each action. Those of elements take
  // the target and the content, those of pages the target's name and the content.

  var elements = {
    append: insert("beforeend"),
    prepend: insert("afterbegin"),
    before: insert("beforebegin"),
    after: insert("afterend"),
    replace: function (element, html) {
      element.insertAdjacentHTML("beforebegin", html);
      remove(element);
    },
    inner: function (element, html) { element.innerHTML = html; },
    remove: remove,
    attr: function (element, text) {
      var end = text.indexOf("\n");
      element.setAttribute(text.substring(0, end), text.substring(end + 1));
    }
  };

  var pages = {
    title: function (_, text) { document.title = text; },
    emit: emit,
    reload: reload,
    done: function () { state("done"); },
    fail: function () { state("failed"); }
  };

  function insert(where) {
    return function (element, html) { element.insertAdjacentHTML(where, html); };
  }

  function remove(node) {
    if (node.parentNode) { node.parentNode.removeChild(node); }
  }

  // apply makes one change and tells those who listen for "apply" its target.
  // What fails is told to those who listen for "trouble", and does not keep
  // later changes away.
  function apply(action, target, html) {
    var element, parent;
    try {
      if (pages[action]) { return pages[action](target, html); }
      element = document.getElementById(target);
      if (!element) { return emit("trouble", action + ": there is no element with the id " + target); }
      parent = element.parentNode;
      html = html.split("\0").join(nul);
      elements[action](element, html);
      if (html.indexOf(nul) >= 0) { restore(parent); }
      emit("apply", target);
    } catch (e) {
      emit("trouble", action + " " + target + ": " + (e.message || e));
    }
  }

  // HTML cannot hold a NUL, and Firefox's EventSource drops it: a noncharacter
  // stands for it until it has been parsed. In an attribute it becomes U+FFFD, as
  // by any parser: a NUL would make a javascript: URL of what was none.
  var nul = "\uFDD0";

  function restore(node) {
    var attributes = node.attributes || [], child, i;
    if (node.nodeType === 3) { put(node, "data", "\0"); }
    for (i = 0; i < attributes.length; i++) { put(attributes[i], "value", "\uFFFD"); }
    for (child = node.firstChild; child; child = child.nextSibling) { restore(child); }
  }

  function put(node, key, character) {
    var text = String(node[key]);
    if (text.indexOf(nul) >= 0) { node[key] = text.split(nul).join(character); }
  }

  // ff is called by the scripts of a page. Without arguments it removes the
  // script that calls it. An event that the page has seen is not applied again.
  function ff(action, target, html, id) {
    if (!action) { return sweep(document); }
    if (fresh(id, action)) { apply(action, target, html || ""); }
  }

  // fresh moves the page's place to id and reports whether it was before it.
  function fresh(id, action) {
    if (!id || action === "reload") { return true; } // a page that is ahead of the server has to reload as well
    if (id <= last) { return false; }
    last = id;
    return true;
  }

  function sweep(doc) {
    var scripts = doc.getElementsByTagName("script");
    remove(doc.currentScript || scripts[scripts.length - 1]);
  }

  // A page that has just loaded itself again waits before it does so once more.
  // One that can keep nothing may have.
  function reload() {
    var age = now() - (store("ff-reload") || 0);
    store("ff-reload", now());
    if (!store("ff-reload")) { age = now() - born; }
    window.setTimeout(function () { window.location.reload(); }, age > 10000 ? 0 : 10000);
  }

  ff.on = function (name, listener) {
    var key = "on " + name;
    if (!listeners[key]) { listeners[key] = []; }
    listeners[key].push(listener);
  };

  ff.off = function (name, listener) {
    var all = listeners["on " + name] || [], i;
    for (i = all.length - 1; i >= 0; i--) {
      if (all[i] === listener) { all.splice(i, 1); }
    }
  };

  function emit(name, data) {
    var all = (listeners["on " + name] || []).slice(0), i;
    for (i = 0; i < all.length; i++) { tell(all[i], data); }
  }

  // tell lets a listener fail alone.
  function tell(listener, data) {
    try { listener(data); } catch (e) {
      window.setTimeout(function () { throw e; }, 0);
    }
  }

  // The state of the page is an attribute of its root, for style sheets, and an
  // event: connecting, open, waiting (to connect again), done, failed, closed.
  function state(next) {
    if (next === ff.state) { return; }
    ff.state = next;
    root.setAttribute("data-ff-state", next);
    emit("state", next);
  }

  function now() { return +new Date(); }

  // store keeps value for this tab, or returns what it has kept; a browser
  // without storage keeps nothing.
  function store(key, value) {
    try {
      if (value === undefined) { return window.sessionStorage.getItem(key); }
      window.sessionStorage.setItem(key, value);
    } catch (e) { /* forbidden or missing */ }
  }

  // The connection. A road is one transport, opened by a function of the same
  // name: it calls hear when anything has come, take for an event and lost when
  // it has ended, and returns {close, dead, once}: once is true of a single request,
  // dead may be missing.

  var roads = {sse: sse, frame: frame, poll: poll};
  var url = ""; // of the feed, without its place
  var placed = false; // the feed's events have places, so that tabs can share them
  var choice = []; // the names of the roads to try, in order
  var road = null; // the open one
  var run = 0; // grows with each road, so that late calls of an old one are known
  var heard = 0; // when something came last; 0 if nothing has on this road
  var opened = 0; // when the road was opened
  var beat = 15; // seconds after which a silent server says something
  var patience = 5; // seconds until the first byte must be there
  var retry = 2000; // milliseconds to wait before the next try, as the server says
  var tries = 0; // in a row that failed
  var silences = 0; // in a row that ended a road
  var proven = ""; // the road that has worked last
  var timer = null; // of the next try
  var watch = null; // the watchdog
  var queue = []; // events that wait to be applied together
  var tabs = null; // the other tabs of the feed, if they share its connection

  // follow connects the page to the feed at address: over server-sent events, a
  // hidden frame or polling, whichever works, and again whenever the connection
  // ends before the feed does.
  ff.follow = function (address) {
    var place = /[?&]after=(\d+)/.exec(address), next = address.replace(/([?&])after=\d+&?/, "$1").replace(/[?&]$/, "");
    stop("closed");
    if (url && url !== next) { last = 0; }
    url = next;
    placed = !!place;
    last = place ? Math.max(last, +place[1]) : last;
    begin();
  };

  function begin() {
    choice = allowed();
    beat = +setting("data-ff-beat") || beat;
    patience = Math.min(patience, beat * 2);
    if (!choice.length) { return state("failed"); }
    watch = window.setInterval(guard, 1000);
    state("connecting");
    tabs = share();
    if (!tabs) { connect(); }
  }

  ff.close = function () { stop("closed"); };

  // stop ends the connection for good, or until the page is shown again.
  function stop(end) {
    if (!watch) { return; }
    window.clearInterval(watch);
    watch = null;
    leave();
    if (tabs) { tabs.leave(); }
    tabs = null;
    drain();
    state(end);
  }

  // finish is stop for all tabs: the feed itself has ended, by one of these.
  function finish(action) {
    if (tabs) { tabs.say({before: last, event: {action: action}}); }
    stop(ends[action]);
  }

  var ends = {done: "done", fail: "failed"};

  // leave closes the road and forgets the next try.
  function leave() {
    run++;
    window.clearTimeout(timer);
    if (road) { road.close(); }
    road = null;
  }

  // setting returns an attribute of the body.
  function setting(name) { return document.body && document.body.getAttribute(name); }

  // allowed returns the roads that the browser and the page allow, from the one
  // on that worked last.
  function allowed() {
    var names = (setting("data-ff-transports") || "sse frame poll").split(/[ ,]+/), worked = store("ff-transport"), all = [], i;
    for (i = 0; i < names.length; i++) {
      if (names[i] === worked) { all = []; }
      if (roads.hasOwnProperty(names[i]) && (names[i] !== "sse" || window.EventSource)) { all.push(names[i]); }
    }
    return all;
  }

  // address returns the feed's URL with the page's place and what else is asked.
  function address(query) {
    var all = query ? [query] : [];
    if (placed || last) { all.push("after=" + last); }
    return all.length ? url + (url.indexOf("?") < 0 ? "?" : "&") + all.join("&") : url;
  }

  function connect() {
    var mine, name = choice[0];
    leave();
    mine = run;
    heard = 0;
    opened = now();
    ff.transport = name;
    if (ff.state === "waiting") { state("connecting"); }
    function current(f) {
      return function (a, b, c, d) { if (mine === run) { f(a, b, c, d); } };
    }
    road = roads[name](current(hear), current(take), current(lost));
  }

  // hear notes that the road is alive. Something that the server says is alive
  // by itself comes with how long to wait before another try.
  function hear(wait) {
    if (+wait) { retry = +wait; }
    if (!heard) { store("ff-transport", choice[0]); }
    proven = choice[0];
    if (tabs && (wait || !heard)) { tabs.say({state: "open"}); }
    heard = now();
    if (heard - opened > 500 * beat) { silences = 0; }
    tries = 0;
    state("open");
  }

  // take takes an event from the road.
  function take(action, target, html, id) {
    hear();
    receive(action, target, html, id);
  }

  function receive(action, target, html, id) {
    var before = last;
    if (!watch) { return; } // a listener has closed the page
    if (ends[action]) { return finish(action); }
    if (action === "again") { return connect(); }
    if (!fresh(id, action)) { return; }
    if (tabs && id) { tabs.say({before: before, event: {action: action, target: target, html: html, id: id}}); }
    later(action, target, html);
  }

  // later applies an event together with the others that arrive in one turn. A
  // hidden page has slow timers, so there it happens at once.
  function later(action, target, html) {
    queue.push([action, target, html]);
    if (document.hidden) { return drain(); }
    if (queue.length === 1) { window.setTimeout(drain, 0); }
  }

  function drain() {
    var all = queue, i;
    queue = [];
    for (i = 0; i < all.length; i++) { apply(all[i][0], all[i][1], all[i][2] || ""); }
  }

  // lost is called when a road has ended. One that has carried something is tried
  // again; for one that has not, a single request, the probe, tells whether the
  // server or the road is at fault. Once, that may have been an accident.
  function lost() {
    if (heard) { return again(); }
    leave();
    state("waiting");
    opened = now();
    road = probe();
  }

  function probe() {
    var mine = run;
    return {once: true, close: request("wait=0", 10, function (status, events, wait) {
      if (status !== 200) { return refused(status, wait); }
      if (complete(events)) { accept(events); }
      if (mine !== run) { return; }
      if (choice.length === 1 || proven === choice[0]) {
        proven = "";
        return again();
      }
      choice = choice.slice(1);
      connect();
    })};
  }

  // complete reports whether events need not come again: events without ids do,
  // from a stream that has not ended.
  function complete(events) {
    var end = events[events.length - 1];
    return end && (end.id || ends[end.action]);
  }

  // refused tries again after an answer that is not the feed, unless the answer
  // is final.
  function refused(status, wait) {
    var end = verdict(status);
    if (end) { finish(end); } else { again(wait); }
  }

  // verdict returns how an answer that is not the feed ends it, if it does.
  function verdict(status) {
    if (status === 204) { return "done"; }
    return status >= 400 && status < 500 && status !== 408 && status !== 429 ? "fail" : "";
  }

  // again tries again.
  function again(wait) {
    leave();
    state("waiting");
    if (tabs) { tabs.say({state: "waiting"}); }
    timer = window.setTimeout(connect, pause(wait, tries++));
  }

  // pause returns how long to wait before another try: longer from try to try, as
  // long as the server says, and not as long as the others.
  function pause(wait, tries) {
    var delay = Math.max(wait || 0, retry) + Math.random() * Math.min(30000, retry * (1 << Math.min(tries, 8)));
    return tries || wait ? delay : delay / 2;
  }

  // guard is the watchdog, called every second: a first byte that does not come
  // is a proxy that holds it, and a silence is a dead connection.
  function guard() {
    if (!leads()) { return tabs.guard(); }
    if (!road || road.once) { return; }
    if (road.dead && road.dead()) { return lost(); }
    if (heard) {
      if (now() - heard > 2500 * beat) { silent(); }
    } else if (now() - opened > 1000 * patience) {
      lost();
    }
  }

  // leads reports whether the connection is up to this tab.
  function leads() { return !tabs || tabs.leads(); }

  // silent leaves a road that says nothing any more, for the next one if it has
  // happened before.
  function silent() {
    if (++silences > 1 && choice.length > 1) {
      silences = 0;
      choice = choice.slice(1);
    }
    state("connecting");
    connect();
  }

  // accept takes events as polling brings them, until one of them ends this road.
  function accept(events) {
    var mine = run, i, e;
    for (i = 0; i < events.length && mine === run; i++) {
      e = events[i];
      receive(e.action, e.target, e.html, e.id);
    }
  }

  // sse is the road of server-sent events. The browser's own way to connect again
  // cannot see a proxy that holds the stream, or a 503, so it is not used.
  function sse(hear, take, lost) {
    var source = new window.EventSource(address("beat=" + beat), {withCredentials: true}), seen = "", action;

    // An EventSource repeats the last id for events that have none.
    function receive(action, target, html, event) {
      var id = event.lastEventId === seen ? 0 : +event.lastEventId;
      seen = event.lastEventId;
      take(action, target, html, id);
    }

    function follow(action) {
      source.addEventListener(action, function (event) {
        var end = event.data.indexOf("\n");
        if (end < 0) { return receive(action, event.data, "", event); }
        receive(action, event.data.substring(0, end), event.data.substring(end + 1), event);
      }, false);
    }

    function close() { source.close(); }

    source.onerror = function () {
      close();
      lost();
    };
    source.addEventListener("beat", function (event) { hear(event.data); }, false);
    for (action in elements) { follow(action); }
    for (action in pages) { follow(action); }
    follow("again");
    return {close: close, dead: function () { return source.readyState === 2; }};
  }

  // frame is the road of the forever frame. When the server ends one to free its
  // memory, the next one takes over at the page's place.
  function frame(hear, take, lost) {
    var element = document.createElement("iframe"), style = element.style, key = "f" + run + "_" + Math.random().toString(36).substring(2);

    function close() {
      delete ff.frames[key];
      // A frame that is removed by its own script would take the script with it.
      window.setTimeout(function () { remove(element); }, 0);
    }

    // The document in the frame asks for its ff by a name that only it knows.
    ff.frames[key] = function (view) {
      hear();
      return function (action, target, html, id) {
        if (!action) { return sweep(view.document); }
        if (action === "beat") { return hear(target); }
        take(action, target, html, id);
      };
    };

    element.onload = function () { lost(); };
    element.name = key;
    element.setAttribute("aria-hidden", "true");
    element.tabIndex = -1;
    style.position = "absolute";
    style.width = style.height = style.border = "0";
    element.src = address("transport=frame&beat=" + beat); // before it is in the page: so it makes no entry in the history
    root.appendChild(element); // not to the body, whose children others move
    return {close: close};
  }

  ff.frames = {};

  // ff.frame returns the ff of the document in view, one that does nothing if
  // view is not a frame of this page's own.
  ff.frame = function (view) {
    if (ff.frames.hasOwnProperty(view.name)) { return ff.frames[view.name](view); }
    return function () {};
  };

  // poll is the road of long polling: a request waits until there is something.
  // The first does not wait for long: its answer says that the road is open.
  function poll(hear) {
    var mine = run;
    return {once: true, close: request("wait=" + (ff.state === "open" ? 25 : 1), 60, function (status, events, wait) {
      var quick = now() - opened < 1000;
      if (status !== 200) { return refused(status, wait); }
      hear();
      accept(events);
      if (mine !== run) { return; }
      if (quick && !events.length) { again(); } else { connect(); }
    })};
  }

  // request asks for what follows the page's place, once, and tells then the
  // status, 0 if there is no answer in so many seconds, the events and the
  // milliseconds of a Retry-After. It returns a function that gives the request
  // up.
  function request(query, seconds, then) {
    var xhr = window.XMLHttpRequest ? new window.XMLHttpRequest() : new window.ActiveXObject("Microsoft.XMLHTTP");
    var limit = window.setTimeout(function () {
      var tell = then;
      close();
      tell(0, [], 0);
    }, seconds * 1000);

    function close() {
      window.clearTimeout(limit);
      then = function () {};
      xhr.abort();
    }

    xhr.open("GET", address("transport=poll&" + query), true);
    if (xhr.withCredentials === false) { xhr.withCredentials = true; } // for another origin, as the EventSource has it
    xhr.onreadystatechange = function () {
      var status = 0, events = [], wait = 0;
      if (xhr.readyState !== 4) { return; }
      window.clearTimeout(limit);
      try {
        status = xhr.status;
        wait = 1000 * (+xhr.getResponseHeader("Retry-After") || 0);
        if (status === 200) { events = updates(parse(xhr.responseText)); }
      } catch (e) { status = 0; }
      then(status, events, wait);
    };
    xhr.send(null);
    return close;
  }

  // updates makes updates of a list in which events of the application have a
  // name and data.
  function updates(list) {
    var all = [], i, e;
    for (i = 0; i < list.length; i++) {
      e = list[i];
      all.push(e.action ? e : {action: "emit", target: e.event, html: e.data, id: e.id});
    }
    return all;
  }

  // parse reads a JSON array of flat objects, also in a browser that has no JSON.
  function parse(text) {
    var token = /"([^"\\]*(?:\\.[^"\\]*)*)"|[{}]|-?\d+/g, events = [], event, key, match;
    if (window.JSON) { return window.JSON.parse(text); }
    while ((match = token.exec(text))) {
      if (match[0] === "{") {
        event = {};
        key = "";
      } else if (match[0] === "}") {
        events.push(event);
      } else if (!key) {
        key = match[1];
      } else {
        event[key] = match[0].charAt(0) === "\"" ? unescape(match[1]) : +match[0];
        key = "";
      }
    }
    return events;
  }

  function unescape(text) {
    return text.replace(/\\(u[0-9a-fA-F]{4}|[\s\S])/g, function (_, code) {
      if (code.length > 1) { return String.fromCharCode(parseInt(code.substring(1), 16)); }
      return {b: "\b", f: "\f", n: "\n", r: "\r", t: "\t"}[code] || code;
    });
  }

  // share joins the tabs that follow the same feed, or returns null where the
  // browser cannot. One of them, who holds a lock, has the connection and says
  // what comes; when it closes, the lock and the connection go to another, at its
  // own place.
  function share() {
    var channel = meet(), leading = false, left = false, held = null, news = now(), release = null;
    if (!channel) { return null; }

    // catchUp asks once for what follows the page's place, and holds back
    // meanwhile what the others say.
    function catchUp() {
      if (leading || left || held) { return; }
      held = [];
      ask();
    }

    function ask() {
      if (leading || left) { return; }
      request("wait=0", 10, function (status, events, wait) {
        var end = verdict(status);
        if (leading || left) { return; }
        if (end) { return stop(ends[end]); }
        if (status !== 200) { return window.setTimeout(ask, pause(wait, 0)); }
        state("open");
        caughtUp(events);
      });
    }

    function caughtUp(events) {
      var all = held, i;
      held = null;
      for (i = 0; i < events.length; i++) { listen({event: events[i]}); }
      for (i = 0; i < all.length; i++) { listen(all[i]); }
    }

    // listen takes what a tab has said, or the server to this tab alone. What has
    // come before it must be there.
    function listen(said) {
      var e = said.event;
      if (leading || left) { return; }
      if (said.before > last) { catchUp(); }
      if (held) { return held.push(said); }
      if (ends[e.action]) { return stop(ends[e.action]); }
      if (fresh(e.id, e.action)) { later(e.action, e.target, e.html); }
    }

    function lead() {
      if (leading || left) { return; }
      leading = true;
      connect();
    }

    channel.onmessage = function (message) {
      news = now();
      if (message.data.event) { return listen(message.data); }
      if (!leading && !left) { state(message.data.state); }
    };
    window.navigator.locks.request("ff " + url, function () {
      lead();
      return left || new window.Promise(function (resolve) { release = resolve; });
    }).then(null, lead); // where locks are forbidden
    ff.transport = "tab";
    window.setTimeout(catchUp, 50);

    return {
      leads: function () { return leading; },
      say: function (what) { channel.postMessage(what); },
      // A leader that says nothing any more may be frozen: then each for itself.
      guard: function () { if (now() - news > 5 * beat * 1000) { lead(); } },
      leave: function () {
        left = true;
        channel.close();
        if (release) { release(); }
      }
    };
  }

  // meet opens the channel of the tabs, or returns null.
  function meet() {
    if (!placed || !window.BroadcastChannel || !window.Promise || !window.navigator.locks) { return null; }
    try { return new window.BroadcastChannel("ff " + url); } catch (e) { return null; /* forbidden */ }
  }

  // The page. It names its feed on its body. A frame that opens before the page
  // has loaded would keep the browser's sign of loading on.
  function start() {
    var feed = setting("data-ff-feed");
    if (feed) { ff.follow(feed); } else if (!ff.state) { state("done"); }
  }

  // A page that is put aside closes its connection, and opens it again when it
  // comes back: some browsers would bring back a dead one.
  function hide() {
    aside = !!watch;
    stop(ff.state);
  }

  function show() {
    if (aside) { begin(); }
    aside = false;
  }

  var aside = false; // and was connected before

  // A link that turns out to be a download, or to have no content, silently
  // kills the streams of the page in some browsers.
  function clicked(event) {
    var node = event.target, at = now();
    while (node && node.nodeName !== "A") { node = node.parentNode; }
    if (!node || !node.href || /^#|^javascript:/.test(node.getAttribute("href"))) { return; }
    window.setTimeout(function () {
      if (road && heard && heard < at && !event.defaultPrevented) { connect(); }
    }, 2000);
  }

  function online() {
    if (watch && leads() && ff.state === "waiting") { connect(); }
  }

  window.ff = ff;
  if (window.addEventListener) {
    window.addEventListener("load", start, false);
    window.addEventListener("pagehide", hide, false);
    window.addEventListener("pageshow", show, false);
    window.addEventListener("online", online, false);
    document.addEventListener("click", clicked, false);
  } else {
    window.attachEvent("onload", start);
  }
})(window, document);
