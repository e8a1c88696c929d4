// All alerts, filtered, a page at a time.

import { at, call, get } from "../api.js";
import { field, h, put, select } from "../dom.js";
import { time } from "../format.js";
import { alertLink, empty, loading, notice, panel, severity, standing, subject, table, waiting } from "../parts.js";

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
  const apply = () => {
    const values = { status: status.value, severity: level.value, user: who.value.trim(), rule: rule.value };
    const next = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
    history.replaceState(null, "", `#/alerts${next.size ? `?${next}` : ""}`);
    load(values);
  };
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  put(place, h("h1", { tabindex: -1 }, "Alerts"), panel("The queue", { id: "queue-title" }, form, list));

  get("/api/rules", signal).then((rules) => {
    const sorted = rules.filter((one) => one.level !== "informational").sort((a, b) => a.title.localeCompare(b.title));
    put(rule, h("option", { value: "" }, "Any rule"), sorted.map((one) => h("option", { value: one.id }, one.title)));
    rule.value = query.get("rule") ?? "";
  }, () => {});

  let turn = 0;
  function load(values) {
    turn += 1;
    const mine = turn;
    put(list, waiting(8));
    loading(list, signal, async () => {
      const { body, headers } = await call("GET", at("/api/alerts", { ...values, limit: 50 }), { signal });
      if (mine !== turn) return [...list.childNodes];
      if (!body.length) return nothing(values);
      const shown = table("Alerts, newest first", [
        ["Severity", (alert) => severity(alert.severity), "narrow"],
        ["What", (alert) => [alertLink(alert), h("div", { class: "soft small" }, alert.explanation)], "grow"],
        ["About", subject, "person-cell"],
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
        const first = body.map(shown.line);
        shown.body.append(...first);
        further(shown, more, after);
        first[0]?.querySelector("a")?.focus();
      } catch (error) {
        button.disabled = false;
        if (!signal.aborted) put(more, notice("bad", error.message), button);
      }
    });
    put(more, button);
  }

  load(Object.fromEntries(FIELDS.map((name) => [name, query.get(name) ?? ""])));
}

function nothing(values) {
  if (Object.values(values).some(Boolean)) {
    return empty("No alert is like that.", h("a", { href: "#/alerts" }, "Show all alerts"));
  }
  return empty("No alerts yet.", "When a rule fires, its alert is here within milliseconds.", h("a", { href: "#/rules" }, "See what is looked for"));
}
