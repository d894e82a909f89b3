/** Describing and sharing a dataset or annotation, for those who may. */

import { button, labelled, make } from "./dom.js";
import { sentenceOf } from "./problem.js";

const WHO_SEES = {
  private: "Private: its owner and the people named below",
  organization: "Everybody who is signed in here",
  public: "Public: anybody, signed in or not",
};

/** The form. `save(changes)` and `remove()` throw where the server will not; `close()` puts the form away. */
export function editForm(record, { kind, save, remove, close }) {
  const name = make("input", { type: "text", value: record.name, required: true, autocomplete: "off" });
  const description = make("textarea", { rows: "3" });
  description.value = record.description ?? "";
  const tags = make("input", { type: "text", value: (record.tags ?? []).join(", "), autocomplete: "off" });
  const visibility = make(
    "select",
    {},
    Object.entries(WHO_SEES).map(([value, words]) => new Option(words, value)),
  );
  visibility.value = record.visibility;
  const people = make("input", { type: "text", value: (record.collaborators ?? []).join(", "), autocomplete: "off" });
  const failure = make("p", { class: "failure", role: "alert", hidden: true });
  const submit = make("button", { type: "submit", class: "primary", text: "Save" });

  async function attempt(act) {
    failure.hidden = true;
    submit.disabled = true;
    try {
      await act();
    } catch (error) {
      failure.textContent = sentenceOf(error);
      failure.hidden = false;
    } finally {
      submit.disabled = false;
    }
  }

  function changes() {
    const wished = {
      name: name.value.trim(),
      description: description.value.trim(),
      tags: wordsOf(tags.value),
      visibility: visibility.value,
      collaborators: wordsOf(people.value),
    };
    const differs = ([key, value]) =>
      JSON.stringify(value) !== JSON.stringify(record[key] ?? (Array.isArray(value) ? [] : ""));
    return Object.fromEntries(Object.entries(wished).filter(differs));
  }

  const sure = make("button", {
    type: "button",
    class: "primary",
    text: `Forget this ${kind}`,
    onclick: () => attempt(remove),
  });
  const removal = make(
    "details",
    {},
    make("summary", { text: `Forget this ${kind}…` }),
    make("p", {
      class: "hint",
      text: kind === "dataset" ? "Its files stay where they are. Links to it end." : "It is deleted. Links to it end.",
    }),
    make("div", { class: "actions" }, sure),
  );

  return make(
    "form",
    {
      class: "card",
      "aria-label": `Edit ${record.name}`,
      onsubmit: (event) => {
        event.preventDefault();
        attempt(async () => {
          await save(changes());
        });
      },
      onkeydown: (event) => event.key === "Escape" && close(),
    },
    labelled("Name", name),
    labelled("Description", description),
    labelled("Tags", tags, "Separated by commas."),
    labelled("Visible to", visibility),
    labelled("Collaborators", people, "Names of users, separated by commas."),
    failure,
    make("div", { class: "actions" }, submit, button("Cancel", close)),
    removal,
  );
}

/** `["em", "retina"]` of "em, retina". */
function wordsOf(text) {
  return [
    ...new Set(
      text
        .split(",")
        .map((word) => word.trim())
        .filter(Boolean),
    ),
  ];
}
