// One alert: what was seen, why it matters, what led to it, and what to make of it.

import { at, call, get } from "../api.js";
import { against, eventLine } from "../charts.js";
import { h, put } from "../dom.js";
import { MINUTE, count, duration, number, time, words } from "../format.js";
import { activities, alertLink, empty, facts, loading, long, notice, onPhones, panel, severity, standing, table, technique, userLink, waiting } from "../parts.js";
import { follow } from "../stream.js";
import { exception, triage } from "./triage.js";

export function show(place, frame) {
  const { argument: id, signal } = frame;
  const path = `/api/alerts/${encodeURIComponent(id)}`;
  put(place, h("h1", { tabindex: -1, class: "hidden" }, "Alert"), waiting(8));
  let shown = null;
  const news = h("div", { "aria-live": "polite" });
  const load = () => loading(place, signal, async () => {
    const { body: alert, headers } = await call("GET", path, { signal }).catch(gone);
    read = true;
    if (!alert) {
      frame.title("There is no such alert");
      return missing();
    }
    frame.title(alert.rule);
    shown = alert;
    put(news);
    return [news, page(alert, headers.get("ETag"), reload, signal)];
  });
  // What was judged is read from its heading on.
  const reload = () => load().then(() => place.querySelector("#triage-title")?.focus({ preventScroll: true }));
  let read = false;
  const first = load().then(() => read);
  const heard = (alert) => {
    if (!shown || alert.alert_id !== shown.alert_id || alert.revision <= shown.revision) return;
    const words = alert.event_count > shown.event_count ? `It goes on: ${count(alert.event_count, "event")} by now.` : "Somebody changed this alert.";
    put(news, notice("calm", h("p", {}, words), h("button", { type: "button", onclick: reload }, "Show it")));
  };
  const look = async () => {
    const { body } = await call("GET", path, { signal }).catch(gone);
    if (body) heard(body);
  };
  follow(at("/api/alerts/stream", { event_ids: false }), {
    signal,
    first,
    onState: frame.status,
    onEvent: (_, alert) => heard(alert),
    poll: look,
    whole: async () => {
      if (read) await look();
      else await load();
    },
  });
}

/** An address that names no alert is no fault. */
function gone(error) {
  if (error.status === 404 || error.status === 400) return {};
  throw error;
}

function missing() {
  return [
    h("h1", { tabindex: -1 }, "There is no such alert"),
    h("p", { class: "soft" }, "Its address may be cut short, or it belongs to another server."),
    h("p", {}, h("a", { class: "button", href: "#/alerts" }, "Show all alerts")),
  ];
}

function page(alert, tag, reload, signal) {
  const rule = h("div", {}, waiting(2));
  loading(rule, signal, async () => aboutRule(alert, await get("/api/rules", signal)));
  return [
    h("p", { class: "crumb" }, h("a", { href: "#/alerts" }, "Alerts")),
    h("div", { class: "title-line" },
      h("h1", { tabindex: -1 }, alert.rule),
      severity(alert.severity), standing(alert),
      alert.state === "open" ? null : h("span", { class: "badge" }, words(`episode ${alert.state}`)),
      alert.suppressed ? h("span", { class: "badge" }, "Kept out by an exception") : null,
      alert.techniques.map(technique),
      h("span", { class: "soft small" }, time(alert.last_event_at, "ago"))),
    h("div", {}, long(alert.explanation, "lead")),
    h("div", { class: "split" },
      h("div", { class: "stack" },
        panel("What was seen", { id: "seen-title" }, Number(alert.threshold) > 1 ? against(Number(alert.observed), Number(alert.threshold)) : null, seen(alert), baseline(alert)),
        panel("What led to it", { id: "events-title", side: h("span", { class: "soft small" }, count(alert.event_count, "event")) }, events(alert)),
        around(alert, signal)),
      h("div", { class: "stack" },
        triage(alert, tag, reload),
        steps(alert),
        panel("The rule", { id: "rule-title", side: h("a", { href: `#/rules?rule=${encodeURIComponent(alert.rule_id)}` }, "All rules") }, rule),
        exception(alert))),
  ];
}

function seen(alert) {
  return facts([
    ["User", alert.user ? userLink(alert.user) : null],
    ["Address", alert.ip ? h("span", { class: "mono" }, alert.ip) : null],
    ["Session", alert.session ? h("span", { class: "mono" }, alert.session) : null],
    ["Counted by", Object.entries(alert.key).map(([name, value]) => `${words(name).toLowerCase()} ${value}`).join(", ")],
    ["Window", duration(alert.window_s)],
    ["First event", time(alert.first_event_at)],
    ["Crossed at", time(alert.at)],
    ["Last event", time(alert.last_event_at)],
    ["Points", `${number(alert.risk)} towards risk`],
    ["Found", { live: "As it happened", reprocess: "When history was processed again" }[alert.found_by] ?? words(alert.found_by)],
  ]);
}

function baseline(alert) {
  if (!alert.baseline || typeof alert.baseline !== "object") return null;
  const usual = Object.entries(alert.baseline).filter(([, value]) => ["number", "string"].includes(typeof value));
  return h("div", {}, h("h3", {}, "What is usual"), facts(usual.map(([name, value]) => [words(name), typeof value === "number" ? number(value) : value])));
}

function events(alert) {
  if (!alert.events.length) {
    return empty("The events are not stored yet, or no longer.", "They are there within a second of their request; after the retention they are gone, and the alert stays.");
  }
  const times = alert.events.map((event) => Date.parse(event.occurred_at));
  const dots = alert.events.map((event, i) => ({ at: times[i], of: event.outcome, label: `${event.action_type}, ${event.occurred_at}` }));
  const [from, to] = [Math.min(...times), Math.max(...times)];
  const label = `${count(dots.length, "event")} between ${time(new Date(from)).textContent} and ${time(new Date(to)).textContent}`;
  const crossed = (row) => row.event_id === alert.crossing_event;
  return [
    eventLine(dots, { from, to, crossing: Date.parse(alert.at), label }),
    h("p", { class: "soft small" }, "The dashed line, and the marked row, is the event at which the rule held."),
    activities("The events that led to this alert, oldest first", alert.events, { marked: crossed }),
    alert.event_count > alert.events.length ? h("p", { class: "soft small" }, `${count(alert.event_count, "event")} altogether; shown are those of the first crossing and of each step.`) : null,
  ];
}

/** What the same user did shortly before and after, asked for only when somebody looks. */
function around(alert, signal) {
  const name = alert.user ?? alert.events.find((event) => event.username)?.username;
  if (!name) return null;
  const place = h("div", {}, waiting(4));
  const from = new Date(Date.parse(alert.first_event_at) - 15 * MINUTE).toISOString();
  const to = new Date(Date.parse(alert.last_event_at) + 15 * MINUTE).toISOString();
  const details = h("details", { class: "panel" }, h("summary", {}, `What ${name} did 15 minutes before and after`), place);
  details.addEventListener("toggle", () => loading(place, signal, async () => {
    const rows = await get(at("/api/logs/", { user: name, start_date: from, end_date: to, limit: 200 }), signal);
    const led = new Set(alert.event_ids);
    return rows.length ? activities("Activities around the alert, newest first", rows, { person: false, marked: (row) => led.has(row.event_id) }) : empty("Nothing else.");
  }), { once: true });
  return details;
}

function steps(alert) {
  // One event can take several steps at once; the last of them says it all.
  const last = alert.escalations.filter((step, i, all) => step.at !== all[i + 1]?.at);
  const raised = last.map((step) => ({ at: step.at, what: [`Raised to ${number(step.observed)} observed`, " ", severity(step.severity)] }));
  const judged = alert.history.map((step) => {
    const what = [step.status ? words(step.status) : null, step.verdict ? words(step.verdict) : null, step.assignee ? `for ${step.assignee}` : null];
    return { at: step.at, what: [what.filter(Boolean).join(", "), h("span", { class: "soft" }, ` by ${step.by}`)], why: step.reason };
  });
  const all = [{ at: alert.at, what: ["Opened"] }, ...raised, ...judged].sort((a, b) => a.at.localeCompare(b.at));
  return panel("How it went", { id: "steps-title" }, h("ol", { class: "steps" }, all.map((step) =>
    h("li", {}, h("span", {}, step.what), h("span", { class: "soft small" }, time(step.at, "clock")), step.why ? h("p", {}, long(step.why)) : null))));
}

function aboutRule(alert, rules) {
  const rule = rules.find((one) => one.id === alert.rule_id);
  if (!rule) return h("p", { class: "soft" }, "This rule is no longer loaded.");
  const similar = h("a", { href: `#/alerts?rule=${encodeURIComponent(rule.id)}` }, "Other alerts of this rule");
  return h("div", { class: "stack" },
    rule.description ? h("p", {}, rule.description) : null,
    rule.false_positives?.length ? h("div", {}, h("h3", {}, "It may be harmless when"), h("ul", { class: "reasons" }, rule.false_positives.map((text) => h("li", { class: "soft" }, text)))) : null,
    h("p", { class: "small" }, similar));
}

/** A short table of alerts, for other pages; without their state where they have none. `mark` may say something of each. */
export function shortList(caption, alerts, { stored = true, mark = () => null } = {}) {
  return table(caption, [
    ["Severity", (alert) => severity(alert.severity), "narrow"],
    ["What", (alert) => [mark(alert), stored ? alertLink(alert) : h("span", { class: "row-title" }, alert.rule), h("div", {}, long(alert.explanation, "soft small")), stored ? onPhones(standing(alert), alert) : null], "grow"],
    ["Last event", (alert) => time(alert.last_event_at, "ago"), "mid narrow"],
    stored && ["State", standing, "mid narrow"],
  ].filter(Boolean), alerts);
}
