// The browser's half of Foreverframe. Every transport ends in ff(action, target,
// html, id), which changes the page; the rest finds a transport that works.
// ES3 syntax, no dependency.
(function (window, document) {
  var root = document.documentElement;
  var last = 0; // the id of the last event that the page has seen
  var listeners = {}; // functions by "on " and the name of their event
  var feed = null; // the open connection, and how to close it

  // One function for each action. Those of elements take the target and the
  // content, those of pages the target's name and the content.

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
    reload: function () { window.location.reload(); },
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
      elements[action](element, html.split("\0").join(nul));
      if (html.indexOf("\0") >= 0) { restore(parent); }
      emit("apply", target);
    } catch (e) {
      emit("trouble", action + " " + target + ": " + (e.message || e));
    }
  }

  // HTML cannot hold a NUL: a noncharacter stands for it while it is parsed.
  var nul = "\uFDD0";

  function restore(node) {
    var child;
    if (node.nodeType === 3 && node.data.indexOf(nul) >= 0) { node.data = node.data.split(nul).join("\0"); }
    for (child = node.firstChild; child; child = child.nextSibling) { restore(child); }
  }

  // ff is called by the scripts of a page. Without arguments it removes the
  // script that calls it. An event that the page has seen is not applied again.
  function ff(action, target, html, id) {
    if (!action) { return sweep(document); }
    if (id) {
      if (id <= last) { return; }
      last = id;
    }
    apply(action, target, html || "");
  }

  function sweep(doc) {
    var scripts = doc.getElementsByTagName("script");
    remove(doc.currentScript || scripts[scripts.length - 1]);
  }

  ff.on = function (name, listener) {
    var key = "on " + name;
    if (!listeners[key]) {
      listeners[key] = [];
      if (feed && feed.listen) { feed.listen(name); }
    }
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
  function state(now) {
    if (now === ff.state) { return; }
    ff.state = now;
    root.setAttribute("data-ff-state", now);
    emit("state", now);
  }

  // The connection.

  // follow connects the page to the feed at url, over SSE where the browser has
  // it, else over a hidden frame, and again whenever the connection ends before
  // the feed does.
  ff.follow = function (url) {
    var known = /[?&]after=(\d+)/.exec(url), timer;
    if (known) {
      last = Math.max(last, +known[1]);
      url = url.replace(/([?&])after=\d+&?/, "$1").replace(/[?&]$/, "");
    }

    function address(query) {
      if (last || known) { query.push("after=" + last); }
      return query.length ? url + (url.indexOf("?") < 0 ? "?" : "&") + query.join("&") : url;
    }

    function connect() {
      state("connecting");
      feed = (window.EventSource ? sse : frame)(address, over);
      feed.cancel = function () { window.clearTimeout(timer); };
    }

    // over is called when a connection has ended: for good if it says how.
    function over(end) {
      if (end) { return close(end); }
      feed.close();
      state("waiting");
      timer = window.setTimeout(connect, 1000 + Math.random() * 2000);
    }

    close("closed");
    connect();
  };

  ff.close = function () { close("closed"); };

  function close(end) {
    if (!feed) { return; }
    feed.cancel();
    feed.close();
    feed = null;
    state(end);
  }

  function sse(address, over) {
    var source = new window.EventSource(address([]), {withCredentials: true}), seen = "", heard = {}, name;

    // An EventSource repeats the last id for events that have none.
    function receive(action, target, html, event) {
      var id = event.lastEventId === seen ? 0 : +event.lastEventId;
      seen = event.lastEventId;
      state("open");
      ff(action, target, html, id);
    }

    function listen(name) {
      if (own["on " + name] || heard["on " + name]) { return; }
      heard["on " + name] = 1;
      source.addEventListener(name, function (event) { receive("emit", name, event.data, event); }, false);
    }

    function hear(action) {
      source.addEventListener(action, function (event) {
        var end = event.data.indexOf("\n");
        if (end < 0) { return receive(action, event.data, "", event); }
        receive(action, event.data.substring(0, end), event.data.substring(end + 1), event);
      }, false);
    }

    source.onopen = function () { state("open"); };
    source.onerror = function () {
      if (source.readyState === 2) { over(); } else { state("waiting"); }
    };
    for (name in elements) { hear(name); }
    hear("title");
    hear("reload");
    source.addEventListener("done", function () { over("done"); }, false);
    source.addEventListener("fail", function () { over("failed"); }, false);
    listen("message");
    for (name in listeners) { listen(name.substring(3)); }
    return {listen: listen, close: function () { source.close(); }};
  }

  // What the runtime itself tells listeners; it never comes over a connection.
  var own = {"on state": 1, "on trouble": 1, "on apply": 1};

  function frame(address, over) {
    var element = document.createElement("iframe"), style = element.style, live = true;

    function close() {
      live = false;
      remove(element);
    }

    // The document in the frame gets its own ff from here.
    ff.frame = function (view) {
      state("open");
      return function (action, target, html, id) {
        if (!live) { return; }
        if (!action) { return sweep(view.document); }
        if (action === "done") { return over("done"); }
        if (action === "fail") { return over("failed"); }
        ff(action, target, html, id);
      };
    };

    element.onload = function () { if (live) { over(); } };
    element.setAttribute("aria-hidden", "true");
    element.tabIndex = -1;
    style.position = "absolute";
    style.width = style.height = style.border = "0";
    element.src = address(["transport=frame"]);
    root.appendChild(element); // not to the body, whose children others move
    return {close: close};
  }

  // A page names its feed on its body. A frame that opens before the page has
  // loaded would keep the browser's sign of loading on.
  function start() {
    var url = document.body && document.body.getAttribute("data-ff-feed");
    if (url) { ff.follow(url); }
  }

  window.ff = ff;
  if (window.addEventListener) {
    window.addEventListener("load", start, false);
  } else {
    window.attachEvent("onload", start);
  }
})(window, document);
