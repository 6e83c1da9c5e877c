// The operator page: figures every two seconds, and the way back. Text is only ever text content.
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  const EVERY = 2000; // ms between looks
  const KEPT = 60; // looks that the curve shows
  const place = "parlai_cu.operator";
  const curve = [];
  let token = null, timer = 0, rolling = null, drawn = "";

  function element(tag, className, content) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (content !== undefined) made.textContent = content;
    return made;
  }

  function remember(value) {
    token = value;
    try { // forgotten with the tab
      if (value) sessionStorage.setItem(place, value);
      else sessionStorage.removeItem(place);
    } catch { /* the browser forbids it: the token lives as long as the page */ }
  }

  function remembered() {
    try { return sessionStorage.getItem(place); } catch { return null; }
  }

  async function ask(path, content) {
    const options = { headers: { Authorization: "Bearer " + token }, credentials: "omit", cache: "no-store" };
    if (content) Object.assign(options, { method: "POST", body: JSON.stringify(content) });
    const response = await fetch(path, options);
    const answer = await response.json();
    if (!response.ok) throw Object.assign(new Error(answer.text || response.statusText), { status: response.status });
    return answer;
  }

  // -- figures -----------------------------------------------------------------------------

  function tile(name, ...parts) {
    const made = element("div", "tile"), value = element("dd");
    made.append(element("dt", "", name), value);
    value.append(...parts);
    return made;
  }

  const number = (value, digits = 0) =>
    value === null || value === undefined ? "–" : Number(value).toLocaleString(undefined, { maximumFractionDigits: digits });

  function when(iso) {
    const date = new Date(iso);
    return isNaN(date) ? String(iso) : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }

  function sparkline(values) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    const most = Math.max(...values, 1e-9);
    const points = values.map((value, i) => (i * 120) / (KEPT - 1) + "," + (31 - (value / most) * 29));
    svg.setAttribute("class", "spark");
    svg.setAttribute("viewBox", "0 0 120 32");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    line.setAttribute("points", points.join(" "));
    line.setAttribute("vector-effect", "non-scaling-stroke");
    svg.append(line);
    return svg;
  }

  function tiles(answer) {
    const now = answer.figures, made = [];
    for (const model of answer.models) {
      const name = answer.models.length > 1 ? "Live version, " + model.name : "Live version";
      const version = tile(name, model.version || "none", ...promotion(model));
      version.classList.add("wide");
      made.push(version);
    }
    made.push(tile("Conversations", number(now.conversations), element("small", "", number(now.connections) + " connected")));
    made.push(tile("Turns a second", number(now.turns_per_second, 1), sparkline(curve)));
    const three = element("div", "three");
    for (const share of [50, 95, 99]) {
      const part = element("div", "", number(now["latency_p" + share + "_ms"], 1));
      part.append(element("small", "", "p" + share + ", ms"));
      three.append(part);
    }
    const latency = tile("Latency of an answer", three);
    latency.classList.add("wide");
    made.push(latency);
    made.push(tile("Waiting for the model", number(now.model_queue), element("small", "", number(now.open_turns) + " turns open")));
    for (const [name, store] of [["Chats kept", now.store_up], ["Feedback kept", now.feedback_up]])
      if (store) made.push(keeping(name, store));
    return made;
  }

  function keeping(name, store) {
    const made = tile(name, store.up ? "yes" : "no", element("small", "", store.trouble || ""));
    if (store.put_off) made.append(element("small", "", number(store.put_off) + " deletions wait"));
    made.classList.toggle("trouble", !store.up);
    return made;
  }

  function promotion(model) {
    const change = model.last_change;
    if (!change) return [element("small", "", "not from a versions directory")];
    const what = change.action === "rollback" ? "Rolled back " : change.forced ? "Promoted by force " : "Promoted ";
    const made = [element("small", "", what + when(change.time) + " by " + change.who)];
    if (change.why) made.push(element("small", "", change.why));
    if (model.live !== model.version) made.push(element("small", "", "changing over to " + model.live));
    if (model.canary) {
      const share = Math.round(100 * (model.canary_share || 0)) + " % of the conversations";
      made.push(element("small", "", "On trial: " + model.canary + ", " + share));
    }
    return made;
  }

  function panel(model) {
    const made = element("section", "panel"), top = element("header");
    const title = element("h2", "", "Versions of " + model.name);
    title.id = "versions-" + model.name;
    made.setAttribute("aria-labelledby", title.id);
    top.append(title);
    made.append(top);
    for (const words of [model.trouble, ...(model.load_errors || [])].filter(Boolean))
      made.append(element("p", "told bad", typeof words === "string" ? words : JSON.stringify(words)));
    if (model.error) made.append(element("p", "told bad", model.error));
    if (!model.versions.length) return model.error ? made : null;
    const back = element("button", "danger", model.previous ? "Roll back to " + model.previous : "Nothing to roll back to");
    back.type = "button";
    back.disabled = !model.previous;
    back.onclick = () => confirmRollback(model);
    top.append(back);
    const scroll = element("div", "scroll"), table = element("table"), head = element("tr"), body = element("tbody");
    for (const name of ["Version", "Made", "How", "Gate", "Note"]) {
      const cell = element("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const thead = element("thead");
    thead.append(head);
    for (const one of model.versions) {
      const row = element("tr"), id = element("td", "", one.id + " ");
      if (one.live) id.append(element("span", "badge", "live"));
      if (one.pruned) id.append(element("span", "version", "files removed"));
      row.append(id);
      for (const text of [when(one.created), one.mode, one.decision, one.note]) row.append(element("td", "", text));
      body.append(row);
    }
    table.append(thead, body);
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", "Table of the versions of " + model.name);
    scroll.append(table);
    made.append(scroll);
    return made;
  }

  function show(answer) {
    curve.push(answer.figures.turns_per_second || 0);
    if (curve.length > KEPT) curve.shift();
    $("tiles").replaceChildren(...tiles(answer));
    // drawn anew only when it changed: whoever stands on a button keeps it
    const models = JSON.stringify(answer.models);
    if (models !== drawn) {
      drawn = models;
      $("models").replaceChildren(...answer.models.map(panel).filter(Boolean));
    }
  }

  // -- looking, and going back -------------------------------------------------------------

  function state(name, words) {
    $("status").hidden = false;
    $("status").dataset.state = name;
    if ($("status-text").textContent !== words) $("status-text").textContent = words;
  }

  function signOut(words) {
    clearTimeout(timer);
    remember(null);
    drawn = "";
    curve.length = 0;
    $("service").hidden = $("leave").hidden = $("status").hidden = true;
    $("signin").hidden = false;
    $("signin-told").textContent = words;
    $("token").value = "";
    $("token").focus();
  }

  async function look() {
    clearTimeout(timer);
    try {
      const answer = await ask("operator/status");
      if (!token) return;
      $("signin").hidden = true;
      $("service").hidden = $("leave").hidden = false;
      state("open", "Live");
      show(answer);
    } catch (error) {
      if ([401, 403, 429].includes(error.status)) return signOut(error.message + ".");
      if ($("service").hidden) $("signin-told").textContent = "The service does not answer.";
      state("lost", "The service does not answer, trying again…");
    }
    if (token && !document.hidden) timer = setTimeout(look, EVERY);
  }

  function told(words, good) {
    $("told").textContent = words;
    $("told").className = "told " + (good ? "good" : "bad");
  }

  function confirmRollback(model) {
    rolling = model;
    $("confirm-text").textContent =
      "New turns will be answered by " + model.previous + " instead of " + model.live + ". No conversation is interrupted.";
    $("why").value = "";
    $("confirm").showModal();
    $("no").focus(); // the harmless one first
  }

  $("confirm-form").onsubmit = async (event) => {
    event.preventDefault();
    const asked = { model: rolling.name, expected: rolling.live, why: $("why").value };
    $("yes").disabled = true;
    try {
      const answer = await ask("operator/rollback", asked);
      told("Rolled back to " + answer.rolled_back.id + ".", true);
    } catch (error) {
      told(error.message, false);
    }
    $("yes").disabled = false;
    $("confirm").close();
    look();
  };
  $("no").onclick = () => $("confirm").close();
  $("signin").onsubmit = (event) => {
    event.preventDefault();
    $("signin-told").textContent = "";
    remember($("token").value);
    look();
  };
  $("leave").onclick = () => signOut("");
  document.addEventListener("visibilitychange", () => { if (!document.hidden && token) look(); });

  token = remembered();
  if (token) look();
  else $("token").focus();
})();
