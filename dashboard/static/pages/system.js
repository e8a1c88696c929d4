// How the server is doing: whether everything is seen, and what was not.

import { get, isAdmin } from "../api.js";
import { bars } from "../charts.js";
import { h, put } from "../dom.js";
import { HOUR, count, duration, number, time } from "../format.js";
import { empty, facts, loading, long, notice, panel, table, userLink, waiting } from "../parts.js";
import { isHeld, isPaused, pauseButton } from "../still.js";

export function show(place, { signal }) {
  const whole = h("div", { class: "stack" }, waiting(8));
  const sessions = h("div", {}, waiting(4));
  const letters = h("div", {}, waiting(2));
  const webhooks = h("div", {}, waiting(1));
  put(place,
    h("div", { class: "head-line" }, h("h1", { tabindex: -1 }, "System"), pauseButton(signal)),
    whole,
    isAdmin() ? panel("Webhooks", { id: "webhooks-title", side: h("a", { href: "#/webhooks" }, "Set up and try") }, webhooks) : null,
    panel("Active sessions", { id: "sessions-title", side: h("span", { class: "soft small" }, "also those that other systems tell of") }, sessions),
    isAdmin() ? panel("Dead letters", { id: "letters-title" }, letters) : null);

  const load = () => loading(whole, signal, async () => page(await get("/api/system", signal)));
  load();
  const every = setInterval(() => {
    // Not while somebody points or selects in it; what has failed is tried again by itself.
    if (!document.hidden && !isPaused() && !isHeld(whole) && !whole.querySelector(":scope > .notice.bad")) load();
  }, 5000);
  signal.addEventListener("abort", () => clearInterval(every));

  loading(sessions, signal, async () => {
    const rows = await get("/api/logs/sessions?active_only=true&limit=50", signal);
    return rows.length ? table("Active sessions, newest first", [
      ["User", (row) => userLink(row.username), "person-cell"],
      ["From", (row) => h("span", { class: "mono" }, row.ip_address || "–"), "mid"],
      ["Program", (row) => h("span", { class: "soft" }, row.user_agent ?? ""), "wide grow"],
      ["Activities", (row) => number(row.activity_count), "right narrow"],
      ["Last seen", (row) => time(row.last_seen, "ago"), "narrow"],
    ], rows) : empty("Nobody but you.");
  });
  if (isAdmin()) {
    loading(webhooks, signal, async () => {
      const all = await get("/api/webhooks", signal);
      if (!all.length) return empty("None yet.", "Alerts are told here, and nowhere else.");
      const told = (of, words) => (of.length ? h("li", {}, `${of.map((row) => row.name).join(", ")}: ${words}`) : null);
      return h("ul", { class: "reasons" },
        told(all.filter((row) => row.enabled && !row.failing_since), "told as alerts happen"),
        told(all.filter((row) => row.enabled && row.failing_since), "does not take what it is told"),
        told(all.filter((row) => !row.enabled), "turned off"));
    });
    loading(letters, signal, async () => {
      const rows = await get("/api/dead-letters/?limit=20", signal);
      return rows.length ? table("Records that could not be taken, newest first", [
        ["When", (row) => time(row.at, "clock"), "narrow"],
        ["Where", (row) => h("span", { class: "mono" }, `${row.topic} ${row.partition}/${row.offset}`), "mid"],
        ["Why", (row) => [long(row.reason), h("details", {}, h("summary", { class: "small soft" }, "The record"), h("code", {}, row.payload))], "grow"],
      ], rows) : empty("None.", "Records that cannot be read are put here with the reason, and hold up nobody.");
    });
  }
}

function page(system) {
  const { workers } = system;
  const lag = Math.max(workers.ingest_lag ?? 0, workers.detector_lag ?? 0);
  const gaps = system.coverage_gaps;
  const perMinute = system.activities_last_minute;
  return [
    h("div", { class: "tiles" },
      tile(lag === 0 ? "Up to date" : number(lag), lag === 0 ? "everything acknowledged is visible" : "activities wait for the workers", lag > 10_000 ? "bad" : lag > 1000 ? "warn" : "good"),
      tile(number(perMinute), `${perMinute === 1 ? "activity" : "activities"} in the last minute`),
      tile(number(gaps.length), "coverage gaps in 7 days", gaps.length ? "warn" : "good"),
      tile(number(system.dead_letters), system.dead_letters === 1 ? "dead letter" : "dead letters", system.dead_letters ? "warn" : "good")),
    panel("Activities by the hour", { id: "hours-title" }, hours(system)),
    h("div", { class: "split" },
      panel("Coverage gaps", { id: "gaps-title" }, gaps.length ? gapTable(gaps) : empty("None.", "Where a bound made detection see less than all, it is told here: nothing is dropped in silence.")),
      panel("The workers", { id: "workers-title" }, facts([
        ["Waiting for ingest", number(workers.ingest_lag)],
        ["Waiting for detection", number(workers.detector_lag)],
        ["Alerts are final up to", workers.watermark ? time(workers.watermark) : "Not yet"],
        ["Too late for live alerts", "late" in workers ? number(workers.late) : null],
        ["Behind the watermark", "behind" in workers ? number(workers.behind) : null],
        ["Sessions logged in", number(system.live_sessions)],
        ["Version", system.version],
      ]))),
  ];
}

function tile(value, label, kind = "") {
  return h("div", { class: `tile ${kind}` }, h("strong", { class: "tile-figure" }, value), h("span", {}, label));
}

function hours(system) {
  const now = Date.parse(system.now);
  const of = new Map(system.activities_by_hour.map((row) => [Date.parse(row.hour), row.activities]));
  const first = Math.floor(now / HOUR) * HOUR - 23 * HOUR;
  const all = Array.from({ length: 24 }, (_, i) => ({ at: first + i * HOUR, value: of.get(first + i * HOUR) ?? 0 }));
  const total = all.reduce((sum, bar) => sum + bar.value, 0);
  if (!total) return notice("calm", "No activity in the last 24 hours.");
  return bars(all, `${count(total, "activity", "activities")} in the last 24 hours`);
}

function gapTable(gaps) {
  return table("Coverage gaps, newest first", [
    ["From", (gap) => time(gap.from, "clock"), "narrow"],
    ["For", (gap) => duration((Date.parse(gap.to) - Date.parse(gap.from)) / 1000), "narrow mid"],
    ["Lost", (gap) => number(gap.lost), "right narrow"],
    ["Why", (gap) => [gap.reason, gap.key ? h("span", { class: "soft" }, ` (${gap.key})`) : null], "grow"],
  ], gaps);
}
