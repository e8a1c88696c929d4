// One user: the risk over time and what it is made of, alerts, sessions, activities.

import { at, get } from "../api.js";
import { riskLine } from "../charts.js";
import { h, put, select } from "../dom.js";
import { DAY, count, number, time } from "../format.js";
import { activities, empty, loading, panel, risk, severity, table, technique, waiting } from "../parts.js";
import { shortList } from "./alert.js";

export function show(place, frame) {
  const { argument: name, signal } = frame;
  frame.title(name);
  const days = select([["7", "7 days"], ["30", "30 days"], ["90", "90 days"]], "30", { "aria-label": "Over how long" });
  // It stays the same one: it may have the focus.
  const title = h("h1", { tabindex: -1 }, name);
  const head = h("div", { class: "title-line" }, title);
  const plot = h("div", {}, waiting(5));
  const made = h("div", {}, waiting(4));
  const alerts = h("div", {}, waiting(4));
  const sessions = h("div", {}, waiting(3));
  const log = h("div", {}, waiting(6));
  put(place,
    h("p", { class: "crumb" }, h("a", { href: "#/users" }, "Users")),
    head,
    panel("Risk over time", { id: "risk-title", side: days }, plot),
    h("div", { class: "split" },
      panel("Alerts", { id: "alerts-title", side: h("a", { href: `#/alerts?user=${encodeURIComponent(name)}` }, "All alerts") }, alerts),
      panel("What the risk is made of", { id: "made-title" }, made)),
    panel("Sessions", { id: "sessions-title" }, sessions),
    panel("Activities", { id: "log-title" }, log));

  let asked = null;
  const found = () => {
    asked ??= get(at("/api/alerts", { user: name, event_ids: false, limit: 100 }), signal).catch((error) => {
      asked = null;
      throw error;
    });
    return asked;
  };
  let known = null;
  const load = () => loading(plot, signal, async () => {
    let user;
    try {
      user = await get(at("/api/analytics/user-risk", { user: name, days: days.value }), signal);
    } catch (error) {
      if (error.status !== 404) throw error;
      put(made, empty("Nothing."));
      return empty(`${error.message}.`, "Names that were only tried stand in the alerts about the address that tried them.", h("a", { href: "#/users" }, "Find a user"));
    }
    if (!known) {
      known = user;
      put(title, user.username);
      head.append(...[risk(user.risk_score, user.risk_level),
        h("span", { class: "soft" }, user.risk_level),
        h("span", { class: "badge" }, user.role_name ?? "No account here"),
        user.is_active === false ? h("span", { class: "badge sev-medium" }, "Switched off") : null,
        user.full_name ? h("span", { class: "soft" }, user.full_name) : null].filter(Boolean));
      put(made, contributions(user.contributions));
    }
    const points = user.history.map((point) => [Date.parse(point.at), point.risk_score]);
    const [from, to] = [Date.parse(user.as_of) - user.period_days * DAY, Date.parse(user.as_of)];
    const near = (moment) => points.reduce((best, point) => (point[0] <= moment + 1 ? point[1] : best), 0);
    const marks = (await found()).filter((alert) => Date.parse(alert.at) >= from).map((alert) => ({
      at: Date.parse(alert.at), value: near(Date.parse(alert.at)), severity: alert.severity.toLowerCase(),
      label: `${alert.severity}: ${alert.rule}`, href: `#/alerts/${encodeURIComponent(alert.alert_id)}`,
    }));
    const highest = Math.max(0, ...points.map(([, value]) => value));
    const label = `Risk of ${user.username} over ${user.period_days} days: ${number(user.risk_score)} now, ${number(highest)} at most, ${count(marks.length, "alert")}`;
    return [riskLine(points, { from, to, marks, label }), h("p", { class: "soft small" }, `${number(user.risk_score)} now, ${number(highest)} at most. Each dot is an alert. An alert's weight falls by half in a week.`)];
  });
  days.addEventListener("change", load);
  load();
  loading(alerts, signal, async () => {
    const rows = await found();
    return rows.length ? shortList(`Alerts about ${name}, newest first`, rows.slice(0, 20)) : empty("No alerts.", "Alerts that count by address or session and touch this user add to the risk as well.");
  });

  // By name: other systems tell of people who have no account here.
  loading(sessions, signal, async () => {
    const rows = await get(at("/api/logs/sessions", { user: name, limit: 20 }), signal);
    return rows.length ? sessionTable(rows) : empty("No session yet.");
  });
  loading(log, signal, async () => {
    const rows = await get(at("/api/logs/", { user: name, limit: 60 }), signal);
    return rows.length ? activities(`What ${name} did, newest first`, rows, { person: false }) : empty("No activity yet.");
  });
}

function contributions(all) {
  if (!all.length) return empty("Nothing at the moment.");
  const sorted = [...all].sort((a, b) => b.points - a.points);
  return h("ol", { class: "people" }, sorted.slice(0, 12).map((part) => h("li", { class: "person" },
    h("div", { class: "person-line" }, h("a", { class: "row-title", href: `#/alerts/${encodeURIComponent(part.alert_id)}` }, part.name), h("strong", { class: "risk-line", title: "Points added to the score" }, `+${number(part.points)}`)),
    h("p", { class: "small soft" }, part.description),
    h("p", { class: "tags" }, severity(part.severity), part.techniques.map(technique)))),
    sorted.length > 12 ? h("li", { class: "soft small" }, `and ${count(sorted.length - 12, "smaller one")}`) : null);
}

function sessionTable(rows) {
  return table("Sessions, newest first", [
    ["Began", (row) => time(row.start_time, "clock"), "narrow"],
    ["State", (row) => (row.is_active ? h("span", { class: "badge taken" }, "Active") : h("span", { class: "badge" }, "Ended")), "narrow"],
    ["From", (row) => h("span", { class: "mono" }, row.ip_address || "–")],
    ["Program", (row) => h("span", { class: "soft" }, row.user_agent ?? ""), "wide grow"],
    ["Activities", (row) => number(row.activity_count), "right narrow"],
    ["Last seen", (row) => time(row.last_seen, "ago"), "mid narrow"],
  ], rows);
}
