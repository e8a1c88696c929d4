// How times, numbers and words are shown. Times stand in the viewer's zone, with UTC on hover.

import { h } from "./dom.js";
import { isPaused, isSelecting } from "./still.js";

const HERE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DATE = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const NUMBER = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const AGO = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Without the marks of direction that some languages have around numbers: where nothing is hidden they would be shown. */
function written(format, ...values) {
  return format.format(...values).replace(/\p{Cf}/gu, "");
}

/** A number as people here write it. */
export function number(value) {
  return typeof value === "number" ? written(NUMBER, value) : "–";
}

/** `1 alert`, `2 alerts`. */
export function count(n, word, plural = `${word}s`) {
  return `${number(n)} ${n === 1 ? word : plural}`;
}

/** The day only. */
export function day(at) {
  return written(DATE, new Date(at));
}

/** How long ago, in one unit. */
export function ago(at, now = Date.now()) {
  const past = now - new Date(at).getTime();
  if (Number.isNaN(past)) return "";
  if (past < 10_000 && past > -10_000) return "just now";
  for (const [unit, length] of [["day", DAY], ["hour", HOUR], ["minute", MINUTE], ["second", 1000]]) {
    if (Math.abs(past) >= length) return written(AGO, -Math.round(past / length), unit);
  }
  return "just now";
}

function utc(at) {
  return `${at.toISOString().replace("T", " ").replace(/(\.\d+)?Z$/, "")} UTC`;
}

/** A time: `full` date and time, `clock` only, or `ago`, which keeps itself up to date. */
export function time(at, form = "full") {
  if (!at) return h("span", { class: "soft" }, "–");
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return h("span", {}, String(at));
  const words = form === "ago" ? ago(date) : form === "clock" ? clock(date) : written(HERE, date);
  const title = form === "full" ? utc(date) : `${written(HERE, date)} · ${utc(date)}`;
  return h("time", { datetime: date.toISOString(), title, "data-ago": form === "ago" }, words);
}

function clock(date) {
  const today = new Date().toDateString() === date.toDateString();
  return today ? written(CLOCK, date) : `${written(DATE, date)}, ${written(CLOCK, date)}`;
}

setInterval(() => {
  // Not under somebody who selects, and not on a page that is to stand still.
  if (isPaused() || isSelecting()) return;
  for (const element of document.querySelectorAll("time[data-ago]")) {
    const words = ago(element.dateTime);
    if (element.textContent !== words) element.textContent = words;
  }
}, 10_000);

/** A length of time in seconds, in words. */
export function duration(seconds) {
  if (typeof seconds !== "number") return "–";
  const units = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  const parts = [];
  let rest = Math.round(seconds);
  for (const [unit, length] of units) {
    const n = Math.floor(rest / length);
    rest -= n * length;
    if (n > 0 && parts.length < 2) parts.push(`${n} ${unit}`);
  }
  return parts.join(" ") || "0 s";
}

/** Words of the API for people. */
export function words(value) {
  const text = String(value ?? "").replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
