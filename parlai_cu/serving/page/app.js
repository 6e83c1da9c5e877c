// The chat page. No library, no build step; whatever anybody wrote is only ever text content.
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  const SLOWEST = 15000; // ms between tries to connect
  const TYPING = 60000; // ms after which nobody is believed to be typing any more
  const NEAR = 120; // px from the end within which new messages are followed
  const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
  const ELSEWHERE = 4000; // close code: the chat was opened in another tab
  const AGAIN = ["busy", "rate", "draining", "failed"]; // errors after which to send it again

  const log = $("log"), scroller = $("scroller"), text = $("text"), composer = $("composer");
  const shown = new Map(); // turn -> what is drawn of it
  const waiting = new Map(); // mid -> {text, node} of what was sent and not answered
  const place = "parlai_cu.token:" + location.pathname;
  let socket = null, tries = 0, timer = 0, typingTimer = 0;
  let longest = 0; // characters of a message; 0 where the service has not said
  let judges = false; // whether the world takes ratings
  let ready = false; // whether the conversation has begun on this connection
  let refusal = ""; // why the service did not let us in
  let elsewhere = false; // whether another tab has taken the chat over

  // -- small things ------------------------------------------------------------------------

  function element(tag, className, content) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (content !== undefined) made.textContent = content;
    return made;
  }

  function icon(name) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", "#icon-" + name);
    made.setAttribute("aria-hidden", "true");
    made.append(use);
    return made;
  }

  function token(value) {
    try { // a browser may forbid it; the chat then ends with the tab
      if (value === null) localStorage.removeItem(place);
      else if (value !== undefined) localStorage.setItem(place, value);
      return localStorage.getItem(place);
    } catch { return null; }
  }

  function name() {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function announce(words) {
    const live = $("announcer");
    live.append(element("p", "", words));
    while (live.children.length > 5) live.firstChild.remove();
  }

  function status(state, words) {
    $("status").dataset.state = state;
    if ($("status-text").textContent !== words) $("status-text").textContent = words;
    $("retry").hidden = state !== "lost";
  }

  function isAtEnd() {
    return scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
  }

  function toEnd() {
    scroller.scrollTop = scroller.scrollHeight;
    $("latest").hidden = true;
  }

  function follow(wasAtEnd) {
    if (wasAtEnd) toEnd();
    else $("latest").hidden = false;
  }

  // -- messages on the page ----------------------------------------------------------------

  function message(kind, who, words) {
    const made = element("article", "message " + kind);
    const bubble = element("div", "bubble");
    bubble.append(element("span", "hidden", who + ": "), element("span", "words", words));
    made.append(bubble);
    return made;
  }

  function put(node) {
    const wasAtEnd = isAtEnd();
    log.append(node);
    follow(wasAtEnd || node.classList.contains("user"));
    return node;
  }

  const putNotice = (words) => put(message("notice", "Notice", words));

  function putUser(words, pending) {
    const node = message("user", "You", words);
    if (pending) node.append(element("span", "note", pending));
    return put(node);
  }

  function settle(mid) {
    const sent = waiting.get(mid);
    if (!sent) return;
    waiting.delete(mid);
    const note = sent.node.querySelector(".note");
    if (note) note.remove();
  }

  function putReply(reply) {
    const node = message("reply", "Reply", reply.text);
    const picture = reply.payload && image(reply.payload);
    if (picture) node.querySelector(".bubble").append(picture);
    if (judges && reply.turn) {
      shown.set(reply.turn, node);
      node.append(tools(reply, node));
      if (reply.correction) corrected(node, reply.correction);
    }
    if (reply.kept === false) node.append(element("span", "note", "Not kept"));
    if (reply.knowledge && reply.knowledge.length) node.append(sources(reply.knowledge));
    return put(node);
  }

  function image(payload) {
    if (payload.type !== "image" || !IMAGES.includes(payload.mime_type)) return null;
    const made = element("img");
    made.src = "data:" + payload.mime_type + ";base64," + payload.data;
    made.alt = typeof payload.alt === "string" ? payload.alt : "A picture";
    return made;
  }

  function sources(facts) {
    const made = element("details", "sources"), list = element("ul");
    const count = facts.length === 1 ? "1 source" : facts.length + " sources";
    made.append(element("summary", "", count), list);
    for (const fact of facts) {
      const item = element("li", "", fact.text || "");
      const where = [fact.id, fact.source].filter(Boolean).join(" in ");
      if (where) item.append(element("small", "", where));
      list.append(item);
    }
    return made;
  }

  function tools(reply, node) {
    const made = element("div", "tools");
    made.setAttribute("role", "group");
    made.setAttribute("aria-label", "This reply");
    for (const [rating, label] of [["up", "Good reply"], ["down", "Bad reply"]]) {
      const button = element("button");
      button.type = "button";
      button.dataset.rating = rating;
      button.setAttribute("aria-label", label);
      button.setAttribute("aria-pressed", String(reply.rating === rating));
      button.title = label;
      button.append(icon(rating));
      button.onclick = () => send({ type: "rating", turn: reply.turn, rating });
      made.append(button);
    }
    const correct = element("button");
    correct.type = "button";
    correct.title = "Correct this reply";
    correct.setAttribute("aria-label", correct.title);
    correct.append(icon("correct"));
    correct.onclick = () => askCorrection(reply.turn, node, correct);
    made.append(correct);
    if (reply.version) made.append(element("span", "version", "version " + reply.version));
    return made;
  }

  function askCorrection(turn, node, opener) {
    if (node.querySelector(".correct")) return;
    const form = element("form", "correct"), area = element("textarea"), row = element("div", "buttons");
    const label = element("label", "", "What should the reply have been?");
    area.id = "correction-" + turn;
    area.required = true;
    if (longest) area.maxLength = longest;
    label.htmlFor = area.id;
    const cancel = element("button", "plain", "Cancel"), save = element("button", "primary", "Send correction");
    cancel.type = "button";
    const close = () => { form.remove(); opener.focus(); };
    cancel.onclick = close;
    form.onkeydown = (event) => { if (event.key === "Escape") close(); };
    form.onsubmit = (event) => {
      event.preventDefault();
      if (!area.value.trim()) return;
      if (send({ type: "correction", turn, text: area.value })) close();
    };
    row.append(cancel, save);
    form.append(label, area, row);
    node.append(form);
    area.focus();
    form.scrollIntoView({ block: "nearest" });
  }

  function corrected(node, words) {
    const old = node.querySelector(".corrected");
    if (old) old.remove();
    node.append(element("p", "corrected", "You said it should be: " + words));
  }

  function offer(choices) {
    const box = $("replies");
    box.replaceChildren();
    // thumbs are on every reply already
    const words = (choices || []).filter((one) => typeof one === "string" && !["👍", "👎"].includes(one));
    for (const choice of words) {
      const button = element("button", "", choice);
      button.type = "button";
      button.onclick = () => { say(choice); text.focus(); };
      box.append(button);
    }
    box.hidden = !words.length;
    if (words.length) follow(isAtEnd());
  }

  function typing(on) {
    clearTimeout(typingTimer);
    const wasAtEnd = isAtEnd();
    $("typing").hidden = !on;
    if (on) {
      typingTimer = setTimeout(() => typing(false), TYPING);
      if (wasAtEnd) toEnd();
    }
  }

  // -- what the service says ---------------------------------------------------------------

  function hear(act) {
    if (act.type === "typing") return typing(true);
    if (act.type === "hello") return welcome(act);
    typing(false);
    if (act.type === "error") return refused(act);
    if (act.type === "history") history(act);
    else if (act.type === "feedback") judged(act);
    else if (act.type === "notice") { putNotice(act.text); announce(act.text); }
    else if (!(judges && shown.has(act.turn))) { putReply(act); announce("Reply: " + act.text); }
    if (act.mid) settle(act.mid);
    else if (!judges) waiting.forEach((_, mid) => settle(mid)); // a world that names no messages
    if (act.type !== "feedback") offer(act.quick_replies);
  }

  function welcome(act) {
    const lock = Boolean(act.password);
    $("unlock").hidden = !lock;
    composer.hidden = lock;
    if (lock) {
      status("open", "Password needed");
      $("password").focus();
      return;
    }
    ready = true;
    tries = 0;
    if (act.token) token(act.token);
    if (act.max_text) limit(act.max_text);
    status("open", "Connected");
    // what was lost on the way; the service knows by their names those it has answered
    waiting.forEach((sent, mid) => { note(sent, "Sending…"); write({ text: sent.text, mid }); });
  }

  function history(act) {
    judges = true;
    if (act.title) { $("title").textContent = act.title; document.title = act.title; }
    const turns = act.history || [];
    // without a history it cannot be read just now: what is shown stays
    const fresh = act.history && !turns.some((turn) => shown.has(turn.turn));
    if (fresh) { // begun, begun anew, or opened again: the page shows what the service knows
      shown.clear();
      log.replaceChildren();
    }
    if (act.mid) settle(act.mid);
    for (const turn of turns) {
      if (shown.has(turn.turn)) continue;
      const sent = turn.mid && waiting.get(turn.mid);
      if (sent) { settle(turn.mid); put(sent.node); } else putUser(turn.text);
      putReply({ ...turn, text: turn.reply });
    }
    waiting.forEach((sent) => put(sent.node));
    if (act.history && !turns.length) { put(message("reply", "Reply", act.text)); announce("Reply: " + act.text); }
    else if (!act.history) { putNotice(act.text); announce(act.text); }
    else if (fresh) { putNotice(act.text); announce(act.text); toEnd(); }
  }

  function judged(act) {
    const node = shown.get(act.turn);
    if (node) {
      for (const button of node.querySelectorAll("[data-rating]"))
        button.setAttribute("aria-pressed", String(button.dataset.rating === act.rating));
      if (act.correction) corrected(node, act.correction);
    }
    if (act.mid && waiting.has(act.mid)) putNotice(act.text); // it was said in words
    announce(act.text);
  }

  function refused(act) {
    if (!ready && AGAIN.includes(act.code)) { // not let in now: the next try may find a place
      refusal = act.text;
      return socket.close();
    }
    const sent = act.mid && waiting.get(act.mid);
    const node = put(message("error", "Error", act.text));
    announce(act.text);
    if (!sent) return;
    settle(act.mid);
    if (!AGAIN.includes(act.code)) return;
    const again = element("button", "plain", "Send it again");
    again.type = "button";
    again.onclick = () => { node.remove(); sent.node.remove(); say(sent.text); text.focus(); };
    node.append(again);
  }

  // -- what the user says ------------------------------------------------------------------

  function write(content) {
    if (!socket || socket.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(content));
    return true;
  }

  function send(content) {
    if (ready && write(content)) return true;
    announce("There is no connection. Please try again in a moment.");
    return false;
  }

  function note(sent, words) {
    let made = sent.node.querySelector(".note");
    if (!made) sent.node.append(made = element("span", "note"));
    made.textContent = words;
  }

  function say(words) {
    const mid = name(), isReady = ready && socket && socket.readyState === WebSocket.OPEN;
    const sent = { text: words, node: putUser(words) };
    waiting.set(mid, sent);
    offer([]);
    if (isReady) write({ text: words, mid });
    else note(sent, "Waits for the connection");
  }

  function limit(characters) {
    longest = characters;
    grow();
  }

  function grow() {
    text.rows = Math.min(6, Math.max(1, text.value.split("\n").length, Math.ceil(text.value.length / 60)));
    const left = longest - text.value.length, tooLong = longest > 0 && left < 0;
    $("count").hidden = !longest || left > longest / 10;
    $("count").textContent = tooLong ? -left + " characters too many" : left + " characters left";
    $("count").classList.toggle("over", tooLong);
    $("send").disabled = !text.value.trim() || tooLong;
  }

  // -- the connection ----------------------------------------------------------------------

  function connect(password) {
    clearTimeout(timer);
    if (socket) { socket.onclose = socket.onmessage = null; socket.close(); }
    ready = elsewhere = false;
    $("retry").textContent = "Try now";
    status("connecting", "Connecting…");
    const address = new URL("websocket", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = address.hash = "";
    socket = new WebSocket(address);
    const hello = { type: "hello", token: token() };
    if (password !== undefined) hello.password = password;
    socket.onopen = () => write(hello);
    socket.onmessage = (event) => {
      let act;
      try { act = JSON.parse(event.data); } catch { return; }
      if (act && typeof act === "object") hear(act);
    };
    socket.onclose = lost;
  }

  function lost(event) {
    ready = false;
    typing(false);
    waiting.forEach((sent) => note(sent, "Waits for the connection"));
    if (event.code === ELSEWHERE) {
      status("lost", "This chat is open in another tab");
      $("retry").textContent = "Use it here";
      elsewhere = true;
      return;
    }
    const most = Math.min(SLOWEST, 500 * 2 ** tries++);
    const pause = most / 2 + Math.random() * most / 2;
    status("lost", refusal || "Connection lost, trying again…");
    refusal = "";
    timer = setTimeout(connect, pause);
  }

  function startAnew() {
    send({ text: "[DONE]", mid: name() });
    token(null);
    shown.clear();
    waiting.clear();
    log.replaceChildren();
    offer([]);
    typing(false);
    tries = 0;
    connect();
    text.focus();
  }

  composer.onsubmit = (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (!words || (longest && text.value.length > longest)) return;
    say(words);
    text.value = "";
    grow();
    text.focus();
  };
  text.oninput = grow;
  text.onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    composer.requestSubmit();
  };
  $("unlock").onsubmit = (event) => {
    event.preventDefault();
    connect($("password").value);
    $("password").value = "";
  };
  $("retry").onclick = () => { tries = 0; connect(); };
  $("latest").onclick = toEnd;
  scroller.onscroll = () => { if (isAtEnd()) $("latest").hidden = true; };
  $("new").onclick = () => $("confirm-new").showModal();
  $("confirm-no").onclick = () => $("confirm-new").close();
  $("confirm-yes").onclick = () => { $("confirm-new").close(); startAnew(); };
  addEventListener("online", () => { if (!ready && !elsewhere) connect(); });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !ready && !elsewhere && $("status").dataset.state === "lost") connect();
  });

  grow();
  if (!matchMedia("(pointer: coarse)").matches) text.focus(); // on a phone a keyboard would cover half of it
  connect();
})();
