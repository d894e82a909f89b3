/** When a link is to end: choices that people think in, or a day; the outcome is said below. */

import { labelled, make } from "./dom.js";
import { CHOICES, endAfter, endOfDay, expirySentence } from "./expiry.js";

const ON_DAY = "day of choice";
const AS_IT_IS = "as it is";

/**
 * `{element, value()}`; `value()` is ms since 1970, null for never, undefined for a day that is not filled in.
 * `current`: the expiry that the link has, which is then the first choice; absent for a new link, which gets a month.
 */
export function expiryField(current) {
  const known = current !== undefined;
  const select = make("select", {}, [
    ...(known ? [new Option(`As it is: ${expirySentence(current, new Date())}`, AS_IT_IS, true, true)] : []),
    ...CHOICES.map(({ value, words }) => new Option(words, value, false, !known && value === "month")),
    new Option("On a day…", ON_DAY),
  ]);
  const day = make("input", { type: "date", min: new Date().toISOString().slice(0, 10), required: true });
  const dayField = labelled("Last day", day);
  const outcome = make("p", { class: "hint", "aria-live": "polite" });

  function value() {
    if (select.value === AS_IT_IS) return current;
    if (select.value === ON_DAY) return endOfDay(day.value) ?? undefined;
    return endAfter(select.value, new Date());
  }

  function tell() {
    dayField.hidden = select.value !== ON_DAY;
    day.disabled = dayField.hidden; // or the form would ask for a day that nobody sees
    const end = value();
    outcome.hidden = end === undefined || select.value === AS_IT_IS;
    if (end === null) outcome.textContent = "It stays open until it is revoked.";
    else if (end !== undefined)
      outcome.textContent = `Ends ${expirySentence(end, new Date())}, at the end of the day (UTC).`;
  }

  select.addEventListener("change", () => {
    tell();
    if (select.value === ON_DAY) day.focus();
  });
  day.addEventListener("input", tell);
  tell();
  return { element: make("div", { class: "expiry" }, labelled("Expires", select), dayField, outcome), value };
}
