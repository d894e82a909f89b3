/** The pages around the elements: which one the address names, and who is signed in. */

import { Api } from "./api.js";
import { showAnnotation, showDataset } from "./subject_page.js";
import { showCatalogue } from "./catalogue_page.js";
import { make } from "./dom.js";
import { showJobs } from "./jobs_page.js";
import { showLinks } from "./links_page.js";
import { REFUSED_TOKEN, STRANGER, refusals, sentenceOf } from "./problem.js";
import { forgetToken, keepToken, readToken, watchToken } from "./session.js";
import { showSignIn } from "./sign_in_page.js";

const PAGES = [
  { path: /^\/datasets$/, title: "Datasets and annotations", show: showCatalogue },
  { path: /^\/datasets\/([^/]+)$/, title: "Dataset", show: showDataset },
  { path: /^\/annotations\/([^/]+)$/, title: "Annotation", show: showAnnotation },
  { path: /^\/links$/, title: "Your links", show: showLinks, signedIn: true },
  { path: /^\/jobs$/, title: "Your jobs", show: showJobs, signedIn: true },
  { path: /^\/sign-in$/, title: "Sign in", show: showSignIn },
];
const START = "#/datasets";

const byId = (id) => document.getElementById(id);
const session = { token: "", user: null };
// Why somebody has to sign in, for the page that asks for it.
let reason = "";
let showing = null;

/** The page to sign in, which leads back to this one. */
function signInAddress() {
  const here = location.hash.slice(1);
  return here === "" || here.startsWith("/sign-in") ? location.hash || "#/sign-in" : `#/sign-in?to=${encodeURIComponent(here)}`;
}

/** The page that `location.hash` names, in place of the one before, whose requests end. */
async function route() {
  const [path, search = ""] = location.hash.slice(1).split("?");
  const page = PAGES.find((known) => known.path.test(path));
  if (!page) {
    location.replace(START);
    return;
  }
  if (page.signedIn && session.user === null) {
    reason ||= STRANGER;
    location.replace(signInAddress());
    return;
  }
  showing?.abort();
  showing = new AbortController();
  const { signal } = showing;
  const heading = make("h1", { text: page.title, tabindex: "-1" });
  const content = make("div", { class: "content" });
  byId("main").replaceChildren(heading, content);
  tellPlace(path, page.title);
  const setTitle = (title) => {
    heading.textContent = title;
    document.title = `${title}: zarrlink`;
  };
  const context = {
    api: new Api("", session.token),
    token: session.token,
    user: session.user,
    query: new URLSearchParams(search),
    signal,
    announce,
    setTitle,
    signIn,
    reason,
  };
  reason = "";
  try {
    await page.show(content, context, ...page.path.exec(path).slice(1).map(decodeURIComponent));
  } catch (error) {
    if (signal.aborted) return;
    fail(content, error);
  }
}

function tellPlace(path, title) {
  document.title = `${title}: zarrlink`;
  for (const link of byId("nav").querySelectorAll("a")) {
    const here = path.startsWith(link.hash.slice(1)) || (link.hash === START && path.startsWith("/annotations"));
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function fail(content, error) {
  const again =
    error.status === 401
      ? make("p", {}, make("a", { class: "button primary", href: signInAddress(), text: "Sign in" }))
      : make("button", { type: "button", text: "Try again", onclick: route });
  content.replaceChildren(
    make("div", { class: "message", role: "alert" }, make("p", { text: sentenceOf(error) }), again),
  );
}

/** Sign in with a token; throws Problem where the server does not know it. */
async function signIn(token, stay) {
  const user = await new Api("", token).get("/api/user");
  keepToken(token, stay);
  begin(token, user);
}

function begin(token, user) {
  Object.assign(session, { token, user });
  byId("nav").hidden = false;
  for (const link of byId("nav").querySelectorAll("a")) link.hidden = user === null && link.hash !== START;
  byId("who").textContent =
    user === null ? "" : [user.firstName, user.isAdmin ? "(admin)" : ""].filter(Boolean).join(" ");
  const sign = byId("sign");
  sign.hidden = false;
  sign.textContent = user === null ? "Sign in" : "Sign out";
}

function signOut() {
  forgetToken();
  begin("", null);
  announce("Signed out.");
  location.hash = "#/sign-in";
}

/** Whoever was signed in and is no longer; what they were looking at comes back once they are. */
function endSession(sentence) {
  begin("", null);
  reason = sentence;
  location.hash = signInAddress();
}

function announce(sentence) {
  byId("announcements").textContent = sentence;
}

async function start() {
  const token = readToken();
  try {
    if (token) await new Api("", token).get("/api/user").then((user) => begin(token, user));
    else begin("", null);
  } catch (error) {
    begin("", null);
    if (error.status === 401) {
      forgetToken();
      reason = REFUSED_TOKEN;
      history.replaceState(null, "", signInAddress());
    } else announce(sentenceOf(error));
  }
  byId("sign").addEventListener("click", () => (session.user === null ? (location.hash = signInAddress()) : signOut()));
  refusals.addEventListener("refused", ({ detail }) => {
    if (detail !== session.token) return; // one that was tried on the page to sign in
    forgetToken();
    endSession(REFUSED_TOKEN);
  });
  watchToken((changed) => {
    if (changed === session.token) return;
    if (changed === "") endSession("You signed out in another tab.");
    else location.reload();
  });
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the part behind # names a page
    byId("main").focus();
  });
  addEventListener("hashchange", async () => {
    await route();
    // As after any page load, but only where the focus went with what it was on.
    if (document.activeElement === document.body) byId("main").querySelector("h1")?.focus();
  });
  if (session.user === null && location.hash === "") location.replace("#/sign-in");
  else await route();
}

await start();
