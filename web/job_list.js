/** Jobs as their owner sees them: how far each is, its result, and what can be done with it. */

import { button, make } from "./dom.js";
import { expirySentence } from "./expiry.js";
import { bytesText, isRunning, jobTitle, stateWords } from "./job_words.js";
import { sentenceOf } from "./problem.js";
import { save } from "./save.js";

const POLL_MS = 1000;
const SLOW_POLL_MS = 10_000;

export class JobList {
  #api;
  #token;
  #filter;
  #announce;
  #finished;
  #rows = new Map();
  // Submitted here: an annotation's panel exports layers of its dataset as well, and must not lose sight of them.
  #own = new Set();
  #list = make("ul", { class: "jobs" });
  #empty = make("p", { class: "hint", text: "No exports yet." });
  #failure = make("p", { class: "failure", role: "alert", hidden: true });
  #timer = null;
  #stopped = false;

  /** `filter(job)`: which jobs belong here. `announce(sentence)`, `finished(job)`: told of each job that ends while it is watched. */
  constructor(api, token, { filter = () => true, announce, finished = () => {} }) {
    this.#api = api;
    this.#token = token;
    this.#filter = filter;
    this.#announce = announce;
    this.#finished = finished;
    this.element = make("div", { class: "job-list" }, this.#failure, this.#empty, this.#list);
  }

  /** Read the jobs, and again as long as one of them runs. */
  async watch() {
    clearTimeout(this.#timer);
    let pause = POLL_MS;
    try {
      const jobs = (await this.#api.get("/api/jobs")).filter((job) => this.#own.has(job.id) || this.#filter(job));
      this.#say("");
      this.#show(jobs);
      if (!jobs.some(isRunning)) return;
    } catch (error) {
      // What is shown is of a moment ago, and says so; a server that was away is asked again.
      this.#say(`The jobs could not be read. ${sentenceOf(error)}`);
      if (error.status !== 0 && error.status < 500) return;
      pause = SLOW_POLL_MS;
    }
    if (!this.#stopped) this.#timer = setTimeout(() => this.watch(), pause);
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** A job that was just submitted; it may be one that is listed, where the same runs already. */
  add(job) {
    this.#own.add(job.id);
    this.#row(job).show(job);
    this.#list.prepend(this.#rows.get(job.id).element);
    this.#empty.hidden = true;
    this.watch();
  }

  #show(jobs) {
    const here = new Set(jobs.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (here.has(id)) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
    jobs.forEach((job, at) => {
      const row = this.#row(job);
      const ran = row.job !== null && isRunning(row.job);
      row.show(job);
      // Moved only where it must be: an element that is moved loses the focus.
      if (this.#list.children[at] !== row.element) this.#list.insertBefore(row.element, this.#list.children[at] ?? null);
      if (ran && !isRunning(job)) this.#end(job);
    });
    this.#empty.hidden = jobs.length > 0;
  }

  #end(job) {
    this.#announce(`${jobTitle(job)}: ${stateWords(job.state)}.`);
    this.#finished(job);
  }

  #row(job) {
    if (!this.#rows.has(job.id)) this.#rows.set(job.id, new JobRow((verb, one) => this.#act(verb, one)));
    return this.#rows.get(job.id);
  }

  async #act(verb, row) {
    const { job } = row;
    const path = `/api/jobs/${encodeURIComponent(job.id)}`;
    row.busy(true);
    try {
      if (verb === "save") {
        await save(this.#api, this.#token, job.resultLink, {});
        this.#announce("The download begins.");
      } else if (verb === "remove") {
        await this.#api.send("DELETE", path);
        this.#announce("The job and its file are removed.");
      } else {
        row.show(await this.#api.send("PATCH", `${path}/${verb}`));
        this.#announce(verb === "cancel" ? "The job is cancelled." : "The job is tried again.");
      }
      row.say("");
    } catch (error) {
      row.say(sentenceOf(error));
    }
    row.busy(false);
    if (verb !== "save") await this.watch();
  }

  #say(sentence) {
    this.#failure.textContent = sentence;
    this.#failure.hidden = sentence === "";
  }
}

class JobRow {
  job = null;
  #parts;

  constructor(act) {
    const verb = (name, text, attributes) => button(text, () => act(name, this), attributes);
    this.#parts = {
      title: make("h4"),
      state: make("p", { class: "hint" }),
      bar: make("progress", { max: "1" }),
      reason: make("p", { class: "failure", hidden: true }),
      failure: make("p", { class: "failure", role: "alert", hidden: true }),
      save: verb("save", "Download", { class: "primary" }),
      cancel: verb("cancel", "Cancel"),
      retry: verb("retry", "Try again"),
      remove: button("Remove…", () => this.#ask(true)),
      keep: button("Keep it", () => this.#ask(false)),
      really: verb("remove", "Remove the job and its file", { class: "danger" }),
    };
    const { title, state, bar, reason, failure, ...verbs } = this.#parts;
    this.element = make("li", { class: "job" }, title, state, bar, reason, failure, make("div", { class: "actions" }, Object.values(verbs)));
    this.#parts.keep.hidden = this.#parts.really.hidden = true;
  }

  show(job) {
    this.job = job;
    const parts = this.#parts;
    const title = jobTitle(job);
    const running = isRunning(job);
    const percent = `${Math.floor(job.progress * 100)} %`;
    this.element.dataset.state = job.state;
    parts.title.textContent = title;
    parts.state.textContent = [
      running ? `${stateWords(job.state)}, ${percent}` : stateWords(job.state),
      `started ${timeText(job.created)}`,
      job.resultBytes ? bytesText(job.resultBytes) : null,
      resultWords(job),
    ].filter(Boolean).join(" · ");
    parts.bar.hidden = !running;
    parts.bar.value = job.progress;
    parts.bar.setAttribute("aria-label", `${title}: ${percent}`);
    parts.reason.hidden = !job.message;
    parts.reason.textContent = job.message ?? "";
    parts.save.hidden = !job.resultLink;
    parts.save.setAttribute("aria-label", `Download ${title}`);
    parts.cancel.hidden = !running;
    parts.retry.hidden = job.state !== "FAILURE" && job.state !== "CANCELLED";
    if (running) this.#ask(false);
    parts.remove.hidden = running || !parts.really.hidden;
    for (const [name, words] of Object.entries({ cancel: "Cancel", retry: "Try again", remove: "Remove" })) {
      parts[name].setAttribute("aria-label", `${words}: ${title}`);
    }
  }

  busy(busy) {
    for (const part of Object.values(this.#parts)) if (part instanceof HTMLButtonElement) part.disabled = busy;
  }

  say(sentence) {
    this.#parts.failure.textContent = sentence;
    this.#parts.failure.hidden = sentence === "";
  }

  #ask(asking) {
    const { remove, keep, really } = this.#parts;
    const focused = this.element.contains(this.element.getRootNode().activeElement);
    remove.hidden = asking || isRunning(this.job);
    keep.hidden = really.hidden = !asking;
    if (focused) (asking ? really : remove).focus();
  }
}

function resultWords({ state, resultLink, resultExpires }) {
  if (state !== "SUCCESS" || resultExpires === null) return null;
  return resultLink ? `kept until ${expirySentence(resultExpires, new Date())}` : "its file has expired";
}

function timeText(ms) {
  return `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
