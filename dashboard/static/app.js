// The frame: log-in, navigation, shortcuts, colours. Pages live in `pages/` and are named by the address's fragment, so
// an alert's address can be sent to somebody, and nothing of it reaches a server's log.

import * as api from "./api.js";
import { h, put, visible } from "./dom.js";
import { forget } from "./drafts.js";
import { show as alert } from "./pages/alert.js";
import { show as alerts } from "./pages/alerts.js";
import { show as login } from "./pages/login.js";
import { show as overview } from "./pages/overview.js";
import { show as rules } from "./pages/rules.js";
import { show as system } from "./pages/system.js";
import { show as user } from "./pages/user.js";
import { show as users } from "./pages/users.js";
import { show as webhooks } from "./pages/webhooks.js";

/** Path, title, page, where it stands in the navigation, and its key after `g`. */
const PAGES = [
  { path: "", title: "Overview", show: overview, key: "o", nav: "Overview" },
  { path: "alerts", title: "Alerts", show: alerts, key: "a", nav: "Alerts" },
  { path: "alerts/*", title: "Alert", show: alert, under: "alerts" },
  { path: "users", title: "Users", show: users, key: "u", nav: "Users" },
  { path: "users/*", title: "User", show: user, under: "users" },
  { path: "rules", title: "Rules", show: rules, key: "r", nav: "Rules" },
  { path: "system", title: "System", show: system, key: "s", nav: "System" },
  { path: "webhooks", title: "Webhooks", show: webhooks, key: "w", under: "system" },
];

let leave = new AbortController();
let main = null;
let message = null;

function found() {
  const [path] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean);
  for (const page of PAGES) {
    const wanted = page.path.split("/").filter(Boolean);
    if (wanted.length === parts.length && wanted.every((part, i) => part === "*" || part === parts[i])) {
      let argument = null;
      try {
        argument = wanted.includes("*") ? decodeURIComponent(parts.at(-1)) : null;
      } catch {
        return null;
      }
      return { page, argument };
    }
  }
  return null;
}

/** What pages are given: the rest of the address, its query, when they are left, and how to set the title. */
function frame(argument) {
  return {
    argument,
    query: new URLSearchParams(location.hash.split("?")[1] ?? ""),
    signal: leave.signal,
    title: (words) => {
      document.title = visible(`${words} · Security Analytics`);
    },
    status,
  };
}

function route(moved) {
  leave.abort();
  leave = new AbortController();
  status(null);
  if (!api.user()) {
    document.title = "Log in · Security Analytics";
    put(document.body, announcer(), login({ message, done: () => route(true) }));
    message = null;
    main = null;
    document.body.querySelector("input")?.focus();
    return;
  }
  if (!api.watches()) {
    document.title = "Security Analytics";
    main = null;
    put(document.body, announcer(), forOthers());
    if (moved) document.body.querySelector("h1").focus({ preventScroll: true });
    return;
  }
  if (!main) build();
  const hit = found();
  for (const link of document.querySelectorAll("nav a")) {
    const here = hit && link.dataset.path === (hit.page.under ?? hit.page.path);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  put(main);
  scrollTo(0, 0);
  if (hit) {
    document.title = `${hit.page.title} · Security Analytics`;
    hit.page.show(main, frame(hit.argument));
  } else {
    document.title = "There is no such page · Security Analytics";
    put(main, h("h1", { tabindex: -1 }, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "Go to the overview")));
  }
  if (moved) main.querySelector("h1")?.focus({ preventScroll: true });
}

function build() {
  const links = PAGES.filter((page) => page.nav).map((page) =>
    h("a", { href: `#/${page.path}`, "data-path": page.path }, page.nav));
  main = h("main", { id: "main", tabindex: -1 });
  const name = api.user().username;
  put(document.body,
    h("a", { class: "skip", href: "#main", onclick: skip }, "Skip to content"),
    announcer(),
    h("header", { class: "top" },
      h("a", { class: "brand", href: "#/", "aria-label": "Security Analytics" }, logo(), h("span", {}, "Security Analytics")),
      h("nav", { "aria-label": "Pages" }, links),
      h("div", { class: "tools" },
        h("span", { id: "state", role: "status" }),
        h("button", { type: "button", class: "quiet icon", title: "Light or dark", "aria-label": "Switch between light and dark", onclick: theme }, sun()),
        h("button", { type: "button", class: "quiet icon", title: "Keyboard shortcuts (?)", "aria-label": "Keyboard shortcuts", onclick: help }, "?"),
        h("button", { type: "button", class: "quiet", title: `Logged in as ${name}`, onclick: logOut },
          h("span", { class: "name" }, name), h("span", {}, "Log out")))),
    main);
}

/** Whoever goes leaves nothing behind; a session that ends by itself leaves what was typed. */
function logOut() {
  forget();
  api.logOut();
}

function forOthers() {
  const { username, role_name: role } = api.user();
  return h("main", { class: "door" },
    logo(),
    h("h1", { tabindex: -1 }, `Hello ${username}`),
    h("p", {}, `This dashboard is for Admins and Supervisors, who look after the security of all accounts. Yours is ${/^[AEIOU]/.test(role) ? "an" : "a"} ${role} account, and everything you need for your work is in the application itself.`),
    h("p", { class: "soft" }, "If you think you should see this page, ask an Admin to change your role."),
    h("p", {}, h("button", { type: "button", class: "primary", onclick: () => api.logOut() }, "Log out")));
}

function announcer() {
  return h("div", { id: "announcer", class: "hidden", "aria-live": "polite" });
}

function skip(event) {
  event.preventDefault();
  main.focus();
}

/** The state of the live feed, beside the navigation. */
function status(state) {
  const place = document.getElementById("state");
  if (!place) return;
  const words = { live: "Live", polling: "Every few seconds", offline: "Offline", connecting: "Connecting", paused: "Paused" }[state];
  const titles = {
    live: "New alerts and activities appear as they happen",
    polling: "The live stream cannot be had; asking every few seconds",
    offline: "The server cannot be reached; trying again",
    paused: "What is shown stands still until you let it go on",
  };
  place.className = words ? `state ${state}` : "";
  place.title = titles[state] ?? "";
  if (place.textContent !== (words ?? "")) place.textContent = words ?? "";
}

function theme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const next = dark ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("sa.theme", next);
  } catch {
    // It holds for this page.
  }
}

function logo() {
  const icon = new URL("./icon.svg", import.meta.url).href;
  return h("img", { class: "logo", src: icon, alt: "", width: 28, height: 28 });
}

function sun() {
  const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "path");
  icon.setAttribute("viewBox", "0 0 20 20");
  icon.setAttribute("aria-hidden", "true");
  shape.setAttribute("d", "M10 2.5a7.5 7.5 0 1 0 0 15zm0-1.5a9 9 0 1 1 0 18 9 9 0 0 1 0-18z");
  icon.append(shape);
  return icon;
}

const KEYS = [
  ["?", "This help"],
  ["g then o, a, u, r, s, w", "Overview, alerts, users, rules, system, webhooks"],
  ["j, k", "Next, previous row or alert"],
  ["x", "Choose the row, in the list of alerts"],
  ["Enter", "Open it"],
  ["/", "Search or filter"],
  ["t", "Light or dark"],
  ["Esc", "Close, or leave a field"],
];

function help() {
  const close = () => dialog.close();
  const dialog = h("dialog", { "aria-labelledby": "help-title" },
    h("h2", { id: "help-title" }, "Keyboard shortcuts"),
    h("dl", { class: "keys" }, KEYS.map(([keys, does]) => h("div", {}, h("dt", {}, keys.split(/( then |, )/).map((key, i) => (i % 2 ? key : h("kbd", {}, key)))), h("dd", {}, does)))),
    h("button", { type: "button", class: "primary", onclick: close }, "Close"));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** Moves among what can be opened: cards, and the first thing to open of each row. */
function move(by) {
  const first = (row) => (row.tagName === "TR" ? row.querySelector("summary, a[href^='#/']") : row);
  const rows = [...document.querySelectorAll("[data-row], main tbody tr")].map(first).filter((row) => row?.offsetParent);
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + by));
  rows[next].focus();
  rows[next].scrollIntoView({ block: "nearest" });
}

let going = 0;
function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !main) return;
  const typing = event.target.closest?.("input, textarea, select, dialog");
  if (event.key === "Escape" && typing && typing.tagName !== "DIALOG") typing.blur();
  if (typing) return;
  if (going && Date.now() - going < 1500) {
    going = 0;
    const page = PAGES.find((candidate) => candidate.key === event.key);
    if (page) {
      location.hash = `#/${page.path}`;
      event.preventDefault();
      return;
    }
  }
  const does = {
    "?": help,
    g: () => { going = Date.now(); },
    t: theme,
    x: () => document.activeElement?.closest("tr")?.querySelector("input[type=checkbox]")?.click(),
    j: () => move(1),
    k: () => move(-1),
    "/": () => document.querySelector("[data-search]")?.focus(),
  }[event.key];
  if (!does) return;
  event.preventDefault();
  does();
}

addEventListener("keydown", key);
addEventListener("hashchange", () => route(true));
api.onEnd((sentence) => {
  message = sentence;
  route(true);
});
route(false);
