// All alerts, filtered, a page at a time; several can be judged at once.

import { at, call, get, user } from "../api.js";
import { announce, field, h, put, select } from "../dom.js";
import { count, time } from "../format.js";
import { alertLink, empty, loading, long, notice, onPhones, panel, refocus, severity, standing, subject, table, waiting } from "../parts.js";
import { calmly } from "../still.js";
import { follow } from "../stream.js";
import { VERDICTS, difference } from "./triage.js";

/** Changed alerts that are looked at one by one, where many were to be judged. */
const LOOKED_AT = 20;

const STATUSES = [["", "Any status"], ["open,acknowledged", "Not closed"], ["open", "Open"], ["acknowledged", "Acknowledged"], ["closed", "Closed"]];
const LEVELS = [["", "Any severity"], ["Critical,High", "High or Critical"], ["Medium,Low", "Low or Medium"], ["Critical", "Critical"], ["High", "High"], ["Medium", "Medium"], ["Low", "Low"]];
const ORDERS = [["", "Newest first"], ["severity", "Most severe first"]];
const FIELDS = ["status", "severity", "user", "rule", "order"];

/** A select of these words, and of what the address says where that is none of them. */
function choice(all, given) {
  const value = given ?? "";
  return select(all.some(([of]) => of === value) ? all : [...all, [value, value.replaceAll(",", ", ")]], value);
}

export function show(place, frame) {
  const { query, signal } = frame;
  const status = choice(STATUSES, query.get("status"));
  const level = choice(LEVELS, query.get("severity"));
  const sorted = choice(ORDERS, query.get("order"));
  const who = h("input", { type: "search", "data-search": true, value: query.get("user") ?? "", autocapitalize: "none", spellcheck: "false" });
  const rule = h("select", {}, h("option", { value: query.get("rule") ?? "" }, query.get("rule") ? "…" : "Any rule"));
  const list = h("div", {}, waiting(8));
  const form = h("form", { class: "filters", role: "search", "aria-label": "Filter alerts" },
    field("Status", status), field("Severity", level), field("User", who), field("Rule", rule), field("Order", sorted));
  const values = () => ({ status: status.value, severity: level.value, user: who.value.trim(), rule: rule.value, order: sorted.value });
  const apply = () => {
    const next = new URLSearchParams(Object.entries(values()).filter(([, value]) => value));
    history.replaceState(null, "", `#/alerts${next.size ? `?${next}` : ""}`);
    load(values());
  };
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  /** Whoever pressed what made the list anew goes on from its heading. */
  const anew = async () => {
    await load(values());
    refocus(document.getElementById("queue-title"));
  };
  const chosen = selection(anew);
  const news = h("div", { "aria-live": "polite" });
  put(place, h("h1", { tabindex: -1 }, "Alerts"), panel("The queue", { id: "queue-title" }, form, news, list), chosen.bar);

  // A list that moves under the hand of whoever works on it is a bad list: news are told, and shown when asked for.
  const listed = new Set();
  const fresh = new Set();
  const tell = calmly(news, signal, () => {
    if (fresh.size) put(news, notice("calm", h("p", {}, `${count(fresh.size, "new alert")} since this list was made.`), h("button", { type: "button", onclick: anew }, "Show")));
    else put(news);
  });
  const heard = (alert) => {
    if (listed.has(alert.alert_id) || alert.suppressed || ["retracted", "merged"].includes(alert.state)) return;
    fresh.add(alert.alert_id);
    tell();
  };
  let made = null;

  get("/api/rules", signal).then((rules) => {
    const named = rules.filter((one) => one.level.toLowerCase() !== "informational" && one.reports !== false).sort((a, b) => a.title.localeCompare(b.title));
    put(rule, h("option", { value: "" }, "Any rule"), named.map((one) => h("option", { value: one.id }, one.title)));
    rule.value = query.get("rule") ?? "";
  }, () => {});

  let turn = 0;
  function load(wanted) {
    turn += 1;
    const mine = turn;
    chosen.clear();
    fresh.clear();
    put(news);
    put(list, waiting(8));
    return loading(list, signal, async () => {
      const { body, headers } = await call("GET", at("/api/alerts", { ...wanted, event_ids: false, limit: 50 }), { signal });
      if (mine !== turn) return [...list.childNodes];
      // By the server's clock, as alerts are.
      made = new Date(headers.get("Date") ?? Date.now()).toISOString();
      for (const alert of body) listed.add(alert.alert_id);
      if (!body.length) return nothing(wanted);
      const shown = table(`Alerts, ${wanted.order ? "the most severe" : "newest"} first`, [
        [h("span", { class: "hidden" }, "Choose"), chosen.box, "narrow"],
        ["Severity", (alert) => severity(alert.severity), "narrow"],
        ["What", (alert) => [alertLink(alert), h("div", {}, long(alert.explanation, "soft small")), onPhones(chosen.state(alert), alert)], "grow"],
        ["About", subject, "person-cell mid"],
        ["Last event", (alert) => time(alert.last_event_at, "ago"), "mid narrow"],
        ["State", (alert) => chosen.state(alert), "mid narrow"],
      ], body);
      const more = h("div", { class: "buttons" });
      further(shown, more, headers);
      return [shown, more];
    });
  }

  /** The button for the next page, as the answer's Link says. */
  function further(shown, more, headers) {
    const next = /<([^>]+)>;\s*rel="next"/.exec(headers.get("Link") ?? "")?.[1];
    if (!next) {
      put(more);
      return;
    }
    const button = h("button", { type: "button" }, "Show more");
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const { body, headers: after } = await call("GET", next, { signal });
        for (const alert of body) listed.add(alert.alert_id);
        const rows = body.map(shown.line);
        shown.body.append(...rows);
        further(shown, more, after);
        rows[0]?.querySelector("a")?.focus();
      } catch (error) {
        button.disabled = false;
        if (!signal.aborted) put(more, notice("bad", error.message), button);
      }
    });
    put(more, button);
  }

  const asked = () => Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ""]));
  const first = load(asked()).then(() => made !== null);
  follow(at("/api/alerts/stream", { event_ids: false }), {
    signal,
    first,
    onState: frame.status,
    onEvent: (_, alert) => heard(alert),
    poll: recent,
    whole: async () => {
      if (made === null) await load(asked());
      else await recent();
    },
  });

  /** Without a stream, or after a gap in it: what is new since the list was made. */
  async function recent() {
    const rows = await get("/api/alerts?limit=20&event_ids=false", signal);
    rows.filter((alert) => made && alert.at > made).forEach(heard);
  }
}

/** The alerts that are ticked, and what can be done with all of them: the server takes all or none. */
function selection(done) {
  // As they were listed: what is judged is what was seen.
  const ticked = new Map();
  const boxes = new Map();
  const states = new Map();
  const words = h("strong", { "aria-live": "polite" });
  const told = h("div", { "aria-live": "polite" });
  const verdict = select(VERDICTS.map(([value, label]) => [value, label]), "benign");
  const reason = h("input", { maxlength: 2000, placeholder: "One sentence for all of them" });
  const bar = h("form", { class: "panel chosen", hidden: true, novalidate: true, "aria-label": "The chosen alerts" },
    h("div", { class: "filters" }, words, field("What were they?", verdict), field("How do you know?", reason),
      h("div", { class: "buttons" },
        h("button", { class: "primary", type: "submit" }, "Close them"),
        h("button", { type: "button", onclick: () => send({ status: "acknowledged", assignee: user().username }, "taken up") }, "Take them up"))),
    told);
  const draw = () => {
    bar.hidden = ticked.size === 0;
    words.textContent = `${count(ticked.size, "alert")} chosen`;
    if (!ticked.size) put(told);
  };
  const clear = () => {
    for (const all of [ticked, boxes, states]) all.clear();
    draw();
  };
  async function send(change, did) {
    try {
      const revisions = Object.fromEntries([...ticked].map(([id, alert]) => [id, alert.revision]));
      const { body } = await call("POST", "/api/alerts/triage", { body: { ids: [...ticked.keys()], revisions, ...change } });
      announce(`${count(body.updated, "alert")} ${did}`);
      reason.value = "";
      done();
    } catch (error) {
      if (error.status === 412 && error.body?.changed) await changed(error.body.changed);
      else put(told, notice("bad", error.message));
    }
  }

  /** Somebody was faster, or alerts went on: nothing was done. What changed is told and shown; then it may be sent again. */
  async function changed(ids) {
    const shown = ids.slice(0, LOOKED_AT);
    const now = await Promise.all(shown.map((id) => get(`/api/alerts/${encodeURIComponent(id)}`).catch(() => null)));
    const lines = shown.map((id, i) => {
      const was = ticked.get(id);
      if (now[i] && was) {
        ticked.set(id, now[i]);
        for (const cell of states.get(id) ?? []) put(cell, standing(now[i]));
      }
      return h("li", {}, was ? alertLink(was) : id, ", ", was?.user ?? was?.ip ?? "", ": ", now[i] && was ? difference(was, now[i]) : "cannot be read at the moment.");
    });
    // What nobody has looked at is not judged.
    const rest = ids.slice(LOOKED_AT);
    for (const id of rest) {
      ticked.delete(id);
      if (boxes.has(id)) boxes.get(id).checked = false;
    }
    draw();
    put(told, h("div", { class: "notice bad", role: "alert" },
      h("p", {}, `${count(ids.length, "of these alerts has", "of these alerts have")} changed since this list was made. Nothing was done; send it again if it still holds.`),
      h("ul", { class: "reasons" }, lines, rest.length ? h("li", {}, `and ${count(rest.length, "more")}, which ${rest.length === 1 ? "is" : "are"} no longer chosen`) : null)));
  }
  bar.addEventListener("submit", (event) => {
    event.preventDefault();
    if (reason.value.trim()) {
      send({ status: "closed", verdict: verdict.value, reason: reason.value.trim() }, "closed");
    } else {
      put(told, notice("bad", "Say in a few words how you know; whoever comes after you will read it."));
      reason.focus();
    }
  });
  const box = (alert) => {
    const tick = h("input", { type: "checkbox", "aria-label": `Choose ${alert.rule}, ${alert.user ?? alert.ip ?? ""}`, checked: ticked.has(alert.alert_id) });
    boxes.set(alert.alert_id, tick);
    tick.addEventListener("change", () => {
      if (tick.checked) ticked.set(alert.alert_id, alert);
      else ticked.delete(alert.alert_id);
      draw();
    });
    return tick;
  };
  const state = (alert) => {
    const cell = h("span", {}, standing(alert));
    states.set(alert.alert_id, [...(states.get(alert.alert_id) ?? []), cell]);
    return cell;
  };
  return { bar, box, state, clear };
}

function nothing(values) {
  if (Object.values(values).some(Boolean)) {
    return empty("No alert is like that.", h("a", { href: "#/alerts" }, "Show all alerts"));
  }
  return empty("No alerts yet.", "When a rule fires, its alert is here within milliseconds.", h("a", { href: "#/rules" }, "See what is looked for"));
}
