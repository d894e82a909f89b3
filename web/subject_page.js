/** The page of one dataset or annotation: what it is, a picture to look at, its links, and what can be downloaded. */

import "./download_panel.js";
import "./ortho_view.js";
import "./zarr_links.js";
import { VISIBLE, ownerOf } from "./catalogue_page.js";
import { button, make } from "./dom.js";
import { editForm } from "./edit_form.js";
import { addFact } from "./facts.js";
import { sentenceOf } from "./problem.js";
import { openView } from "./thumbnail.js";
import { extentText, voxelSizeText } from "./units.js";

export async function showDataset(content, context, id) {
  const path = `/api/datasets/${encodeURIComponent(id)}`;
  await showSubject(content, context, { kind: "datasets", element: "dataset", id, path, read: path });
}

export async function showAnnotation(content, context, id) {
  const path = `/api/annotations/${encodeURIComponent(id)}`;
  await showSubject(content, context, { kind: "annotations", element: "annotation", id, path, read: `${path}/info` });
}

async function showSubject(content, context, subject) {
  const { api, signal, setTitle } = context;
  let record = await api.get(subject.read, {}, { signal });
  const about = make("div", { class: "subject" });
  const facts = make("dl", { class: "facts" });

  /** What the API answers to a change may say less than what was read first. */
  function tell(changed) {
    record = { ...record, ...changed };
    setTitle(record.name);
    about.replaceChildren(aboutOf(record), ...(record.isEditable ? [editor(context, subject, record, tell)] : []));
  }

  tell({});
  const picture = make(
    "section",
    { class: "card", "aria-label": "Picture" },
    make("p", { class: "hint", role: "status", text: "Opening the picture…" }),
  );
  const panels = panelsOf(context, subject);
  content.append(
    make("p", {}, make("a", { href: "#/datasets", text: "All datasets and annotations" })),
    about,
    facts,
    picture,
    ...panels,
  );
  await showPicture(picture, facts, context, subject, panels);
}

function aboutOf(record) {
  const owner = ownerOf(record);
  const made =
    typeof record.created === "number" ? `registered ${new Date(record.created).toISOString().slice(0, 10)}` : "";
  const words = [owner ? `owned by ${owner}` : "", VISIBLE[record.visibility], made].filter(Boolean).join(" · ");
  const tags = (record.tags ?? []).map((tag) =>
    make("li", {}, make("a", { class: "button", href: `#/datasets?tag=${encodeURIComponent(tag)}`, text: tag })),
  );
  const dataset = record.dataSetId
    ? make(
        "p",
        {},
        make("a", {
          href: `#/datasets/${encodeURIComponent(record.dataSetId)}`,
          text: "The dataset that it annotates",
        }),
      )
    : null;
  return make(
    "div",
    { class: "about" },
    make("p", { class: "hint", text: words }),
    record.description ? make("p", { class: "description", text: record.description }) : null,
    tags.length ? make("ul", { class: "tags", "aria-label": "Tags" }, tags) : null,
    dataset,
  );
}

function editor({ api, announce }, subject, record, tell) {
  const place = make("div");
  const close = () => {
    place.replaceChildren();
    open.setAttribute("aria-expanded", "false");
    open.focus();
  };
  const save = async (changes) => {
    const changed = await api.send("PATCH", subject.path, { body: changes });
    tell(changed);
    announce("Saved.");
  };
  const remove = async () => {
    await api.send("DELETE", subject.path);
    announce(`${record.name} is forgotten.`);
    location.hash = "#/datasets";
  };
  const open = button(
    "Edit",
    () => {
      if (place.firstChild) return close();
      open.setAttribute("aria-expanded", "true");
      place.replaceChildren(editForm(record, { kind: subject.element, save, remove, close }));
      place.querySelector("input").focus();
    },
    { "aria-expanded": "false" },
  );
  return make("div", { class: "editor" }, make("div", { class: "actions" }, open), place);
}

/** The two elements for those who are signed in; strangers may download a public annotation. */
function panelsOf({ token, user }, { element, id }) {
  if (user === null) {
    const to = encodeURIComponent(location.hash.slice(1));
    const message = make(
      "p",
      { class: "message" },
      make("a", { href: `#/sign-in?to=${to}`, text: "Sign in" }),
      " to make links and to export.",
    );
    return element === "annotation" ? [make("download-panel", { annotation: id }), message] : [message];
  }
  return ["zarr-links", "download-panel"].map((name) => make(name, { token, [element]: id }));
}

async function showPicture(place, facts, { api, signal }, { kind, id }, panels) {
  try {
    const view = await openView(api, kind, id);
    if (signal.aborted) return;
    tellFacts(facts, view.facts);
    const picture = make("ortho-view", { page: view.page });
    // A box that is drawn, or chosen for an export, is the same box everywhere on this page.
    const boxed = [picture, ...panels];
    for (const source of boxed) {
      source.addEventListener("box-changed", ({ detail }) => {
        for (const target of boxed) if (target !== source) target.box = detail.box;
      });
    }
    picture.addEventListener("page-gone", async () => {
      const next = await openView(api, kind, id).catch(() => null);
      if (next !== null && !signal.aborted) picture.setAttribute("page", next.page);
    });
    place.replaceChildren(picture);
  } catch (error) {
    place.replaceChildren(
      make("p", { class: "failure", role: "alert", text: `There is no picture. ${sentenceOf(error)}` }),
    );
  }
}

function tellFacts(list, facts) {
  addFact(list, "Voxel size (x, y, z)", voxelSizeText(facts.voxelSize));
  addFact(list, "Extent (x, y, z)", extentText(facts.box, facts.voxelSize));
  addFact(list, "Box (x, y, z, w, h, d)", facts.box.join(", "));
  for (const { name, category, dtype, mags } of facts.layers) {
    const kind = category === "segmentation" ? "segmentation" : "image";
    addFact(list, `Layer ${name}`, `${kind}, ${dtype}, mags ${mags.join(", ")}`);
  }
  for (const { name, reason } of facts.unavailable ?? []) addFact(list, `Layer ${name}`, `cannot be read: ${reason}`);
}
