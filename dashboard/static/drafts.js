// What was typed and not sent yet. A session that ends takes nothing of it along: it is kept for as long as the page is
// open, for the same user, and nowhere but in memory.

import { user } from "./api.js";

/** Drafts at a time; the oldest goes first. */
const MOST = 50;

let owner = null;
const kept = new Map();

const said = (control) => (["radio", "checkbox"].includes(control.type) ? control.checked : control.value);
const say = (control, value) => {
  if (["radio", "checkbox"].includes(control.type)) control.checked = value;
  else control.value = value;
};

/**
 * Puts into controls what was typed there under this name before, and keeps what is typed from now on. Answers whether
 * there was something.
 */
export function draft(name, controls) {
  const mine = user()?.username ?? null;
  if (mine !== owner) kept.clear();
  owner = mine;
  const had = kept.get(name);
  const save = () => {
    if (user()?.username !== mine) return;
    kept.delete(name);
    kept.set(name, controls.map(said));
    if (kept.size > MOST) kept.delete(kept.keys().next().value);
  };
  controls.forEach((control, i) => {
    if (had) say(control, had[i]);
    control.addEventListener("input", save);
    control.addEventListener("change", save);
  });
  return Boolean(had);
}

/** What was typed under this name is sent, or not wanted any more; without a name, all of it. */
export function forget(name) {
  if (name === undefined) kept.clear();
  else kept.delete(name);
}
