// What the site's pages do with the events of their feeds: small functions that
// the pages' attributes name. ES3 syntax.
(function (window, document) {
  var ff = window.ff;

  // each calls use with every element that has the attribute, and its value.
  function each(attribute, use) {
    var all = document.getElementsByTagName("*"), i, value;
    for (i = 0; i < all.length; i++) {
      value = all[i].getAttribute(attribute);
      if (value) { use(all[i], value); }
    }
  }

  function setText(element, text) {
    while (element.firstChild) { element.removeChild(element.firstChild); }
    element.appendChild(document.createTextNode(text));
  }

  function addItem(list, text) {
    var item = document.createElement("li");
    setText(item, text);
    list.appendChild(item);
    if (list.childNodes.length > 500) { list.removeChild(list.firstChild); }
    list.scrollTop = list.scrollHeight;
  }

  // data-show="NAME": the element shows the newest event of that name.
  function show(element, name) {
    ff.on(name, function (text) { setText(element, text); });
  }

  // data-list="NAME": the list gets an item for each event of that name.
  function list(element, name) {
    ff.on(name, function (text) { addItem(element, "message: " + text); });
  }

  // data-ping: the list gets an item with the time of each ping.
  function ping(element) {
    ff.on("ping", function (json) {
      var time = /"time":\s*"([^"]*)"/.exec(json);
      addItem(element, "ping at " + (time ? time[1] : json));
    });
  }

  // data-close: the button ends the page's stream.
  function close(button) {
    button.onclick = function () {
      ff.close();
      button.disabled = true;
    };
  }

  // data-trouble: the element says what is wrong with the stream.
  function trouble(element) {
    ff.on("state", function (state) {
      var texts = {waiting: "The connection is lost; connecting again.", failed: "The stream has failed.", closed: "The connection is closed."};
      setText(element, texts[state] || "");
    });
    ff.on("trouble", function (text) { setText(element, text); });
  }

  // data-keep="N": the element keeps its newest N children and shows the last.
  function keep(element, count) {
    ff.on("apply", function (target) {
      if (target !== element.id) { return; }
      while (element.childNodes.length > +count) { element.removeChild(element.firstChild); }
      element.scrollTop = element.scrollHeight;
    });
  }

  // data-again: the button loads the frames of the page again.
  function again(button) {
    button.onclick = function () {
      each("data-pane", function (frame) { frame.contentWindow.location.reload(); });
    };
  }

  // data-pane="URL": the frame loads URL when the page has loaded, so that a
  // frame without an end does not keep the page itself from loading.
  function load(frame, url) { frame.src = url; }

  // pane is called by a pane of the comparison. It tells the page around it when
  // its first update was there, and how its stream goes.
  ff.pane = function (name) {
    var begin = +new Date(), first = 0;

    function cell(what, text) {
      var to = window.parent.document.getElementById(name + "-" + what);
      if (to) { setText(to, text); }
    }

    if (window.performance && window.performance.timing) { begin = window.performance.timing.navigationStart; }
    cell("state", "loading");
    ff.on("apply", function () {
      if (!first) {
        first = +new Date() - begin;
        cell("first", first + " ms");
      }
    });
    ff.on("state", function (state) { cell("state", state); });
  };

  function begin() {
    each("data-show", show);
    each("data-list", list);
    each("data-ping", ping);
    each("data-close", close);
    each("data-trouble", trouble);
    each("data-keep", keep);
    each("data-again", again);
  }

  function loaded() { each("data-pane", load); }

  if (document.addEventListener) {
    document.addEventListener("DOMContentLoaded", begin, false);
    window.addEventListener("load", loaded, false);
  } else {
    window.attachEvent("onload", begin);
    window.attachEvent("onload", loaded);
  }
})(window, document);
