// Reads again and again while somebody looks: at rest while the page is hidden, ever more rarely while nothing answers,
// not at all where the answer would be the same, and never more than a twentieth of the time, so that a great fleet isn't asked for all of itself all the time.

import { final } from "./api.js";

const EVERY_MS = 10_000;
const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 60_000;
const SHARE = 20;

// read(signal) gives data; told({data, error, at, next}) hears what became of it. *at* is when the last data came.
export class Refresh {
  constructor(read, told, once = false) {
    this.read = read;
    this.once = once; // what a host must be asked for is read when the reader asks
    this.told = told;
    this.state = { data: null, error: null, at: null, next: null, busy: false };
    this.failures = 0;
    this.timer = null;
    this.again = false; // asked for while at it: what is being read may be from before
    this.stop = new AbortController();
    this.seen = () => (document.hidden ? this.rest() : this.wake());
    document.addEventListener("visibilitychange", this.seen);
  }

  async now() {
    this.rest();
    this.again = this.state.busy;
    if (this.state.busy || this.stop.signal.aborted) return;
    this.tell({ busy: true, next: null });
    const since = performance.now();
    try {
      const data = await this.read(this.stop.signal);
      this.failures = 0;
      this.tell({ data, error: null, at: Date.now(), busy: false });
    } catch (error) {
      this.failures += 1;
      this.tell({ error, busy: false });
    }
    if (this.again) await this.now();
    else this.later(performance.now() - since);
  }

  end() {
    this.stop.abort();
    this.rest();
    document.removeEventListener("visibilitychange", this.seen);
  }

  rest() {
    clearTimeout(this.timer);
    this.timer = null;
  }

  wake() {
    if (this.state.next !== null) this.wait(Math.max(0, this.state.next - Date.now()));
  }

  later(took) {
    const retry = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.failures - 1));
    const wait = this.failures ? retry : Math.max(EVERY_MS, took * SHARE);
    if (this.stop.signal.aborted || final(this.state.error) || (this.once && this.failures === 0)) return;
    this.tell({ next: Date.now() + wait });
    if (!document.hidden) this.wait(wait);
  }

  wait(milliseconds) {
    this.rest();
    this.timer = setTimeout(() => this.now(), milliseconds);
  }

  tell(news) {
    Object.assign(this.state, news);
    if (!this.stop.signal.aborted) this.told(this.state);
  }
}
