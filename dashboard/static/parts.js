// What several pages share.

import { h, put, s } from "./dom.js";
import { number, time, words } from "./format.js";

/** The severity as a coloured word; the colour never says it alone. */
export function severity(of) {
  const word = String(of ?? "");
  return h("span", { class: `badge sev-${word.toLowerCase()}` }, word);
}

/** What was made of an alert so far. */
export function standing(alert) {
  if (alert.status === "closed") {
    const verdict = alert.verdict ?? "closed";
    return h("span", { class: `badge verdict-${verdict}` }, words(verdict));
  }
  if (alert.status === "acknowledged") return h("span", { class: "badge taken" }, "Acknowledged");
  return h("span", { class: "badge open" }, "Open");
}

/** Where the columns of an alert's state and time have no room. */
export function onPhones(state, alert) {
  return h("div", { class: "phone" }, state, time(alert.last_event_at, "ago"));
}

/** The outcome of an activity, where it is not a success. */
export function outcome(of) {
  if (!of || of === "success") return null;
  return h("span", { class: `badge ${of === "denied" ? "sev-high" : "sev-medium"}` }, words(of));
}

export function alertLink(alert, text) {
  return h("a", { href: `#/alerts/${encodeURIComponent(alert.alert_id)}` }, text ?? alert.rule);
}

export function userLink(name) {
  if (!name) return h("span", { class: "soft" }, "–");
  return h("a", { href: `#/users/${encodeURIComponent(name)}`, class: "who" }, name);
}

/** Whom or what an alert is about. */
export function subject(alert) {
  if (alert.user) return userLink(alert.user);
  const key = Object.entries(alert.key ?? {})[0];
  return h("span", { class: alert.ip ? "who ip" : "who" }, alert.ip ?? alert.session ?? (key ? key[1] : "–"));
}

/** A technique of MITRE ATT&CK, linked to its page there. */
export function technique(id) {
  const known = /^T\d{4}(\.\d{3})?$/.test(id);
  if (!known) return h("span", { class: "tag" }, id);
  const href = `https://attack.mitre.org/techniques/${id.replace(".", "/")}/`;
  const label = `${id} at MITRE ATT&CK, another site`;
  return h("a", { class: "tag", href, rel: "noopener noreferrer", target: "_blank", "aria-label": label }, id);
}

/** A risk of 0–100 as a number and a bar. */
export function risk(score, level) {
  const value = Math.max(0, Math.min(100, Number(score) || 0));
  const meter = { role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(value), "aria-label": "Risk" };
  const bar = s("svg", { ...meter, class: `risk ${riskClass(value)}`, viewBox: "0 0 100 10", preserveAspectRatio: "none" },
    s("rect", { class: "track", width: 100, height: 10 }), s("rect", { class: "level", width: value, height: 10 }));
  return h("span", { class: "risk-line" }, h("strong", { class: "figure", title: level }, Math.round(value)), bar);
}

export function riskClass(score) {
  return score >= 90 ? "critical" : score >= 70 ? "high" : score >= 40 ? "medium" : score >= 20 ? "low" : "calm";
}

/** A table with a caption for screen readers. Columns: `[head, cell(row), class]`. */
export function table(caption, columns, rows, { rowClass, id } = {}) {
  const head = columns.map(([name, , of]) => h("th", { scope: "col", class: of }, name));
  const line = (row) => h("tr", { class: rowClass?.(row) }, columns.map(([, cell, of]) => h("td", { class: of }, cell(row))));
  const body = h("tbody", { id }, rows.map(line));
  const whole = h("table", {}, h("caption", { class: "hidden" }, caption), h("thead", {}, h("tr", {}, head)), body);
  const frame = h("div", { class: "table" }, whole);
  frame.line = line;
  frame.body = body;
  return frame;
}

/** The action, and what it did in words that do not begin with the same one again. */
function what(row) {
  const detail = String(row.action_detail ?? "");
  const rest = detail === row.action_type ? "" : detail.startsWith(`${row.action_type} `) ? detail.slice(row.action_type.length + 1) : detail;
  return [h("span", { class: "action" }, row.action_type), " ", long(rest, "detail")];
}

/** So many letters of a text are shown at once; more would push everything else off the screen. */
const LONG = 240;

/** A text that may be very long: its beginning, and a button for the rest. */
export function long(text, of = null) {
  const all = String(text ?? "");
  if (all.length <= LONG) return h("span", { class: of }, all);
  const place = h("span", { class: `clamp ${of ?? ""}` }, all);
  const button = h("button", { type: "button", class: "more", "aria-expanded": "false", onclick: () => {
    const whole = place.classList.toggle("clamp");
    button.setAttribute("aria-expanded", String(!whole));
    put(button, whole ? "Show all" : "Show less");
  } }, "Show all");
  return [place, button];
}

/** A table of activities. */
export function activities(caption, rows, { marked, person = true, form = "clock" } = {}) {
  const columns = [
    ["Time", (row) => time(row.timestamp, form), "narrow"],
    person && ["User", (row) => userLink(row.username), "person-cell"],
    ["What", what, "grow"],
    ["Outcome", (row) => [outcome(row.outcome), row.reason ? [" ", long(words(row.reason), "soft small")] : null], "mid"],
    ["From", (row) => h("span", { class: "mono" }, row.ip_address || "–"), "wide"],
  ].filter(Boolean);
  return table(caption, columns, rows, { rowClass: (row) => (marked?.(row) ?? row.is_flagged ? "marked" : null) });
}

/** What to show where there is nothing, and what to do next. */
export function empty(title, ...more) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), more.map((part) => h("p", {}, part)));
}

/** A section with a heading. */
export function panel(title, { side, class: of, id } = {}, ...children) {
  const head = h("div", { class: "panel-head" }, h("h2", { id, tabindex: -1 }, title), side);
  return h("section", { class: `panel ${of ?? ""}`, "aria-labelledby": id }, head, children);
}

/** How often it is tried again what failed because the server was away, in ms. */
const AGAIN = 5000;

/**
 * Puts what was loaded in its place; what stands there already stays. Whoever had the focus in what goes has it in
 * `next`, or in the heading of what comes.
 */
function fill(place, made, next = null) {
  const nodes = [made].flat();
  if (nodes.length === place.childNodes.length && nodes.every((node, i) => node === place.childNodes[i])) return;
  const focused = document.activeElement;
  const had = focused && focused !== place && place.contains(focused);
  put(place, made);
  if (had) refocus(next ?? place.querySelector("h1") ?? place.closest("section, main")?.querySelector("h1, h2"));
}

/** Gives the focus, where nothing has it any more, to where whoever had it goes on. */
export function refocus(element) {
  const focused = document.activeElement;
  // What is hidden keeps it until the page is drawn.
  if (!focused || focused === document.body || !focused.getClientRects().length) element?.focus({ preventScroll: true });
}

/**
 * Runs `load` and shows what it makes in `place`. Where it fails it says so kindly and offers to try again; where the
 * server is to blame it tries by itself.
 */
export async function loading(place, signal, load) {
  place.setAttribute("aria-busy", "true");
  try {
    const made = await load();
    if (!signal.aborted) fill(place, made);
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    const again = h("button", { type: "button", onclick: () => loading(place, signal, load) }, "Try again");
    const sentence = error.status === undefined ? "This part of the page failed." : error.message;
    if (error.status === undefined) console.error(error);
    const told = h("div", { class: "notice bad", role: "alert" }, h("p", {}, sentence), again);
    fill(place, told, again);
    if (error.status === 0 || error.status >= 500) anew(place, told, signal, load);
  } finally {
    place.removeAttribute("aria-busy");
  }
}

/** Tries what failed again and again, without a word, for as long as it stands there that it failed. */
async function anew(place, told, signal, load) {
  while (!signal.aborted) {
    await new Promise((resolve) => {
      setTimeout(resolve, AGAIN);
    });
    if (signal.aborted || !told.isConnected) return;
    if (document.hidden) continue;
    try {
      const made = await load();
      if (!signal.aborted && told.isConnected) fill(place, made);
      return;
    } catch {
      // It says already that it failed.
    }
  }
}

/** A place that shows grey lines until it is filled. */
export function waiting(lines = 3) {
  return h("div", { class: "waiting", "aria-hidden": "true" }, Array.from({ length: lines }, () => h("span", {})));
}

/** A sentence under a form. */
export function notice(kind, ...children) {
  return h("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, children);
}

/** Facts as terms and values. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, shown.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
}
