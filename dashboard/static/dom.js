// Elements. Text always goes in as text: whatever an attacker wrote stays letters.

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
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(element, child);
    else if (child instanceof Node) element.append(child);
    else if (child !== undefined && child !== null && child !== false) element.append(String(child));
  }
}

/** Puts these children in place of what was there. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
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
  if (region) region.textContent = words;
}
