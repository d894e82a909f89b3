/** Whose token asks: kept for the tab, or, where somebody wants to stay signed in, for this browser. */

const KEY = "zarrlink token";

export function readToken() {
  return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "";
}

export function keepToken(token, stay) {
  const [kept, other] = stay ? [localStorage, sessionStorage] : [sessionStorage, localStorage];
  kept.setItem(KEY, token);
  other.removeItem(KEY);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}

/** `changed(token)` with this tab's token, "" for none, when another tab signed in or out. */
export function watchToken(changed) {
  addEventListener("storage", ({ key }) => {
    if (key === KEY || key === null) changed(readToken());
  });
}
