/** Copy buttons: the whole text to the clipboard, and a word about it for eyes and for screen readers. */

const SHOWN_MS = 2500;

/**
 * Make `button` copy what `textOf()` gives. `shown` is the element that shows that text; `announce` reaches the live region.
 * `what` ends the sentence "Copied …".
 */
export function copies(button, { textOf, shown, what, announce }) {
  const label = button.textContent;
  let timer;
  button.addEventListener("click", async () => {
    const copied = await copy(textOf());
    if (!copied) select(shown);
    button.textContent = copied ? "Copied" : "Press Ctrl+C";
    button.classList.toggle("done", copied);
    announce(copied ? `Copied ${what}.` : `Not copied: ${what} is selected, press Ctrl+C or Command+C.`);
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = label;
      button.classList.remove("done");
    }, SHOWN_MS);
  });
}

/** Whether the text reached the clipboard. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Plain HTTP from another machine has no navigator.clipboard, and a person may have forbidden it.
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const focused = focusedElement();
  const field = document.createElement("textarea");
  field.style.cssText = "position: fixed; top: 0; opacity: 0"; // by itself: it lies in a page that may be anybody's
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return copied;
}

/** What has the focus, inside of custom elements too. */
function focusedElement() {
  let focused = document.activeElement;
  while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement;
  return focused;
}

function select(element) {
  element.hidden = false; // an address may be shown only now, when a person has to copy it by hand
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}
