// Plots, as SVG. Each has a sentence for those who cannot see it; the figures stand in tables beside it.

import { h, s } from "./dom.js";
import { day, duration, number, time } from "./format.js";

/** A line of risk over time: `points` are `[ms, 0–100]`, `marks` are `{at, label, severity, href}`. */
export function riskLine(points, { from, to, marks = [], label }) {
  const [width, height, left, bottom, top] = [760, 224, 34, 30, 10];
  const x = (at) => left + ((at - from) / Math.max(1, to - from)) * (width - left - 8);
  const y = (value) => top + (1 - value / 100) * (height - top - bottom);
  const line = points.map(([at, value], i) => `${i ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const bands = [20, 40, 70, 90];
  const area = points.length ? `${line}L${x(points.at(-1)[0]).toFixed(1)} ${y(0)}L${x(points[0][0]).toFixed(1)} ${y(0)}Z` : "";
  const ticks = Array.from({ length: 5 }, (_, i) => from + ((to - from) * (i + 0.5)) / 5);
  return h("div", { class: "chart" },
    s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
      s("g", { class: "grid" }, [0, ...bands].map((value) => [
        s("line", { x1: left, x2: width - 8, y1: y(value), y2: y(value) }),
        s("text", { x: left - 7, y: y(value) + 3.5, "text-anchor": "end" }, value),
      ])),
      s("g", { class: "grid" }, ticks.map((at) => s("text", { x: x(at), y: height - 4, "text-anchor": "middle" }, day(at)))),
      s("path", { class: "area", d: area }),
      s("path", { class: "line", d: line }),
      marks.map((mark) => s("a", { href: mark.href, "aria-label": mark.label },
        s("circle", { class: `dot sev-${mark.severity}`, cx: x(mark.at), cy: y(mark.value), r: 5 }, s("title", {}, mark.label)))),
    ));
}

/** Bars, one an hour: `bars` are `{at, value}`. */
export function bars(all, label) {
  const [width, height, bottom] = [760, 150, 30];
  const highest = Math.max(1, ...all.map((bar) => bar.value));
  const step = width / Math.max(1, all.length);
  return h("div", { class: "chart" },
    s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
      all.map((bar, i) => {
        const tall = bar.value ? Math.max(2, (bar.value / highest) * (height - bottom - 14)) : 1;
        const words = `${time(bar.at).textContent}: ${number(bar.value)}`;
        return s("rect", { class: bar.value ? "bar" : "bar none", x: i * step + 2, y: height - bottom - tall, width: step - 4, height: tall, rx: 2.5 }, s("title", {}, words));
      }),
      s("g", { class: "grid" },
        s("text", { x: 2, y: 12 }, `${number(highest)} at most in an hour`),
        s("text", { x: 2, y: height - 5 }, "24 hours ago"),
        s("text", { x: width - 2, y: height - 5, "text-anchor": "end" }, "now"))));
}

/** Events on a line of time, above a window that a rule looked at. */
export function eventLine(events, { from, to, crossing, label }) {
  const [width, height] = [760, 56];
  const span = Math.max(1, to - from);
  const x = (at) => (to > from ? 14 + ((at - from) / span) * (width - 28) : width / 2);
  return h("div", { class: "chart strip" },
    s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
      s("line", { class: "axis", x1: 8, x2: width - 8, y1: 30, y2: 30 }),
      crossing >= from && crossing <= to ? s("line", { class: "crossing", x1: x(crossing), x2: x(crossing), y1: 8, y2: 44 }) : null,
      events.map((event) => s("circle", { class: `dot ${event.of}`, cx: x(event.at), cy: 30, r: 5.5 }, s("title", {}, event.label)))),
    h("p", { class: "ends soft small" }, time(new Date(from), "clock"), to > from ? h("span", {}, duration((to - from) / 1000)) : null, to > from ? time(new Date(to), "clock") : null));
}

/** What was observed against the threshold, to scale. */
export function against(observed, threshold) {
  const most = Math.max(observed, threshold) * 1.05 || 1;
  const percent = (value) => (100 * Math.max(0, value)) / most;
  return h("div", { class: "against" },
    s("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", role: "img", "aria-label": `Observed ${number(observed)}, threshold ${number(threshold)}` },
      s("rect", { class: "track", width: 100, height: 8, rx: 1 }),
      s("rect", { class: "fill", width: percent(observed), height: 8, rx: 1 }),
      s("rect", { class: "limit", x: Math.min(99, percent(threshold)), width: 0.7, height: 8 })),
    h("p", { class: "against-words" }, h("span", {}, h("strong", {}, number(observed)), " observed"), h("span", { class: "soft" }, `threshold ${number(threshold)}`)));
}
