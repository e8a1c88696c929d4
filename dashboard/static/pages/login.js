// Logging in. What the server says is shown as it says it.

import { logIn } from "../api.js";
import { field, h, put } from "../dom.js";
import { notice } from "../parts.js";

export function show({ message, done }) {
  const name = h("input", { name: "username", autocomplete: "username", required: true, autocapitalize: "none", spellcheck: "false" });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const button = h("button", { class: "primary wide", type: "submit" }, "Log in");
  const told = h("div", { id: "login-told" }, message ? notice("calm", message) : null);
  const form = h("form", { class: "login", novalidate: true }, field("User name", name), field("Password", password), told, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const missing = !name.value.trim() ? name : !password.value ? password : null;
    if (missing) {
      put(told, notice("bad", missing === name ? "Enter your user name." : "Enter your password."));
      missing.focus();
      return;
    }
    button.disabled = true;
    put(button, "Logging in…");
    try {
      await logIn(name.value.trim(), password.value);
      done();
    } catch (error) {
      put(told, notice("bad", error.message));
      password.value = "";
      password.focus();
    } finally {
      button.disabled = false;
      put(button, "Log in");
    }
  });
  const icon = new URL("../icon.svg", import.meta.url).href;
  return h("main", { class: "door" },
    h("img", { class: "door-icon", src: icon, alt: "", width: 44, height: 44 }),
    h("h1", {}, "Security Analytics"),
    h("p", { class: "soft" }, "Who is doing what, what stands out, and why."),
    form,
    h("p", { class: "soft small" }, "The first start of the server prints the password of ", h("code", {}, "admin"), ", or writes it to a file that its log names."));
}
