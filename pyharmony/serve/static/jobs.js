// The running jobs: their progress is shown, and they can be cancelled.

import { $, passFocus } from "./dom.js";
import { announce } from "./messages.js";
import { WORK } from "./strings.js";

/** @import { Progress } from "./api.js" */
/** @typedef {{ onProgress: (progress: Progress) => void, signal: AbortSignal }} JobOptions */
/**
 * A running job: its title, whether it is not announced to screen readers, its start, the reason why it waits, and its
 * progress.
 *
 * @typedef {object} Job
 * @property {AbortController} controller
 * @property {string} title
 * @property {boolean} quiet
 * @property {number} began
 * @property {string} waits
 * @property {number} step
 * @property {number} steps
 */

/** The seconds after which a job shows its progress. */
const LONG = 3;

export class Jobs {
  constructor() {
    /** @type {Set<Job>} */
    this.running = new Set();
    /** @type {Job | null} */
    this.said = null;
  }

  get newest() { return [...this.running].at(-1) ?? null; }

  /** Cancels the newest job; returns whether there was one. */
  cancel() {
    this.newest?.controller.abort();
    return Boolean(this.newest);
  }

  cancelAll() {
    for (const { controller } of this.running) controller.abort();
    this.running.clear();
    this.show();
  }

  /** Runs a job, shows its progress, and lets the user cancel it; a quiet one is not announced to screen readers. */
  /** @type {<T>(title: string, job: (options: JobOptions) => Promise<T>, quiet?: boolean) => Promise<T>} */
  async work(title, job, quiet = false) {
    /** @type {Job} */
    const own = {
      controller: new AbortController(), title, quiet, began: performance.now(), waits: "", step: 0, steps: 0,
    };
    this.running.add(own);
    this.show();
    /** @param {Progress} progress */
    const onProgress = ({ step, steps, position, busy }) => {
      own.waits = busy ? WORK.busy(busy) : "";
      if (position !== undefined && position !== null) own.waits = WORK.waits;
      Object.assign(own, { step, steps });
      this.show();
    };
    // A long job shows its progress and its time.
    const clock = setInterval(() => this.show(), 1000);
    try {
      return await job({ onProgress, signal: own.controller.signal });
    } finally {
      clearInterval(clock);
      this.running.delete(own);
      this.show();
    }
  }

  show() {
    const { newest } = this;
    if (!newest) passFocus($("busy"), $("stage"));
    $("busy").hidden = !newest;
    document.documentElement.dataset.busy = String(Boolean(newest));
    if (!newest) return;
    const { title, waits, step, steps } = newest;
    const seconds = Math.round((performance.now() - newest.began) / 1000);
    const far = seconds >= LONG ? WORK.far(Math.max(1, step), steps || 1, seconds) : "";
    $("busy-text").textContent = WORK.now(title, waits || far);
    const bar = /** @type {HTMLProgressElement} */ ($("busy-bar"));
    // The progress within a single step is not known.
    bar.hidden = !(steps > 1);
    bar.value = steps ? Math.max(0, step - 0.5) / steps : 0;
    if (!newest.quiet && this.said !== newest) announce(title);
    this.said = newest;
  }
}
