// Streams of server-sent events, read by `fetch`, which can send a token in a header.

import { end, token } from "./api.js";

/** How long to wait before try number `n` of a stream, in ms: a little random, so that not all come back at once. */
function pause(n) {
  return Math.min(15_000, 700 * 2 ** n) * (0.8 + 0.4 * Math.random());
}

/** How long between two questions where there is no stream, in ms. */
function step() {
  return 3000 + 2000 * Math.random();
}

/**
 * Follows a stream of server-sent events until `signal` ends. Comes back with the last event id; where a stream cannot
 * be had, `poll` is called every few seconds instead. `onState` hears "live", "polling" or "offline". `first` tells
 * whether what the page began with could be loaded; where it could not, and after every try that failed, `whole` loads
 * all of it before the page is called live.
 */
export async function follow(path, { onEvent, onState, poll, whole = poll, first = true, signal }) {
  let last = null;
  let failures = 0;
  let missed = false;
  while (!signal.aborted && token()) {
    let tried = false;
    await seen(signal);
    if (signal.aborted || !token()) return;
    const connection = new Connection(signal);
    try {
      const headers = { Authorization: `Bearer ${token()}`, Accept: "text/event-stream" };
      if (last) headers["Last-Event-ID"] = last;
      const response = await fetch(path, { headers, signal: connection.signal, cache: "no-store" });
      if (response.status === 401) {
        connection.end();
        end("Your session has ended. Log in again.");
        return;
      }
      if (!response.ok) throw new Error(`status ${response.status}`);
      if (!(await first) || missed) await whole();
      first = true;
      missed = false;
      tried = true;
      onState("live");
      for await (const event of events(response.body, () => connection.heard())) {
        failures = 0;
        if (event.id) last = event.id;
        if (event.data) deliver(event, onEvent);
      }
    } catch {
      // Whatever cut it off: below it is found out how the server is, and said.
    }
    if (signal.aborted) return;
    // With the last event's id it goes on from there. Without one, what happens until the next connection is missed.
    missed ||= !tried || !last;
    // Let go because nobody looks: that is no failure, and the next turn waits until somebody does.
    if (connection.isUnseen()) continue;
    connection.end();
    failures += 1;
    await without(Date.now() + pause(Math.min(failures, 5)), failures > 1);
  }

  /** Asks every few seconds until it is time to try the stream again: at once, where the server is back. */
  async function without(until, told) {
    let away = false;
    while (!signal.aborted && token()) {
      try {
        await poll();
        if (away) return;
        if (told) onState("polling");
      } catch (error) {
        if (signal.aborted || !token()) return;
        away = error.status === 0;
        onState(away ? "offline" : "polling");
      }
      await wait(Math.max(100, Math.min(step(), until - Date.now())), signal);
      if (Date.now() >= until) return;
      await seen(signal);
    }
  }
}

/** One event that cannot be shown must not end the stream. */
function deliver(event, onEvent) {
  try {
    onEvent(event.name, JSON.parse(event.data));
  } catch (error) {
    console.error(error);
  }
}

/**
 * A browser keeps six connections to a server for all its tabs together. A tab that nobody looks at gives its streams up
 * after a while, or a few forgotten ones would hold up the others; it goes on from the last event when it is seen.
 */
const UNSEEN = 15_000;
/** The server says something every 15 s; a stream that is silent for longer is dead, whatever the network says. */
const SILENT = 40_000;

/** One connection of a stream: it ends with the page, when nobody looks, and when it is dead. */
class Connection {
  #over = new AbortController();
  #hidden = null;
  #silent = null;

  constructor(page) {
    const { signal } = this.#over;
    document.addEventListener("visibilitychange", () => this.#look(), { signal });
    addEventListener("offline", () => this.end("lost"), { signal });
    page.addEventListener("abort", () => this.end("left"), { signal });
    this.#look();
    this.heard();
  }

  get signal() {
    return this.#over.signal;
  }

  heard() {
    clearTimeout(this.#silent);
    this.#silent = setTimeout(() => this.end("lost"), SILENT);
  }

  isUnseen() {
    return this.signal.reason === "unseen";
  }

  end(why = "over") {
    clearTimeout(this.#hidden);
    clearTimeout(this.#silent);
    this.#over.abort(why);
  }

  #look() {
    clearTimeout(this.#hidden);
    if (document.hidden) this.#hidden = setTimeout(() => this.end("unseen"), UNSEEN);
  }
}

/** Waits until the page is seen. */
function seen(signal) {
  if (!document.hidden || signal.aborted) return undefined;
  return new Promise((resolve) => {
    const over = new AbortController();
    const done = () => {
      over.abort();
      resolve();
    };
    document.addEventListener("visibilitychange", done, { signal: over.signal });
    signal.addEventListener("abort", done, { signal: over.signal });
  });
}

/** Waits; ends early when the connection comes back or the page is left. */
function wait(ms, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}

/** The events in a body, as they come. */
async function* events(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      rest += value;
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) yield parsed(block);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parsed(block) {
  const event = { name: "message", id: null, data: "" };
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon < 1) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const name = line.slice(0, colon);
    if (name === "event") event.name = value;
    else if (name === "id") event.id = value;
    else if (name === "data") event.data += event.data ? `\n${value}` : value;
  }
  return event;
}
