// Who is at risk, and everybody else.

import { get } from "../api.js";
import { field, h, put } from "../dom.js";
import { time } from "../format.js";
import { empty, loading, panel, risk, table, userLink, waiting } from "../parts.js";

export function show(place, { signal }) {
  const risky = h("div", {}, waiting(6));
  const everybody = h("div", {}, waiting(6));
  const search = h("input", { type: "search", "data-search": true, autocapitalize: "none", spellcheck: "false" });
  put(place,
    h("h1", { tabindex: -1 }, "Users"),
    panel("Highest risk now", { id: "risky-title" }, risky),
    panel("Everybody", { id: "all-title" }, h("div", { class: "filters" }, field("Find by name, full name or role", search)), everybody));

  loading(risky, signal, async () => {
    const users = await get("/api/analytics/top-users?top=25", signal);
    if (!users.length) return empty("Nobody stands out.", "Risk comes from alerts and falls by half in a week; at the moment there is none.");
    return table("Users by their present risk", [
      ["User", (user) => [userLink(user.username), h("div", { class: "soft small" }, user.role_name ?? "No account here")], "person-cell"],
      ["Risk", (user) => risk(user.risk_score, user.risk_level), "narrow"],
      ["Most of it comes from", (user) => h("ul", { class: "reasons" }, user.reasons.map((reason) =>
        h("li", {}, h("a", { href: `#/alerts/${encodeURIComponent(reason.alert_id)}`, tabindex: -1 }, reason.name), h("span", { class: "soft" }, ` · ${reason.description}`)))), "grow mid"],
      ["Last change", (user) => time(user.changed_at, "ago"), "wide narrow"],
    ], users);
  });

  loading(everybody, signal, async () => {
    const users = await get("/api/users/", signal);
    const list = h("div", {});
    const draw = () => {
      const wanted = search.value.trim().toLowerCase();
      const hits = users.filter((user) => [user.username, user.full_name, user.role_name].some((text) => text?.toLowerCase().includes(wanted)));
      put(list, hits.length ? [
        table("Accounts", [
          ["User", (user) => userLink(user.username), "person-cell"],
          ["Full name", (user) => user.full_name ?? "", "mid"],
          ["Role", (user) => user.role_name],
          ["Account", (user) => (user.is_active ? "Active" : "Switched off"), "mid"],
          ["Since", (user) => time(user.created_at, "ago"), "wide narrow"],
        ], hits.slice(0, 200)),
        hits.length > 200 ? h("p", { class: "soft small" }, `The first 200 of ${hits.length}; type more of the name.`) : null,
      ] : empty("Nobody is called that.", h("a", { href: `#/users/${encodeURIComponent(search.value.trim())}` }, `Look for alerts about “${search.value.trim()}”`)));
    };
    search.addEventListener("input", draw);
    draw();
    return list;
  });
}
