// Requests. The token lives in this tab's session storage and travels in a header, never in an address.

const KEPT = "sa.session";
let session = read();
const ended = new Set();

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  } catch {
    return null;
  }
}

function keep(next) {
  session = next;
  try {
    if (next) sessionStorage.setItem(KEPT, JSON.stringify(next));
    else sessionStorage.removeItem(KEPT);
  } catch {
    // Without storage the session lasts as long as the page.
  }
}

/** The user who is logged in, or null. */
export function user() {
  return session?.user ?? null;
}

/** The token, while somebody is logged in. */
export function token() {
  return session?.token ?? null;
}

/** Whether that user sees what others do. */
export function watches() {
  return ["Admin", "Supervisor"].includes(user()?.role_name);
}

export function isAdmin() {
  return user()?.role_name === "Admin";
}

/** Calls `then(sentence)` when the session is over. */
export function onEnd(then) {
  ended.add(then);
}

/** The session is over; whoever asked to be told is told why. */
export function end(sentence) {
  if (!session) return;
  keep(null);
  for (const then of ended) then(sentence);
}

/** A refusal or a failure, with the sentence to show. */
export class Refusal extends Error {
  constructor(status, sentence, body) {
    super(sentence);
    this.status = status;
    this.body = body;
  }
}

const UNREACHABLE = "The server cannot be reached. Check the connection; nothing was changed.";

/** One request. Answers `{body, headers}`; throws a `Refusal`. */
export async function call(method, path, { body, headers = {}, signal } = {}) {
  const sent = { ...headers };
  const asked = session;
  if (session) sent.Authorization = `Bearer ${session.token}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response;
  try {
    const text = body === undefined ? undefined : JSON.stringify(body);
    response = await fetch(path, { method, headers: sent, body: text, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, UNREACHABLE);
  }
  let answer = null;
  try {
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (response.ok) throw new Refusal(response.status, "The server's answer cannot be read.");
  }
  if (response.ok) return { body: answer, headers: response.headers };
  const sentence = typeof answer?.error === "string" ? answer.error : `The server answered ${response.status}.`;
  // Not the session of whoever has logged in meanwhile.
  if (response.status === 401 && session === asked) end(sentence);
  throw new Refusal(response.status, sentence, answer);
}

/** What is at an address. */
export async function get(path, signal) {
  return (await call("GET", path, { signal })).body;
}

/** A path with a query; what is empty is left out. */
export function at(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

export async function logIn(username, password) {
  const { body } = await call("POST", "/api/auth/login", { body: { username, password } });
  keep({ token: body.token, user: body.user });
  return body.user;
}

export async function logOut() {
  const asked = call("POST", "/api/auth/logout", { body: {} });
  const over = () => end("You are logged out.");
  await asked.then(over, over);
}
