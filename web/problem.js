/** What the server says when it will not answer: `application/problem+json`, kept as an error with its status. */

export class Problem extends Error {
  name = "Problem";

  /** `status` is HTTP's, or 0 where no answer came. */
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** `fetch`, whose failure to get any answer is a Problem too; browsers word theirs for programmers, each in its own way. */
export async function reach(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server could not be reached.");
  }
}

// What the server says to whoever it does not know is for programs: it names a header.
export const STRANGER = "Sign in to see this.";
export const REFUSED_TOKEN = "Your token is not valid any more: sign in again.";

/** Told, as `detail`, of each token that a server did not know. */
export const refusals = new EventTarget();

/** The Problem in an answer to a request with a token, "" for none; as `problemOf`. */
export async function problemFor(token, response) {
  if (response.status !== 401) return problemOf(response);
  if (token === "") return new Problem(401, STRANGER);
  refusals.dispatchEvent(new CustomEvent("refused", { detail: token }));
  return new Problem(401, REFUSED_TOKEN);
}

/** The Problem in a response that is not a success; never throws, whatever the body turns out to be. */
export async function problemOf(response) {
  const said = await response.json().catch(() => null);
  return new Problem(response.status, said?.detail || said?.title || "The server gave no reason.");
}

/** One line for a person, whatever went wrong. */
export function sentenceOf(error) {
  if (!(error instanceof Problem) || error.status === 0) return error.message;
  if (error.status === 401) return error.message;
  if (error.status === 410) return `This link is no longer open. ${error.message}`;
  return `The server answered ${error.status}. ${error.message}`;
}
