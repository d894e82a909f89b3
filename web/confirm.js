/** A question before what cannot be taken back. */

import { button, freshId, make } from "./dom.js";

/** Whether somebody says yes; Escape is a no, and the focus begins there. The dialog lies in `root` while it is open. */
export function confirmed(root, { title, text, yes, no }) {
  return new Promise((resolve) => {
    const heading = make("h3", { id: freshId("confirm"), text: title });
    const dialog = make("dialog", { "aria-labelledby": heading.id });
    const answers = [
      button(yes, () => dialog.close("yes"), { class: "primary" }),
      button(no, () => dialog.close("no"), { autofocus: true }),
    ];
    dialog.append(heading, make("p", { text }), make("div", { class: "actions" }, answers));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    root.append(dialog);
    dialog.showModal();
  });
}
