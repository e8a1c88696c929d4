// The first page: what needs attention, who, and what is going on right now.

import { at, get } from "../api.js";
import { announce, h, keep, put } from "../dom.js";
import { MINUTE, count, number, time } from "../format.js";
import { activities, empty, loading, panel, risk, severity, standing, subject, userLink, waiting } from "../parts.js";
import { calmly, isPaused, pauseButton } from "../still.js";
import { follow } from "../stream.js";

/** Alerts that are shown, and those that are asked for: when one of the first is closed, the next is at hand. */
const ALERTS = 7;
const ASKED = 20;
const ROWS = 25;
/** Whose rows nobody has seen for so long are let go of, however many come. */
const MOST_ROWS = 200;
const SEEN = 1000;
/** Announcements are no oftener than this, in ms. */
const SAID = 3000;

const UNCLOSED = "open,acknowledged";
const RANKS = ["Informational", "Low", "Medium", "High", "Critical"];

export function show(place, frame) {
  const { signal } = frame;
  const tiles = h("div", { class: "tiles" }, waiting(2));
  const queue = h("div", { id: "feed-alerts" }, waiting(5));
  const people = h("div", {}, waiting(5));
  const feed = h("div", { id: "feed-activities" }, waiting(6));
  const waits = h("span", { class: "soft small", id: "waits" });
  const held = h("span", { class: "soft small", id: "held" });
  const state = connection(frame);
  // Each part moves what stands below it, so none of them grows while somebody points at one.
  const around = h("div", { class: "stack" },
    tiles,
    h("div", { class: "split" },
      panel("Needs attention", { id: "queue-title", side: [waits, h("a", { href: "#/alerts" }, "All alerts")] }, queue),
      panel("Who to look at", { id: "people-title", side: h("a", { href: "#/users" }, "All users") }, people)),
    panel("Happening now", { id: "now-title", side: held }, feed));
  const page = { signal, around };
  put(place, h("div", { class: "head-line" }, h("h1", { tabindex: -1 }, "Overview"), pauseButton(signal, state)), around);
  state("connecting");

  const counts = renewed(tiles, page, async () => {
    const [stats, system] = await Promise.all([get("/api/analytics/dashboard-stats?days=7", signal), get("/api/system", signal)]);
    alerts.counted(system.open_alerts);
    return figures(stats, system);
  });
  const who = renewed(people, page, async () => {
    const users = await get("/api/analytics/top-users?top=6", signal);
    return users.length ? h("ol", { class: "people" }, users.map(person)) : empty("Nobody stands out.", "People are listed here once an alert is about them.");
  });
  // What is counted over everything is asked for again after news, and in a storm of alerts not with each of them.
  let planned = null;
  let asked = 0;
  const soon = () => {
    planned ??= setTimeout(() => {
      planned = null;
      if (signal.aborted) return;
      asked = Date.now();
      counts();
      who();
    }, Math.max(1000, asked + 10_000 - Date.now()));
  };
  const every = setInterval(() => {
    if (document.hidden) return;
    counts();
    // An exception takes alerts out of the queue, and no stream tells of that.
    alerts.load().catch(() => {});
  }, 30_000);
  signal.addEventListener("abort", () => {
    clearInterval(every);
    clearTimeout(planned);
  });

  const alerts = attention(queue, waits, page);
  const say = herald(signal);
  // The list first and the stream beside it: what comes between is in both, and counts once by its id.
  follow(at("/api/alerts/stream", { event_ids: false }), {
    signal,
    first: began(queue, signal, alerts.load),
    poll: async () => {
      await alerts.load();
      soon();
    },
    whole: async () => {
      await alerts.load();
      counts();
      who();
    },
    onState: state,
    onEvent: (_, alert) => {
      if (alerts.hear(alert)) say(alert);
      soon();
    },
  });
  const rows = happening(feed, held, page);
  follow("/api/logs/stream", { signal, first: began(feed, signal, rows.load), poll: rows.load, onState: () => {}, onEvent: rows.hear });
}

/** Says in the header how the feed goes, or that it is paused. */
function connection(frame) {
  let last = "connecting";
  return (state) => {
    last = state ?? last;
    frame.status(isPaused() && last !== "offline" ? "paused" : last);
  };
}

/** The first load of a list, with words where it fails; whether it went well. */
function began(place, signal, load) {
  return new Promise((resolve) => {
    loading(place, signal, async () => {
      try {
        await load();
        resolve(true);
      } catch (error) {
        resolve(false);
        throw error;
      }
      return [...place.childNodes];
    });
  });
}

/** A part that is loaded again from time to time; what stands there stays until the new is there. */
function renewed(place, { signal, around }, load) {
  let made = null;
  const draw = calmly(place, signal, () => put(place, made), { around });
  queueMicrotask(() => loading(place, signal, load));
  return async () => {
    try {
      made = await load();
      draw();
    } catch (error) {
      // The header says how the server is; figures of a moment ago are better than none.
      if (error.status === undefined && !signal.aborted) console.error(error);
    }
  };
}

/** What somebody has to look at: the head of the queue, the most severe first, in the order of the API. */
function attention(place, told, { signal, around }) {
  const cards = h("ol", { class: "cards" });
  const more = h("p", { class: "small" });
  const none = empty("Nothing needs your attention.", "Alerts appear here as they are found. To see one, fail to log in six times as anybody, from another tab.", h("a", { href: "#/rules" }, "What is looked for"));
  let known = new Map();
  let seen = new Set();
  // The last that is known of a longer queue; what stands behind it is only counted.
  let edge = null;
  let total = 0;
  let begun = null;
  let news = new Set();
  let loaded = false;
  let again = null;

  const draw = calmly(place, signal, () => {
    news = new Set();
    if (!loaded) return;
    const shown = [...known.values()].sort(order).slice(0, ALERTS);
    keep(cards, shown, { key: (alert) => alert.alert_id, mark: (alert) => alert.revision, make: card });
    const rest = edge ? Math.max(0, total - shown.length) : known.size - shown.length;
    const words = rest ? `${count(rest, "more alert")} not closed` : edge ? "More alerts not closed" : "";
    if (more.textContent !== words) put(more, words ? h("a", { href: `#/alerts?status=${UNCLOSED}&order=severity` }, words) : null);
    const parts = shown.length || edge ? [cards, more] : [none];
    if (place.firstChild !== parts[0] || place.childNodes.length !== parts.length) place.replaceChildren(...parts);
    if (edge && known.size < ALERTS) reload();
  }, { around, waits: (why) => tell(told, why && news.size ? held(count(news.size, "change"), why) : "") });

  // Where several of the first were closed at once there are others, of which nothing is known here.
  const reload = () => {
    again ??= setTimeout(() => {
      again = null;
      if (!signal.aborted) load().catch(() => {});
    }, 1000);
  };
  const order = (a, b) => RANKS.indexOf(b.severity) - RANKS.indexOf(a.severity) || compare(b.at, a.at) || compare(b.alert_id, a.alert_id);
  const take = (alert) => {
    const had = known.get(alert.alert_id);
    if (had && had.revision >= alert.revision) return;
    if (isOpen(alert) && !(edge && order(alert, edge) > 0)) known.set(alert.alert_id, alert);
    else known.delete(alert.alert_id);
  };
  async function load() {
    const heard = [];
    begun = heard;
    const rows = await get(at("/api/alerts", { status: UNCLOSED, order: "severity", event_ids: false, limit: ASKED }), signal);
    if (begun !== heard) return;
    begun = null;
    known = new Map(rows.map((alert) => [alert.alert_id, alert]));
    edge = rows.length === ASKED ? rows.at(-1) : null;
    for (const alert of rows) seen.add(alert.alert_id);
    heard.forEach(take);
    loaded = true;
    draw();
  }
  return {
    load,
    counted: (open) => {
      total = open.reduce((sum, row) => sum + row.alerts, 0);
      draw();
    },
    /** Takes what the stream tells; whether it is a new alert that somebody should hear of. */
    hear: (alert) => {
      begun?.push(alert);
      const isNew = !seen.has(alert.alert_id) && (alert.revision === 1 || Date.parse(alert.updated_at) - Date.parse(alert.at) < 5 * MINUTE);
      seen.add(alert.alert_id);
      if (seen.size > 2 * SEEN) seen = new Set([...seen].slice(-SEEN));
      take(alert);
      if (known.size > 3 * ASKED) {
        const first = [...known.values()].sort(order).slice(0, ASKED);
        edge = first.at(-1);
        known = new Map(first.map((one) => [one.alert_id, one]));
      }
      if (news.size < SEEN) news.add(alert.alert_id);
      draw();
      return isNew && isOpen(alert);
    },
  };
}

/** Tells those who do not see it of new alerts, a burst of them once; not while the page is paused. */
function herald(signal) {
  let worst = null;
  let more = -1;
  let timer = null;
  let last = -SAID;
  return (alert) => {
    if (isPaused()) return;
    more += 1;
    if (!worst || RANKS.indexOf(alert.severity) > RANKS.indexOf(worst.severity)) worst = alert;
    timer ??= setTimeout(() => {
      timer = null;
      last = performance.now();
      const words = `New ${worst.severity} alert: ${worst.rule}, ${worst.user ?? worst.ip ?? ""}`;
      if (!signal.aborted) announce(more ? `${words}, and ${count(more, "more new alert")}` : words);
      worst = null;
      more = -1;
    }, Math.max(0, last + SAID - performance.now()));
  };
}

/** What is going on: the newest activities. */
function happening(place, told, { signal, around }) {
  const shown = activities("The newest activities", []);
  const none = empty("No activities yet.", "They come from the application's own requests, and from other systems that post to /api/logs/ with a key: security-analytics key create NAME.");
  let rows = new Map();
  let missed = 0;
  let news = 0;
  let loaded = false;

  const trim = (most) => {
    const newest = [...rows.values()].sort((a, b) => compare(b.timestamp, a.timestamp) || b.log_id - a.log_id).slice(0, most);
    rows = new Map(newest.map((row) => [row.log_id, row]));
    return newest;
  };
  const draw = calmly(place, signal, () => {
    news = 0;
    if (!loaded) return;
    const newest = trim(ROWS);
    keep(shown.body, newest, { key: (row) => row.log_id, mark: (row) => row.is_flagged, make: shown.line });
    const part = newest.length ? shown : none;
    if (place.firstChild !== part || place.childNodes.length !== 1) place.replaceChildren(part);
    tell(told, missed ? `${count(missed, "more activity", "more activities")} came too fast to show` : "");
  }, {
    around,
    waits: (why) => {
      if (why && news) tell(told, held(count(news, "new activity", "new activities"), why));
    },
  });
  return {
    load: async () => {
      for (const row of await get(at("/api/logs/", { limit: ROWS }), signal)) rows.set(row.log_id, row);
      loaded = true;
      draw();
    },
    hear: (name, data) => {
      if (name === "skipped") {
        missed += data.left_out;
        news += data.left_out;
      } else {
        rows.set(data.log_id, data);
        news += 1;
        if (rows.size > MOST_ROWS) trim(ROWS);
      }
      draw();
    },
  };
}

function held(what, why) {
  return `${what} held back while ${why === "paused" ? "paused" : "you are here"}`;
}

function tell(place, words) {
  if (place.textContent !== words) place.textContent = words;
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isOpen(alert) {
  return alert.status !== "closed" && !alert.suppressed && alert.severity !== "Informational" && !["retracted", "merged"].includes(alert.state);
}

function figures(stats, system) {
  const open = (of) => system.open_alerts.filter((row) => of.includes(row.severity)).reduce((sum, row) => sum + row.alerts, 0);
  const those = (of) => `#/alerts?status=${UNCLOSED}&severity=${of}`;
  const urgent = open(["Critical", "High"]);
  return [
    tile(urgent, "open, High or Critical", urgent ? "bad" : "good", those("Critical,High")),
    tile(open(["Low", "Medium"]), "open, Low or Medium", "", those("Medium,Low")),
    tile(stats.total_activities, stats.total_activities === 1 ? "activity in 7 days" : "activities in 7 days"),
    tile(system.live_sessions, system.live_sessions === 1 ? "session logged in" : "sessions logged in", "", "#/system"),
  ];
}

function tile(value, label, kind = "", href = null) {
  const inner = [h("strong", { class: "tile-figure" }, number(value)), h("span", {}, label)];
  return href ? h("a", { class: `tile ${kind}`, href }, inner) : h("div", { class: `tile ${kind}` }, inner);
}

/** An alert in the queue: the whole card opens it. */
function card(alert) {
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
