// The first page: what needs attention, who, and what is going on right now.

import { at, get } from "../api.js";
import { announce, h, put } from "../dom.js";
import { count, number, time } from "../format.js";
import { activities, empty, loading, panel, risk, severity, standing, subject, userLink, waiting } from "../parts.js";
import { follow } from "../stream.js";

const ALERTS = 7;
const ROWS = 25;

export function show(place, frame) {
  const { signal } = frame;
  const tiles = h("div", { class: "tiles" }, waiting(2));
  const queue = h("div", { id: "feed-alerts" }, waiting(5));
  const people = h("div", {}, waiting(5));
  const feed = h("div", { id: "feed-activities" }, waiting(6));
  const held = h("span", { class: "soft small", id: "held" });
  put(place,
    h("h1", { tabindex: -1 }, "Overview"),
    tiles,
    h("div", { class: "split" },
      panel("Needs attention", { id: "queue-title", side: h("a", { href: "#/alerts" }, "All alerts") }, queue),
      panel("Who to look at", { id: "people-title", side: h("a", { href: "#/users" }, "All users") }, people)),
    panel("Happening now", { id: "now-title", side: held }, feed));
  frame.status("connecting");

  const alerts = new Map();
  const rows = new Map();

  const drawAlerts = () => {
    const open = [...alerts.values()].filter((alert) => alert.status !== "closed" && shown(alert));
    open.sort((a, b) => b.last_event_at.localeCompare(a.last_event_at));
    draw(queue, open.length
      ? [
        h("ol", { class: "cards" }, open.slice(0, ALERTS).map(card)),
        open.length > ALERTS ? h("p", { class: "small" }, h("a", { href: "#/alerts?status=open" }, `${count(open.length - ALERTS, "more alert")} not closed`)) : null,
      ]
      : empty("Nothing needs your attention.", "Alerts appear here as they are found. To see one, fail to log in six times as anybody, from another tab.", h("a", { href: "#/rules" }, "What is looked for")));
  };
  const drawRows = () => {
    const newest = [...rows.values()].sort((a, b) => b.timestamp.localeCompare(a.timestamp)).slice(0, ROWS);
    for (const id of [...rows.keys()]) if (!newest.some((row) => row.log_id === id)) rows.delete(id);
    draw(feed, newest.length
      ? activities("The newest activities", newest)
      : empty("No activities yet.", "They come from the application's own requests, and from other systems that post to /api/logs/ with a key: security-analytics key create NAME."));
  };
  const drawPeople = () => loading(people, signal, async () => {
    const users = await get("/api/analytics/top-users?top=6", signal);
    return users.length ? h("ol", { class: "people" }, users.map(person)) : empty("Nobody stands out.", "People are listed here once an alert is about them.");
  });
  const drawTiles = () => loading(tiles, signal, async () => {
    const [stats, system] = await Promise.all([get("/api/analytics/dashboard-stats?days=7", signal), get("/api/system", signal)]);
    const open = (of) => system.open_alerts.filter((row) => of.includes(row.severity)).reduce((sum, row) => sum + row.alerts, 0);
    const urgent = open(["Critical", "High"]);
    return [
      tile(urgent, "open, High or Critical", urgent ? "bad" : "good", "#/alerts?status=open"),
      tile(open(["Low", "Medium"]), "open, Low or Medium", "", "#/alerts?status=open"),
      tile(stats.total_activities, stats.total_activities === 1 ? "activity in 7 days" : "activities in 7 days"),
      tile(system.live_sessions, system.live_sessions === 1 ? "session logged in" : "sessions logged in", "", "#/system"),
    ];
  });

  // Redrawing while somebody moves in a list with the keyboard must not lose the place.
  function draw(target, made) {
    const focused = target.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    put(target, made);
    if (focused) [...target.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
  }

  // What is counted over everything is asked for again after news, and in a storm of alerts not with each of them.
  let planned = null;
  let asked = 0;
  const soon = () => {
    planned ??= setTimeout(() => {
      planned = null;
      if (signal.aborted) return;
      asked = Date.now();
      drawTiles();
      drawPeople();
    }, Math.max(1000, asked + 10_000 - Date.now()));
  };
  const every = setInterval(drawTiles, 30_000);
  signal.addEventListener("abort", () => {
    clearInterval(every);
    clearTimeout(planned);
  });

  const pollAlerts = async () => {
    for (const alert of await get("/api/alerts?limit=60", signal)) alerts.set(alert.alert_id, alert);
    if (!signal.aborted) drawAlerts();
  };
  const pollRows = async () => {
    for (const row of await get(at("/api/logs/", { limit: ROWS }), signal)) rows.set(row.log_id, row);
    if (!signal.aborted) drawRows();
  };

  drawTiles();
  drawPeople();
  // The list first and the stream beside it: what comes between is in both, and counts once by its id.
  loading(queue, signal, async () => {
    await pollAlerts();
    return [...queue.childNodes];
  });
  loading(feed, signal, async () => {
    await pollRows();
    return [...feed.childNodes];
  });

  follow("/api/alerts/stream", {
    signal,
    poll: pollAlerts,
    onState: (state) => frame.status(state),
    onEvent: (_, alert) => {
      const known = alerts.get(alert.alert_id);
      if (known && known.revision > alert.revision) return;
      alerts.set(alert.alert_id, alert);
      if (!known && shown(alert)) announce(`New ${alert.severity} alert: ${alert.rule}, ${alert.user ?? alert.ip ?? ""}`);
      drawAlerts();
      soon();
    },
  });

  let late = null;
  let missed = 0;
  follow("/api/logs/stream", {
    signal,
    poll: pollRows,
    onState: () => {},
    onEvent: (name, data) => {
      if (name === "skipped") missed += data.left_out;
      else rows.set(data.log_id, data);
      // A burst is drawn once.
      late ??= setTimeout(() => {
        late = null;
        if (signal.aborted) return;
        held.textContent = missed ? `${count(missed, "more activity", "more activities")} came too fast to show` : "";
        drawRows();
      }, 200);
    },
  });
}

function shown(alert) {
  return !alert.suppressed && alert.severity !== "Informational" && !["retracted", "merged"].includes(alert.state);
}

function tile(value, label, kind = "", href = null) {
  const inner = [h("strong", { class: "tile-figure" }, number(value)), h("span", {}, label)];
  return href ? h("a", { class: `tile ${kind}`, href }, inner) : h("div", { class: `tile ${kind}` }, inner);
}

/** An alert in the queue: the whole card opens it. */
export function card(alert) {
  const href = `#/alerts/${encodeURIComponent(alert.alert_id)}`;
  return h("li", { class: `card edge-${alert.severity.toLowerCase()}` },
    h("div", { class: "card-line" },
      severity(alert.severity),
      h("a", { class: "card-title", href, "data-row": true }, alert.rule),
      h("span", { class: "card-time" }, time(alert.last_event_at, "ago"))),
    h("p", { class: "card-why" }, alert.explanation),
    h("p", { class: "card-meta" },
      subject(alert),
      alert.ip && alert.user ? h("span", { class: "mono" }, alert.ip) : null,
      alert.techniques.slice(0, 2).map((id) => h("span", {}, id)),
      alert.status === "open" ? null : standing(alert)));
}

function person(user) {
  return h("li", { class: "person" },
    h("div", { class: "person-line" }, userLink(user.username), h("span", { class: "soft small" }, user.role_name ?? "no account here"), risk(user.risk_score, user.risk_level)),
    h("ul", { class: "reasons" }, user.reasons.slice(0, 2).map((reason) =>
      h("li", {}, h("a", { href: `#/alerts/${encodeURIComponent(reason.alert_id)}` }, reason.name), h("span", { class: "soft" }, ` · ${reason.description}`)))),
    user.contributions_total > 2 ? h("p", { class: "soft small" }, `and ${count(user.contributions_total - 2, "more reason")}`) : null);
}
