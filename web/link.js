/** The page of one link: asks the link's own address what it opens, and shows it. */

import { expiryOf, expirySentence } from "./expiry.js";
import { addFact } from "./facts.js";
import { layerCard } from "./layer.js";
import { readFacts } from "./link_facts.js";
import { sentenceOf } from "./problem.js";
import { toolsSection } from "./tools.js";
import { extentText, voxelSizeText } from "./units.js";

// The page answers with and without the trailing slash, so the document's own relative addresses cannot be trusted.
const base = location.origin + location.pathname.replace(/\/*$/, "/");

const byId = (id) => document.getElementById(id);

async function open() {
  byId("failure").hidden = true;
  try {
    showLink(await readFacts(base));
  } catch (error) {
    showFailure(error);
  }
}

function showLink(link) {
  const name = link.name || (link.annotation ?? link.dataset).name;
  document.title = `${name}: Zarr link`;
  byId("name").textContent = name;
  byId("note").textContent = link.note;
  byId("note").hidden = !link.note;
  showAbout(link);

  const how = { base, voxelSize: link.voxelSize, announce };
  const cards = link.layers.map((layer) => layerCard(byId("layer"), layer, how));
  byId("layers").replaceChildren(...cards.map(({ card }) => card));
  showWhenSeen(cards);
  byId("tools").replaceChildren(toolsSection(link, how));
}

function showAbout(link) {
  const facts = byId("facts");
  facts.replaceChildren();
  if (link.annotation) addFact(facts, "Annotation", link.annotation.name);
  if (link.dataset) addFact(facts, "Dataset", link.dataset.name);
  addFact(facts, "Expires", expiryElement(link.expires));
  addFact(facts, "Voxel size (x, y, z)", voxelSizeText(link.voxelSize));
  addFact(facts, "Extent (x, y, z)", extentText(link.box, link.voxelSize));
  for (const { name, reason } of link.unavailable) addFact(facts, `Layer ${name}`, `cannot be read: ${reason}`);
  const end = link.expires === null ? "until it is revoked" : "until it expires";
  byId("warning").textContent = `Anyone with this address can read these layers ${end}.`;
  byId("about").hidden = false;
}

function expiryElement(expires) {
  const now = new Date();
  const time = document.createElement("time");
  time.textContent = expirySentence(expires, now);
  if (expires !== null) time.dateTime = expires;
  time.classList.toggle("expired", expiryOf(expires, now).expired);
  return time;
}

/** A link may open many layers; each picture is fetched when its card comes near the window. */
function showWhenSeen(cards) {
  const sliceOf = new Map(cards.map(({ card, slice }) => [card, slice]));
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        sliceOf.get(target).show();
      }
    },
    { rootMargin: "400px" },
  );
  for (const { card } of cards) observer.observe(card);
}

function showFailure(error) {
  const gone = error.status === 410;
  const failure = byId("failure");
  document.title = gone ? "Link no longer open" : "Zarr link";
  byId("name").textContent = gone ? "This link is no longer open" : "The link could not be read";
  const reason = error.message.replace(/\.$/, "");
  failure.querySelector("p").textContent = gone ? `${reason}. Ask its owner for a new one.` : sentenceOf(error);
  failure.querySelector("button").hidden = gone;
  failure.hidden = false;
}

function announce(sentence) {
  const region = byId("announcements");
  // Emptied first: the same sentence twice would otherwise be said once.
  region.textContent = "";
  setTimeout(() => (region.textContent = sentence), 50);
}

byId("failure").querySelector("button").addEventListener("click", open);
open();
