// What people make of an alert: taking it up, closing it with a verdict, accepting what is known for a while.

import { call, isAdmin, user } from "../api.js";
import { announce, field, h, put, uid } from "../dom.js";
import { draft, forget } from "../drafts.js";
import { DAY, count, words } from "../format.js";
import { facts, long, notice, panel, refocus } from "../parts.js";

export const VERDICTS = [
  ["true_positive", "It was an attack", "Somebody did what they should not. It counts fully."],
  ["benign", "It happened, and was fine", "Real but allowed, such as a planned clean-up. It counts no more."],
  ["false_positive", "The rule was wrong", "What it says did not happen. It counts no more."],
];

/** What happened to an alert between two looks at it, in a sentence. */
export function difference(was, now) {
  const last = now.history.at(-1);
  if (last && last.at > was.updated_at) {
    const what = last.verdict && last.verdict !== was.verdict ? last.verdict : last.status;
    return `${last.by} set it to ${words(what).toLowerCase()}.`;
  }
  return `It has ${count(now.event_count, "event")} now, severity ${now.severity}.`;
}

/** The panel; `reload` reads the alert again. */
export function triage(alert, tag, reload) {
  const place = h("div", { class: "triage" });
  const told = h("div", { "aria-live": "polite" });
  const reason = h("textarea", { rows: 3, maxlength: 2000, name: "reason" });
  const name = uid("verdict");
  const radios = VERDICTS.map(([value, label, hint]) => {
    const radio = h("input", { type: "radio", name, value });
    return h("label", { class: "choice" }, radio, h("span", {}, label, h("small", {}, hint)));
  });

  async function change(body, done) {
    put(told);
    const buttons = [...place.querySelectorAll("button")];
    const pressed = document.activeElement;
    for (const button of buttons) button.disabled = true;
    try {
      await call("PATCH", `/api/alerts/${encodeURIComponent(alert.alert_id)}`, { body, headers: tag ? { "If-Match": tag } : {} });
      // Whoever takes it up may have begun to write already.
      if (body.status === "closed") forget(alert.alert_id);
      announce(done);
      reload();
    } catch (error) {
      if (error.status === 412) conflict();
      else put(told, notice("bad", error.message));
    } finally {
      for (const button of buttons) button.disabled = false;
      refocus(pressed);
    }
  }

  /** Somebody was faster, or the alert went on meanwhile: nothing is lost, the words stay. */
  function conflict() {
    const look = async () => {
      try {
        const { body, headers } = await call("GET", `/api/alerts/${encodeURIComponent(alert.alert_id)}`);
        tag = headers.get("ETag");
        put(told, notice("calm", h("p", {}, `${difference(alert, body)} What you entered is still here; send it again if it still holds.`), h("button", { type: "button", onclick: reload }, "Show the alert as it is")));
      } catch (error) {
        put(told, notice("bad", error.message));
      }
    };
    put(told, notice("calm", h("p", {}, "This alert changed while you were looking at it. Nothing of yours was saved over it."), h("button", { type: "button", onclick: look }, "What changed?")));
  }

  function close(event) {
    event.preventDefault();
    const verdict = radios.map((label) => label.firstChild).find((radio) => radio.checked)?.value;
    if (!verdict) {
      put(told, notice("bad", "Choose what it was."));
      radios[0].firstChild.focus();
    } else if (!reason.value.trim()) {
      put(told, notice("bad", "Say in a few words how you know; whoever comes after you will read it."));
      reason.focus();
    } else {
      change({ status: "closed", verdict, reason: reason.value.trim() }, "The alert is closed");
    }
  }

  const takeUp = h("button", { type: "button", id: "acknowledge", onclick: () => change({ status: "acknowledged", assignee: user().username }, "The alert is yours") },
    alert.status === "acknowledged" ? "Take it over" : "Take it up");
  const leave = alert.assignee ? h("button", { type: "button", id: "leave", onclick: () => change({ status: "open", assignee: null }, "The alert waits for somebody") }, "Leave it to others") : null;
  const form = h("form", { class: "triage", novalidate: true, onsubmit: close },
    h("fieldset", {}, h("legend", {}, "What was it?"), radios),
    field("How do you know?", reason),
    h("div", { class: "buttons" }, h("button", { class: "primary", type: "submit", id: "close-alert" }, "Close the alert"), takeUp, leave));
  if (alert.status === "closed") {
    const reopen = h("button", { type: "button", id: "reopen", onclick: () => change({ status: "open" }, "The alert is open again") }, "Open it again");
    put(place, facts([["Verdict", words(alert.verdict)], ["Reason", alert.reason ? long(alert.reason) : null], ["Closed by", alert.history.at(-1)?.by]]), told, h("div", { class: "buttons" }, reopen));
  } else {
    const again = draft(alert.alert_id, [...radios.map((label) => label.firstChild), reason]);
    if (again) put(told, notice("calm", "What you had entered here is still here; it is not sent yet."));
    put(place, alert.assignee ? h("p", { class: "soft" }, `${alert.assignee} is looking at this.`) : null, form, told);
  }
  return panel(alert.status === "closed" ? "Closed" : "What do you make of it?", { id: "triage-title" }, place);
}

/** Accepting the same for a while: an Admin's right. */
export function exception(alert) {
  if (!isAdmin()) return null;
  const soon = new Date(Date.now() + 30 * DAY);
  const until = h("input", { type: "date", value: soon.toISOString().slice(0, 10), min: new Date(Date.now() + DAY).toISOString().slice(0, 10) });
  const reason = h("textarea", { rows: 2, maxlength: 2000, name: "why" });
  const told = h("div", { "aria-live": "polite" });
  const key = Object.entries(alert.key).map(([name, value]) => `${words(name).toLowerCase()} ${value}`).join(", ");
  const send = h("button", { type: "submit", id: "make-exception" }, "Make an exception");
  const form = h("form", { class: "triage", novalidate: true }, field("Until the end of", until), field("Why is it fine?", reason), told, h("div", {}, send));
  const name = `${alert.alert_id} exception`;
  const again = draft(name, [until, reason]);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!reason.value.trim() || !until.value) {
      put(told, notice("bad", until.value ? "Say why it is fine." : "Say until when; exceptions end."));
      (until.value ? reason : until).focus();
      return;
    }
    send.disabled = true;
    try {
      const body = { rule_id: alert.rule_id, key: alert.key, until: `${until.value}T23:59:59Z`, reason: reason.value.trim() };
      await call("POST", "/api/exceptions", { body });
      forget(name);
      put(form, notice("good", `Alerts of this rule about ${key} stay out of the queue until ${until.value}. They are still counted.`));
      refocus(form.closest("details").querySelector("summary"));
    } catch (error) {
      put(told, notice("bad", error.message));
      send.disabled = false;
      refocus(send);
    }
  });
  return h("details", { class: "panel", open: again }, h("summary", {}, "Accept this for a while"),
    h("p", { class: "soft" }, `Alerts of this rule about ${key} will be stored, counted, and kept out of the queue and of the risk.`), form);
}
