/** Revocations that can still be undone: each is sent when its seconds are over, and all at once when the page is left. */

export class Revocations {
  #pending = new Map();
  #send;

  /** `send(link, {keepalive})` revokes for good and says what the link is then, or throws. */
  constructor(send) {
    this.#send = send;
  }

  /** Count whole seconds down for a link; `tick(rest)` after each, then `done(state)` or `failed(error)`. */
  begin(link, { seconds, tick, done, failed }) {
    const pending = { link, done, failed };
    const wait = (rest) => {
      pending.timer = setTimeout(() => {
        tick(rest - 1);
        if (rest > 1) wait(rest - 1);
        else this.#revoke(link.id);
      }, 1000);
    };
    this.#pending.set(link.id, pending);
    wait(seconds);
  }

  /** Whether it was in time. */
  undo(linkId) {
    clearTimeout(this.#pending.get(linkId)?.timer);
    return this.#pending.delete(linkId);
  }

  /** Send all that is pending now, so that it is sent even while the page goes. */
  finish() {
    for (const linkId of [...this.#pending.keys()]) this.#revoke(linkId, { keepalive: true });
  }

  async #revoke(linkId, options = {}) {
    const { link, timer, done, failed } = this.#pending.get(linkId);
    clearTimeout(timer);
    this.#pending.delete(linkId);
    try {
      done(await this.#send(link, options));
    } catch (error) {
      failed(error);
    }
  }
}
