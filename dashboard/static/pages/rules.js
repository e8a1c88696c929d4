// What is looked for, how often it was found, and a trial of something else on what has already happened.

import { at, call, get, isAdmin } from "../api.js";
import { field, h, put, select } from "../dom.js";
import { draft } from "../drafts.js";
import { DAY, count, duration, number, time, words } from "../format.js";
import { empty, loading, notice, panel, refocus, table, technique, userLink, waiting } from "../parts.js";
import { shortList } from "./alert.js";

const EXAMPLE = `title: Order deleted
id: 5f0c1f9e-3c55-4a5e-9d2c-9f5f3c1d0a01
name: order_deleted
logsource: {category: activity, product: security-analytics}
detection:
    selection: {action: Delete, resource|startswith: orders/}
    condition: selection
level: informational
---
title: Many orders deleted
id: 5f0c1f9e-3c55-4a5e-9d2c-9f5f3c1d0a02
correlation:
    type: event_count
    rules: [order_deleted]
    group-by: [user]
    timespan: 10m
    condition: {gte: 5}
level: medium
`;

export function show(place, { query, signal }) {
  const list = h("div", {}, waiting(10));
  const search = h("input", { type: "search", "data-search": true, spellcheck: "false" });
  const { form, take } = isAdmin() ? trial(signal) : {};
  put(place,
    h("h1", { tabindex: -1 }, "Rules"),
    panel("What is looked for", { id: "rules-title", side: h("span", { class: "soft small" }, "Fired: the last 30 days") }, h("div", { class: "filters" }, field("Find by title or technique", search)), list),
    isAdmin() ? exceptions(signal) : null,
    form ?? panel("Try a rule", { id: "trial-title" }, h("p", { class: "soft" }, "Trying rules on the stored activities is an Admin's right.")));

  loading(list, signal, async () => {
    const [all, stats] = await Promise.all([get("/api/rules", signal), get(at("/api/rules/stats", { days: 30 }), signal)]);
    const rules = all.map((rule) => ({ ...rule, level: rule.level.toLowerCase() }));
    const found = new Map(stats.map((row) => [row.rule_id, row]));
    const order = ["critical", "high", "medium", "low", "informational"];
    rules.sort((a, b) => order.indexOf(a.level) - order.indexOf(b.level) || a.title.localeCompare(b.title));
    // The parts of correlations report nothing on their own.
    const shown = rules.filter((rule) => rule.reports !== false);
    const parts = rules.length - shown.length;
    const chosen = query.get("rule");
    const place = h("div", {});
    const draw = () => {
      const wanted = search.value.trim().toLowerCase();
      const hits = shown.filter((rule) => [rule.title, rule.id, ...(rule.techniques ?? [])].some((text) => text.toLowerCase().includes(wanted)));
      put(place, hits.length ? rows(hits, found, chosen, take) : empty("No rule is like that."));
    };
    search.addEventListener("input", draw);
    draw();
    queueMicrotask(() => place.querySelector("details[open]")?.scrollIntoView({ block: "center" }));
    return [place, parts ? h("p", { class: "soft small" }, `And ${count(parts, "building block")} that other rules are made of.`) : null];
  });
}

/** What is known and accepted for a while. It is counted, and ends on its own. */
function exceptions(signal) {
  const list = h("div", {}, waiting(2));
  const ended = h("input", { type: "checkbox", onchange: () => load() });
  const load = () => loading(list, signal, async () => {
    const [all, rules] = await Promise.all([get(at("/api/exceptions", ended.checked ? { all: true } : {}), signal), get("/api/rules", signal)]);
    if (!all.length) return empty("None.", "An exception is made on the page of an alert, where it says “Accept this for a while”.");
    const title = new Map(rules.map((rule) => [rule.id, rule.title]));
    const stands = (row) => !row.ended_at && Date.parse(row.until) > Date.now();
    const end = (row) => !stands(row) ? h("span", { class: "soft" }, row.ended_at ? ["Ended ", time(row.ended_at, "clock")] : "Expired") : h("button", { type: "button", "aria-label": `End the exception for ${title.get(row.rule_id) ?? row.rule_id}`, onclick: async (event) => {
      event.target.disabled = true;
      try {
        await call("DELETE", `/api/exceptions/${row.exception_id}`);
        await load();
        refocus(document.getElementById("exceptions-title"));
      } catch (error) {
        put(list, notice("bad", h("p", {}, error.message), h("button", { type: "button", onclick: load }, "Show them again")));
      }
    } }, "End it");
    return table("Exceptions", [
      ["Rule", (row) => title.get(row.rule_id) ?? row.rule_id, "grow"],
      ["About", (row) => Object.entries(row.key).map(([name, value]) => `${words(name).toLowerCase()} ${value}`).join(", ")],
      ["Why", (row) => [row.reason, h("div", { class: "soft small" }, "by ", userLink(row.created_by))], "grow mid"],
      ["Until", (row) => time(row.until, "clock"), "narrow mid"],
      ["Kept out", (row) => number(row.suppressed), "right narrow"],
      ["", end, "narrow"],
    ], all);
  });
  load();
  const side = h("label", { class: "soft small" }, ended, " Also those that have ended");
  return panel("Exceptions", { id: "exceptions-title", side }, list);
}

function rows(rules, found, chosen, take) {
  return table("Active rules", [
    ["Level", (rule) => level(rule.level), "narrow"],
    ["Rule", (rule) => h("details", { open: rule.id === chosen }, h("summary", {}, rule.title), more(rule, take)), "grow"],
    ["Technique", (rule) => h("span", { class: "tags" }, (rule.techniques ?? []).map(technique)), "mid"],
    ["Fired", (rule) => fired(rule, found.get(rule.id)), "right narrow"],
    ["Last", (rule) => time(found.get(rule.id)?.last_at, "ago"), "wide narrow"],
  ], rules);
}

function level(of) {
  return of === "informational" ? h("span", { class: "badge" }, "Signal") : h("span", { class: `badge sev-${of}` }, words(of));
}

function fired(rule, stats) {
  if (!stats) return h("span", { class: "soft" }, "0");
  const all = stats.alerts + stats.suppressed;
  if (rule.level === "informational") return number(all);
  return h("a", { href: `#/alerts?rule=${encodeURIComponent(rule.id)}`, "aria-label": `${count(all, "alert")} of ${rule.title}` }, number(all));
}

function more(rule, take) {
  const key = (rule.key ?? []).map((name) => words(name).toLowerCase()).join(" and ");
  return h("div", { class: "rule-more" },
    rule.description ? h("p", {}, rule.description) : null,
    h("p", { class: "soft small" }, [words(rule.kind), rule.window_s ? ` in ${duration(rule.window_s)}` : "", key ? ` for each ${key}` : "", ` · ${number(rule.risk)} points · `, h("code", {}, rule.name || rule.file)]),
    rule.false_positives?.length ? h("div", {}, h("h3", {}, "It may be harmless when"), h("ul", { class: "reasons" }, rule.false_positives.map((text) => h("li", { class: "soft" }, text)))) : null,
    rule.level === "informational" ? h("p", { class: "soft small" }, "A signal: it adds to a user's risk and is never in the queue.") : null,
    take ? h("div", {}, h("button", { type: "button", onclick: () => take(rule) }, "Try a change of it")) : null);
}

/** The file of the rule that is being changed. */
let original = null;

/**
 * A trial changes nothing: the engine runs over what is stored, and what it would have found is shown. `take(rule)` puts
 * the file of an active rule into the field; a change of it is then told against the rule as it is.
 */
function trial(signal) {
  const text = h("textarea", { class: "code", spellcheck: "false", autocapitalize: "none", wrap: "off" });
  text.value = EXAMPLE;
  // Whoever comes back to what was typed here finds it, and the rule that it is a change of.
  if (!draft("trial", [text])) original = null;
  const days = select([["1", "1 day"], ["7", "7 days"], ["30", "30 days"], ["90", "90 days"]], "7");
  const run = h("button", { class: "primary", type: "submit" }, "Try it");
  const result = h("div", { class: "stack", "aria-live": "polite" });
  const form = h("form", { class: "stack", novalidate: true },
    field("Sigma rules, as YAML", text, "Documents parted by ---. They may lean on the rules of this server by name. Esc leaves the field."),
    h("div", { class: "filters" }, field("Over the last", days), run));

  const over = async (rules, span) => (await call("POST", "/api/rules/dry-run", { body: { rules, ...span }, signal })).body;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    run.disabled = true;
    put(run, "Trying…");
    put(result, waiting(3));
    const from = new Date(Date.now() - Number(days.value) * DAY).toISOString();
    try {
      const changed = await over(text.value, { from });
      // The same span for both: what happens meanwhile is no difference of the rules.
      const before = original && original.text !== text.value ? await over(original.text, { from: changed.from, to: changed.to }) : null;
      put(result, outcome(changed, before, days.value));
    } catch (error) {
      if (signal.aborted) return;
      put(result, notice("bad", h("p", {}, error.message)));
    } finally {
      run.disabled = false;
      put(run, "Try it");
      refocus(run);
    }
  });

  async function take(rule) {
    try {
      original = await get(`/api/rules/${encodeURIComponent(rule.id)}/source`, signal);
      text.value = original.text;
      put(result, notice("calm", h("p", {}, `This is ${original.file}. Change it, and try it: what it finds is told against the rules as they are.`)));
    } catch (error) {
      if (signal.aborted) return;
      put(result, notice("bad", error.message));
    }
    form.scrollIntoView({ block: "start" });
    text.focus({ preventScroll: true });
    text.setSelectionRange(0, 0);
  }

  const whole = panel("Try a rule on what has happened", { id: "trial-title" },
    h("p", { class: "soft" }, "Nothing is stored and nobody is alerted. To use a rule, save it in a folder and start the server with ", h("code", {}, "--rules"), "."), form, result);
  return { form: whole, take };
}

function outcome(body, before, days) {
  const per = body.alerts_total / Number(days);
  const rate = body.alerts_total ? `, ${number(per)} a day` : "";
  const told = before ? differences(body, before) : null;
  const mark = (alert) => {
    const kind = told?.marks.get(alert);
    return kind ? [h("span", { class: `badge ${kind === NEW ? "taken" : ""}` }, kind), " "] : null;
  };
  return [
    notice(body.alerts_total ? "calm" : "good", h("p", {}, `${count(body.alerts_total, "alert")}${rate}, in ${count(body.events, "activity", "activities")}.`), told ? h("p", {}, compared(body, before), " ", told.words) : null),
    body.alerts.length ? shortList("What the rules would have found", body.alerts, { stored: false, mark }) : h("p", { class: "soft" }, "It would have found nothing. Lower the threshold or look further back to see where it begins to fire."),
    body.alerts_total > body.alerts.length ? h("p", { class: "soft small" }, `The first ${body.alerts.length} are shown.`) : null,
    told?.gone.length ? [h("h3", { id: "gone" }, "Gone: found by the rules as they are, and not by the change"), shortList("What the change would not find", told.gone, { stored: false })] : null,
  ];
}

function compared(body, before) {
  const more = body.alerts_total - before.alerts_total;
  if (more === 0) return `As many as with the rules as they are (${number(before.alerts_total)}).`;
  return `${count(Math.abs(more), "alert")} ${more > 0 ? "more" : "fewer"} than with the rules as they are (${number(before.alerts_total)}).`;
}

const NEW = "New";
const MOVED = "At another time";

/** Which alerts only the change finds and which only the rules as they are, by rule, key and time. */
function differences(body, before) {
  // Where only the first are told, what comes after them cannot be compared.
  const ends = [body, before].filter((one) => one.alerts_total > one.alerts.length).map((one) => one.alerts.at(-1).at).sort();
  const known = (alert) => !ends.length || alert.at <= ends[0];
  const about = (alert) => JSON.stringify([alert.rule_id, Object.entries(alert.key).sort()]);
  const rest = new Map();
  for (const alert of before.alerts.filter(known)) rest.set(about(alert), [...(rest.get(about(alert)) ?? []), alert]);
  const taken = (alert, same) => {
    const all = rest.get(about(alert)) ?? [];
    const i = all.findIndex((one) => same(one));
    return i >= 0 && all.splice(i, 1).length > 0;
  };
  const marks = new Map();
  const others = body.alerts.filter(known).filter((alert) => !taken(alert, (one) => one.at === alert.at));
  // Another threshold is crossed by another event of the same episode.
  for (const alert of others) {
    const overlaps = (one) => one.first_event_at <= alert.last_event_at && alert.first_event_at <= one.last_event_at;
    marks.set(alert, taken(alert, overlaps) ? MOVED : NEW);
  }
  const gone = [...rest.values()].flat();
  const of = (kind) => [...marks.values()].filter((one) => one === kind).length;
  const parts = [[of(NEW), "new"], [gone.length, "gone"], [of(MOVED), "at another time"]].filter(([n]) => n > 0);
  const sentence = parts.length ? `${parts.map(([n, what]) => `${number(n)} ${what}`).join(", ")}.` : "They are the same.";
  return { marks, gone, words: ends.length ? [sentence, " Compared up to ", time(ends[0]), ": later ones are too many to show."] : sentence };
}
