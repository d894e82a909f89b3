/** Signing in with a personal token, and where people get one. */

import { labelled, make } from "./dom.js";
import { sentenceOf } from "./problem.js";

export function showSignIn(content, { signIn, query, user, announce, reason }) {
  const token = make("input", {
    type: "password",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
  });
  const stay = make("input", { type: "checkbox" });
  const failure = make("p", { class: "failure", role: "alert", hidden: true });
  const submit = make("button", { type: "submit", class: "primary", text: "Sign in" });

  async function send(event) {
    event.preventDefault();
    failure.hidden = true;
    submit.disabled = true;
    try {
      await signIn(token.value.trim(), stay.checked);
      announce("Signed in.");
      location.hash = `#${query.get("to") ?? "/datasets"}`;
    } catch (error) {
      failure.textContent =
        error.status === 401 ? "This token is not known here. Was all of it copied?" : sentenceOf(error);
      failure.hidden = false;
      token.select();
    } finally {
      submit.disabled = false;
    }
  }

  content.append(
    make("p", { class: "message narrow", role: "alert", text: reason, hidden: reason === "" }),
    make(
      "form",
      { class: "card narrow", "aria-label": "Sign in", onsubmit: send },
      labelled("Personal token", token),
      make("label", { class: "check" }, stay, "Stay signed in on this computer"),
      failure,
      make("div", { class: "actions" }, submit),
    ),
    make(
      "section",
      { class: "card narrow", "aria-label": "About tokens" },
      make("h2", { text: "Where do I get a token?" }),
      make("p", { text: "Whoever runs this server makes one for you, and it is shown once:" }),
      make(
        "pre",
        {},
        make("code", {
          text: "zarrlink users add YOURNAME      # a new user\nzarrlink users token YOURNAME    # another token, in place of the one before",
        }),
      ),
      make("p", {
        class: "hint",
        text: "Where the server works together with a WEBKNOSSOS, the token of your account there works too.",
      }),
      make(
        "p",
        {},
        make("a", {
          href: "#/datasets",
          text: user === null ? "Go on without signing in: public datasets" : "To the datasets",
        }),
      ),
    ),
  );
  token.focus();
}
