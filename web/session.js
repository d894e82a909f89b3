/** Whose token asks: kept for the tab, or, where somebody wants to stay signed in, for this browser. */

const KEY = "zarrlink token";

export function readToken() {
  return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "";
}

export function keepToken(token, stay) {
  forgetToken();
  (stay ? localStorage : sessionStorage).setItem(KEY, token);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}
