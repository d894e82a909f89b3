/** Datasets and annotations as cards, to be searched. The address keeps what is searched for. */

import { button, labelled, make } from "./dom.js";
import { sentenceOf } from "./problem.js";
import { thumbnail } from "./thumbnail.js";

const VISIBILITIES = { private: "Private", organization: "Everybody here", public: "Public" };
// The same in a line about one dataset.
export const VISIBLE = { private: "private", organization: "visible to everybody here", public: "public" };

const KINDS = {
  datasets: { title: "Datasets", path: "/api/datasets", none: "No dataset." },
  annotations: { title: "Annotations", path: "/api/annotations/readable", none: "No annotation." },
};

export async function showCatalogue(content, { api, user, query, signal }) {
  const search = make("input", {
    type: "search",
    value: query.get("query") ?? "",
    placeholder: "Name, description",
    autocomplete: "off",
  });
  const visibility = make(
    "select",
    {},
    new Option("All", ""),
    Object.entries(VISIBILITIES).map(([value, words]) => new Option(words, value)),
  );
  visibility.value = query.get("visibility") ?? "";
  const mine = make("input", { type: "checkbox", checked: query.get("mine") === "true" });
  const tag = make("p", { class: "chosen-tag", hidden: true });
  const results = make("div", { class: "results" });
  let wanted = query.get("tag") ?? "";
  let asking = null;

  function wish() {
    const said = {
      query: search.value.trim(),
      tag: wanted,
      visibility: visibility.value,
      mine: mine.checked ? "true" : "",
    };
    return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== ""));
  }

  async function refresh() {
    asking?.abort();
    asking = new AbortController();
    const ended = AbortSignal.any([asking.signal, signal]);
    const asked = wish();
    const words = new URLSearchParams(asked).toString();
    history.replaceState(null, "", `#/datasets${words ? `?${words}` : ""}`);
    tag.hidden = wanted === "";
    tag.replaceChildren(
      "Tag ",
      make("strong", { text: wanted }),
      " ",
      button("Any tag", () => choose("")),
    );
    results.setAttribute("aria-busy", "true");
    const sections = await Promise.all(
      Object.entries(KINDS)
        .filter(([kind]) => kind === "datasets" || user !== null)
        .map(([kind]) => section(api, kind, asked, choose, ended)),
    );
    if (ended.aborted) return;
    results.replaceChildren(...sections);
    results.removeAttribute("aria-busy");
  }

  function choose(chosen) {
    wanted = chosen;
    refresh();
    search.focus();
  }

  for (const control of [search, visibility, mine]) control.addEventListener("input", refresh);
  const form = make(
    "form",
    { class: "search", role: "search", onsubmit: (event) => event.preventDefault() },
    labelled("Search", search),
    labelled("Visible to", visibility),
    user === null ? null : make("label", { class: "check" }, mine, "Only mine"),
    tag,
  );
  content.append(form, results);
  await refresh();
}

async function section(api, kind, asked, choose, signal) {
  const { title, path, none } = KINDS[kind];
  const heading = make("h2", { text: title });
  try {
    const found = await api.get(path, asked, { signal });
    heading.textContent = `${title} (${found.length})`;
    const cards = found.map((record) => card(api, kind, record, choose));
    const list = cards.length ? make("ul", { class: "cards" }, cards) : make("p", { class: "hint", text: none });
    return make("section", { "aria-label": title }, heading, list);
  } catch (error) {
    return make(
      "section",
      { "aria-label": title },
      heading,
      make("p", { class: "failure", role: "alert", text: signal.aborted ? "" : sentenceOf(error) }),
    );
  }
}

function card(api, kind, record, choose) {
  const owner = ownerOf(record);
  return make(
    "li",
    { class: "card" },
    thumbnail(api, kind, record),
    make("h3", {}, make("a", { href: `#/${kind}/${encodeURIComponent(record.id)}`, text: record.name || "Unnamed" })),
    make("p", { class: "hint", text: [owner, VISIBLE[record.visibility]].filter(Boolean).join(" · ") }),
    record.description ? make("p", { class: "description", text: record.description }) : null,
    tagList(record.tags ?? [], choose),
  );
}

/** The user who owns a dataset (a name) or an annotation (WEBKNOSSOS's JSON). */
export function ownerOf({ owner }) {
  return typeof owner === "string" ? owner : (owner?.firstName ?? "");
}

function tagList(tags, choose) {
  if (tags.length === 0) return null;
  const items = tags.map((tag) =>
    make(
      "li",
      {},
      button(tag, () => choose(tag), { "aria-label": `Only with tag ${tag}` }),
    ),
  );
  return make("ul", { class: "tags", "aria-label": "Tags" }, items);
}
