/** The form that makes a link. */

import { button, labelled, make } from "./dom.js";
import { expiryField } from "./expiry_field.js";
import { sentenceOf } from "./problem.js";
import { scopeFields } from "./scope_fields.js";

const LONGEST_NAME = 200;
const UNLIMITED = "Limit what it opens";

/**
 * `{element, setBox(box)}`. `readFacts()`: the layers, box and mags of what the link is to open, asked for when somebody
 * wants to limit it, or a box is drawn. `create(wish)` makes the link and throws where it cannot; `close()` puts the form away.
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
  const summary = make("summary", { text: UNLIMITED });
  const status = make("p", { class: "hint", role: "status" });
  const limits = make("details", {}, summary, status);
  let scope = null;
  let drawn = null;
  let filling = null;

  /** The fields, once; where the layers could not be read, the next call tries again. */
  function fillLimits() {
    filling ??= readLimits().finally(() => (filling = null));
    return filling;
  }

  async function readLimits() {
    if (scope !== null) return;
    status.textContent = "Reading the layers…";
    try {
      scope = scopeFields(await readFacts(), tellLimits);
      limits.append(scope.element);
      if (drawn) scope.setBox(drawn);
      tellDrawn();
    } catch (error) {
      status.textContent = "";
      const without = drawn ? "it cannot be limited to the box" : "the link would open all of them";
      say(`The layers could not be read, so ${without}. ${sentenceOf(error)}`);
    }
  }

  /** What applies is said on the closed section too. */
  function tellLimits() {
    const words = scope.words();
    summary.textContent = words ? `Limited: ${words}` : UNLIMITED;
  }

  function tellDrawn() {
    status.textContent = drawn ? "The box of the picture is filled in below. Empty it to open everything." : "";
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
      if (drawn && scope === null) {
        // It failed before. What is limited is sent only once it was on show.
        await fillLimits();
        return;
      }
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
    if (scope !== null) {
      scope.setBox(box);
      tellDrawn();
    }
    if (box === null) return;
    limits.open = true;
    submit.disabled = true;
    fillLimits().finally(() => (submit.disabled = false));
  };
  return { element, setBox };
}
