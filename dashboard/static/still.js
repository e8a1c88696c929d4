// What changes by itself stands still while somebody is at it, and when it is told to.

import { announce, h, put } from "./dom.js";

/** How long after something was drawn the next burst of news is collected. */
const BURST = 200;
/** How long after the pointer moved in a list somebody may be about to click there. */
const AIMING = 1500;

let paused = false;
let down = null;
let moved = { at: -AIMING, in: null, x: 0, y: 0 };

addEventListener("pointerdown", (event) => {
  down = event.target;
}, true);
for (const name of ["pointerup", "pointercancel", "dragend"]) {
  // The click comes after it.
  addEventListener(name, () => setTimeout(() => {
    down = null;
  }), true);
}
addEventListener("pointermove", (event) => {
  // Browsers tell of a move where a list moved under a pointer at rest.
  if (event.pointerType === "mouse" && (event.screenX !== moved.x || event.screenY !== moved.y)) {
    moved = { at: performance.now(), in: event.target, x: event.screenX, y: event.screenY };
  }
}, { capture: true, passive: true });

/** Whether somebody has selected something. */
export function isSelecting() {
  const selection = getSelection();
  return Boolean(selection && !selection.isCollapsed && selection.rangeCount);
}

/** Whether the page is paused. */
export function isPaused() {
  return paused;
}

/**
 * Whether somebody is at what is in `place`: has the focus in it, selects, has pressed or points; or points at something
 * `around` it, which would move away under the hand where the place grows.
 */
export function isHeld(place, around = place) {
  if (down && around.contains(down)) return true;
  if (performance.now() - moved.at < AIMING && around.contains(moved.in)) return true;
  const focused = document.activeElement;
  if (focused && focused !== place && place.contains(focused)) return true;
  return isSelecting() && getSelection().getRangeAt(0).intersectsNode(place);
}

/**
 * A function to call with each of the news about `place`: `draw` is called once for a burst of them, and not while the
 * page is paused or somebody is at the place (see `isHeld`); `waits` hears, again and again, that it waits ("paused",
 * "held") and that it does no longer (null).
 */
export function calmly(place, signal, draw, { waits = () => {}, around = place } = {}) {
  let timer = null;
  let last = -BURST;
  const turn = () => {
    timer = null;
    last = performance.now();
    if (signal.aborted) return;
    const why = paused ? "paused" : isHeld(place, around) ? "held" : null;
    waits(why);
    if (why) news();
    else draw();
  };
  const news = () => {
    timer ??= setTimeout(turn, Math.max(0, last + BURST - performance.now()));
  };
  return news;
}

/** The button that lets a page stand still for as long as it is open; `told` is called when it does, and when it goes on. */
export function pauseButton(signal, told = () => {}) {
  const button = h("button", { type: "button", id: "pause", onclick: () => {
    paused = !paused;
    put(button, paused ? "Go on" : "Pause");
    announce(paused ? "Paused: what is shown stands still" : "What is shown is renewed again");
    told();
  } }, "Pause");
  signal.addEventListener("abort", () => {
    paused = false;
  });
  return button;
}
