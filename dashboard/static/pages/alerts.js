// All alerts, filtered, a page at a time; several can be judged at once.

import { at, call, get, user } from "../api.js";
import { announce, field, h, put, select } from "../dom.js";
import { count, time } from "../format.js";
import { alertLink, empty, loading, notice, panel, severity, standing, subject, table, waiting } from "../parts.js";
import { follow } from "../stream.js";
import { VERDICTS } from "./triage.js";

const FIELDS = ["status", "severity", "user", "rule"];

export function show(place, frame) {
  const { query, signal } = frame;
  const status = select([["", "Any status"], ["open", "Open"], ["acknowledged", "Acknowledged"], ["closed", "Closed"]], query.get("status") ?? "");
  const level = select([["", "Any severity"], ["Critical", "Critical"], ["High", "High"], ["Medium", "Medium"], ["Low", "Low"]], query.get("severity") ?? "");
  const who = h("input", { type: "search", "data-search": true, value: query.get("user") ?? "", autocapitalize: "none", spellcheck: "false" });
  const rule = h("select", {}, h("option", { value: query.get("rule") ?? "" }, query.get("rule") ? "…" : "Any rule"));
  const list = h("div", {}, waiting(8));
  const form = h("form", { class: "filters", role: "search", "aria-label": "Filter alerts" },
    field("Status", status), field("Severity", level), field("User", who), field("Rule", rule));
  const values = () => ({ status: status.value, severity: level.value, user: who.value.trim(), rule: rule.value });
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
  const chosen = selection(() => load(values()));
  const news = h("div", { "aria-live": "polite" });
  put(place, h("h1", { tabindex: -1 }, "Alerts"), panel("The queue", { id: "queue-title" }, form, news, list), chosen.bar);

  // A list that moves under the hand of whoever works on it is a bad list: news are told, and shown when asked for.
  const listed = new Set();
  const fresh = new Set();
  const heard = (alert) => {
    if (listed.has(alert.alert_id) || alert.suppressed || ["retracted", "merged"].includes(alert.state)) return;
    fresh.add(alert.alert_id);
    put(news, notice("calm", h("p", {}, `${count(fresh.size, "new alert")} since this list was made.`), h("button", { type: "button", onclick: () => load(values()) }, "Show")));
  };
  follow("/api/alerts/stream", {
    signal,
    onState: frame.status,
    onEvent: (_, alert) => heard(alert),
    poll: async () => (await get("/api/alerts?limit=20", signal)).filter((alert) => made && alert.at > made).forEach(heard),
  });
  let made = null;

  get("/api/rules", signal).then((rules) => {
    const sorted = rules.filter((one) => one.level.toLowerCase() !== "informational" && one.reports !== false).sort((a, b) => a.title.localeCompare(b.title));
    put(rule, h("option", { value: "" }, "Any rule"), sorted.map((one) => h("option", { value: one.id }, one.title)));
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
    loading(list, signal, async () => {
      const { body, headers } = await call("GET", at("/api/alerts", { ...wanted, limit: 50 }), { signal });
      if (mine !== turn) return [...list.childNodes];
      made = new Date().toISOString();
      for (const alert of body) listed.add(alert.alert_id);
      if (!body.length) return nothing(wanted);
      const shown = table("Alerts, newest first", [
        [h("span", { class: "hidden" }, "Choose"), chosen.box, "narrow"],
        ["Severity", (alert) => severity(alert.severity), "narrow"],
        ["What", (alert) => [alertLink(alert), h("div", { class: "soft small" }, alert.explanation)], "grow"],
        ["About", subject, "person-cell mid"],
        ["Last event", (alert) => time(alert.last_event_at, "ago"), "mid narrow"],
        ["State", standing, "mid narrow"],
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

  load(Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ""])));
}

/** The alerts that are ticked, and what can be done with all of them: the server takes all or none. */
function selection(done) {
  const ids = new Set();
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
    bar.hidden = ids.size === 0;
    words.textContent = `${count(ids.size, "alert")} chosen`;
    if (!ids.size) put(told);
  };
  const clear = () => {
    ids.clear();
    draw();
  };
  async function send(change, did) {
    try {
      const { body } = await call("POST", "/api/alerts/triage", { body: { ids: [...ids], ...change } });
      announce(`${count(body.updated, "alert")} ${did}`);
      reason.value = "";
      done();
    } catch (error) {
      put(told, notice("bad", error.message));
    }
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
    const tick = h("input", { type: "checkbox", "aria-label": `Choose ${alert.rule}, ${alert.user ?? alert.ip ?? ""}`, checked: ids.has(alert.alert_id) });
    tick.addEventListener("change", () => {
      if (tick.checked) ids.add(alert.alert_id);
      else ids.delete(alert.alert_id);
      draw();
    });
    return tick;
  };
  return { bar, box, clear };
}

function nothing(values) {
  if (Object.values(values).some(Boolean)) {
    return empty("No alert is like that.", h("a", { href: "#/alerts" }, "Show all alerts"));
  }
  return empty("No alerts yet.", "When a rule fires, its alert is here within milliseconds.", h("a", { href: "#/rules" }, "See what is looked for"));
}
