/** The form that makes a link. */

import { button, labelled, make } from "./dom.js";
import { expiryField } from "./expiry_field.js";
import { sentenceOf } from "./problem.js";
import { scopeFields } from "./scope_fields.js";

const LONGEST_NAME = 200;

/**
 * `{element, setBox(box)}`. `readFacts()`: the layers, box and mags of what the link is to open, asked for when somebody
 * wants to limit it. `create(wish)` makes the link and throws where it cannot; `close()` puts the form away.
 */
export function linkForm({ readFacts, create, close }) {
  const name = make("input", {
    type: "text",
    maxlength: LONGEST_NAME,
    autocomplete: "off",
    placeholder: "For the reviewers",
  });
  const expiry = expiryField();
  const failure = make("p", { class: "failure", role: "alert", hidden: true });
  const submit = make("button", { type: "submit", class: "primary", text: "Create link" });
  const limits = make("details", {}, make("summary", { text: "Limit what it opens" }));
  let scope = null;
  let drawn = null;

  async function fillLimits() {
    if (scope !== null || limits.querySelector("[role=status]")) return;
    const status = make("p", { class: "hint", role: "status", text: "Reading the layers…" });
    limits.append(status);
    try {
      scope = scopeFields(await readFacts());
      if (drawn) scope.setBox(drawn);
      limits.append(scope.element);
    } catch (error) {
      say(`The layers could not be read, so the link would open all of them. ${sentenceOf(error)}`);
    } finally {
      status.remove();
    }
  }

  function say(sentence) {
    failure.textContent = sentence;
    failure.hidden = sentence === "";
  }

  async function send(event) {
    event.preventDefault();
    say("");
    submit.disabled = true;
    try {
      const limit = scope?.value() ?? null;
      await create({ name: name.value.trim(), expirationDateTime: expiry.value(), ...(limit ? { scope: limit } : {}) });
    } catch (error) {
      say(sentenceOf(error));
    } finally {
      submit.disabled = false;
    }
  }

  limits.addEventListener("toggle", () => limits.open && fillLimits());
  const element = make(
    "form",
    {
      class: "card",
      "aria-label": "New link",
      onsubmit: send,
      onkeydown: (event) => event.key === "Escape" && close(),
    },
    make("div", { class: "row" }, labelled("Name", name), expiry.element),
    limits,
    failure,
    make("div", { class: "actions" }, submit, button("Cancel", close)),
  );
  const setBox = (box) => {
    drawn = box;
    scope?.setBox(box);
  };
  return { element, setBox };
}
