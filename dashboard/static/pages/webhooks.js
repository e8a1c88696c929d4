// Where alerts are told over HTTP: whether that works, a message to try it, and another one. An Admin's right.

import { call, get, isAdmin } from "../api.js";
import { announce, field, h, keep, put, select, visible } from "../dom.js";
import { count, number, time } from "../format.js";
import { empty, loading, notice, panel, refocus, severity, table, userLink, waiting } from "../parts.js";

const FORMATS = [["standard", "JSON, signed"], ["slack", "A line of text (Slack, Mattermost, Rocket.Chat)"]];
const LEVELS = ["Low", "Medium", "High", "Critical"].map((level) => [level, level === "Low" ? "All alerts" : `${level} and above`]);

export function show(place, { signal }) {
  if (!isAdmin()) {
    put(place, h("h1", { tabindex: -1 }, "Webhooks"), notice("calm", h("p", {}, "Where alerts are told is for an Admin to say.")));
    return;
  }
  const list = h("div", {}, waiting(4));
  const told = h("div", { "aria-live": "polite" });
  const shown = table("Webhooks", columns((row) => buttons(row, act)), []);
  let turn = 0;
  // A row that is as it was stays: somebody may be about to press something in it.
  const load = () => loading(list, signal, async () => {
    turn += 1;
    const mine = turn;
    const all = await get("/api/webhooks", signal);
    if (mine !== turn) return [...list.childNodes];
    keep(shown.body, all, { key: (row) => row.webhook_id, mark: JSON.stringify, make: shown.line });
    return all.length ? shown : empty("None yet.", "A webhook tells Slack, or another system, of alerts as they happen.");
  });

  /** Does what a button says, shows the list as it is then, and tells what came of it. */
  async function act(event, work) {
    const button = event.currentTarget;
    button.disabled = true;
    put(told);
    let said;
    try {
      said = await work();
      await load();
    } catch (error) {
      said = notice("bad", error.message);
    }
    button.disabled = false;
    if (signal.aborted) return;
    put(told, said);
    refocus(document.getElementById(button.id) ?? document.getElementById("webhooks-title"));
  }

  put(place,
    h("p", { class: "crumb" }, h("a", { href: "#/system" }, "System")),
    h("h1", { tabindex: -1 }, "Webhooks"),
    panel("Where alerts are told", { id: "webhooks-title" }, list, told),
    panel("Add a webhook", { id: "webhook-title" }, form(signal, load)));
  load();
}

function columns(does) {
  return [
    ["Name", (row) => [h("strong", {}, row.name), h("div", { class: "soft small mono breaks" }, row.url), does(row)], "grow"],
    ["Alerts", (row) => (row.minimum_severity === "Low" ? "All" : [severity(row.minimum_severity), " and above"]), "narrow mid"],
    ["State", state, "grow"],
    ["Waiting", (row) => number(row.pending), "right narrow mid"],
    ["Given up", (row) => number(row.dead), "right narrow mid"],
    ["Added", (row) => [time(row.created_at, "ago"), h("div", { class: "soft small" }, "by ", userLink(row.created_by))], "narrow wide"],
  ];
}

function state(row) {
  if (!row.enabled) return [h("span", { class: "badge" }, "Off"), h("div", { class: "soft small" }, row.disabled_reason)];
  if (row.failing_since) {
    return [h("span", { class: "badge sev-high" }, "Fails"), h("div", { class: "small" }, row.last_error), h("div", { class: "soft small" }, "since ", time(row.failing_since, "ago"))];
  }
  if (!row.last_success_at) return h("span", { class: "soft" }, "Nothing told yet");
  return [h("span", { class: "badge verdict-benign" }, "Works"), h("div", { class: "soft small" }, "told ", time(row.last_success_at, "ago"))];
}

function buttons(row, act) {
  const path = `/api/webhooks/${row.webhook_id}`;
  const button = (of, words, work) => h("button", { type: "button", id: `${of}-${row.webhook_id}`, "aria-label": `${words}: ${row.name}`, onclick: (event) => act(event, work) }, words);
  const test = async () => {
    const { body } = await call("POST", `${path}/test`, { body: {} });
    const words = body.delivered ? `${row.name} took a test message: it answered ${body.status} after ${number(body.took_ms)} ms.` : `${row.name} did not take a test message: ${body.error}.`;
    return notice(body.delivered ? "good" : "bad", words);
  };
  const turn = async () => {
    await call("PATCH", path, { body: { enabled: !row.enabled } });
    return notice("calm", row.enabled ? `${row.name} is told nothing from now on.` : `${row.name} is told again, what has waited first.`);
  };
  const again = async () => {
    const dead = await get(`${path}/deliveries?state=dead&limit=1000`);
    for (const delivery of dead) await call("POST", `${path}/deliveries/${delivery.delivery_id}/retry`, { body: {} });
    return notice("calm", `${count(dead.length, "message")} to ${row.name} will be sent again.`);
  };
  return h("div", { class: "buttons" },
    button("test", "Test", test),
    button("turn", row.enabled ? "Turn off" : "Turn on", turn),
    row.dead ? button("again", "Send again", again) : null,
    removal(row, path, act));
}

/** Removing takes two clicks: what waits for it goes along. Whoever goes elsewhere between them did not mean it. */
function removal(row, path, act) {
  let sure = false;
  const button = h("button", { type: "button", id: `remove-${row.webhook_id}` });
  const say = (words) => {
    button.setAttribute("aria-label", visible(`${words}: ${row.name}`));
    put(button, words);
  };
  button.addEventListener("click", (event) => {
    if (sure) {
      act(event, async () => {
        await call("DELETE", path);
        return notice("calm", `${row.name} is removed.`);
      });
      return;
    }
    sure = true;
    say("Really remove");
    announce(`Press once more to remove ${row.name}`);
  });
  button.addEventListener("blur", () => {
    sure = false;
    say("Remove");
  });
  say("Remove");
  return button;
}

function form(signal, load) {
  const name = h("input", { maxlength: 64, autocomplete: "off" });
  const url = h("input", { type: "url", maxlength: 2000, autocomplete: "off", spellcheck: "false", placeholder: "https://" });
  const format = select(FORMATS, "standard");
  const level = select(LEVELS, "Medium");
  const told = h("div", { "aria-live": "polite" });
  const send = h("button", { class: "primary", type: "submit", id: "make-webhook" }, "Add it");
  const whole = h("form", { class: "stack", novalidate: true },
    h("div", { class: "filters" }, field("Name", name), field("Format", format), field("Which alerts", level)),
    field("Address", url, "What follows the host is shown to nobody again: many addresses are a secret."),
    told, h("div", {}, send));
  whole.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    put(told);
    try {
      const body = { name: name.value, url: url.value, format: format.value, minimum_severity: level.value };
      const made = (await call("POST", "/api/webhooks", { body, signal })).body;
      put(told, notice("good",
        h("p", {}, `${made.webhook.name} is added. This is the secret by which its receiver knows our messages, shown only now:`),
        h("p", {}, h("code", { id: "webhook-secret" }, made.secret))));
      whole.reset();
      level.value = "Medium";
      await load();
    } catch (error) {
      if (signal.aborted) return;
      put(told, notice("bad", error.message));
    } finally {
      send.disabled = false;
      refocus(send);
    }
  });
  return whole;
}
