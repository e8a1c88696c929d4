// Elements. Text always goes in as text: whatever an attacker wrote stays letters, and what cannot be seen is shown.

// What has no shape of its own, or turns the direction of what stands around it; blank letters as well. Line breaks and
// tabs are no more than blanks here.
const UNSEEN = /(?![\t\n])[\p{Cc}\p{Cf}\u2028\u2029\u115f\u1160\u3164\uffa0]/gu;

/** A text in which nothing is hidden: `\u202enimda` is no `admin`. */
export function visible(text) {
  return text.replace(UNSEEN, (letter) => `‹U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}›`);
}

/** Attributes that are read to people. */
const READ = new Set(["title", "alt", "placeholder", "aria-label", "aria-description", "aria-valuetext"]);

/** An element with properties and children; children are nodes, texts, arrays, or nothing. */
export function h(name, props = {}, ...children) {
  return fill(document.createElement(name), props, children);
}

/** The same in SVG. */
export function s(name, props = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : READ.has(name) ? visible(String(value)) : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child instanceof Node) element.append(child);
    else if (child !== undefined && child !== null && child !== false) element.append(visible(String(child)));
  }
}

/** Puts these children in place of what was there. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

const kept = new WeakMap();

/**
 * Shows `items` as the children of `parent`. The element of an item that was there stays, so that whoever points at it,
 * has the focus in it or selects in it is left alone; it is made anew where `mark`, what it shows, has changed.
 */
export function keep(parent, items, { key, mark = () => null, make }) {
  const had = kept.get(parent) ?? new Map();
  const has = new Map();
  for (const item of items) {
    const old = had.get(key(item));
    const shown = mark(item);
    has.set(key(item), old && old.shown === shown ? old : { shown, element: make(item) });
  }
  for (const [id, old] of had) if (has.get(id) !== old) old.element.remove();
  let at = parent.firstChild;
  for (const { element } of has.values()) {
    if (element === at) at = at.nextSibling;
    else parent.insertBefore(element, at);
  }
  kept.set(parent, has);
}

let numbers = 0;
/** An id that no other element has, for labels. */
export function uid(prefix) {
  numbers += 1;
  return `${prefix}-${numbers}`;
}

/** A labelled input; `control` gets the label's id. */
export function field(label, control, hint) {
  const id = control.id || uid("field");
  control.id = id;
  let note = null;
  if (hint) {
    note = h("span", { class: "hint", id: `${id}-hint` }, hint);
    control.setAttribute("aria-describedby", note.id);
  }
  return h("div", { class: "field" }, h("label", { for: id }, label), control, note);
}

/** A select with options `[value, words]`. */
export function select(options, value, props = {}) {
  const element = h("select", props, options.map(([of, words]) => h("option", { value: of }, words)));
  element.value = value ?? options[0][0];
  return element;
}

/** Says something to screen readers without moving the focus. */
export function announce(words) {
  const region = document.getElementById("announcer");
  if (region) region.textContent = visible(words);
}
