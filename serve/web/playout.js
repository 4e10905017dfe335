// Frames on the canvas at their pace, from a small buffer that evens out their arrival.

import { Codec } from "./protocol.js";
import { Video } from "./video.js";

const START_S = 0.15; // buffered before play begins, and begins again after it ran dry
const LOW_S = 0.06; // below this, play slows down before it stops: chunks are planned to come with little more left
const SLOWEST = 0.6;
const PATIENCE_MS = 500; // play begins with less than START_S once frames have waited for so long
const PACE_WINDOW_MS = 2000;
const HELD = 4; // pictures that wait: a decoder in hardware lends only a few
const UNDERWAY = 8; // frames in a decoder, some of which give nothing before they have more

export class Playout {
  /** `shown(frame)` is called for each frame that reached the canvas, `broken()` when frames cannot be decoded. */
  constructor(canvas, frameRate, { shown, broken }) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.frameRate = frameRate;
    this.shown = shown;
    this.broken = broken;
    this.video = new Video();
    this.queue = [];
    this.isPlaying = false;
    this.waitingSince = 0;
    this.dueAt = 0;
    this.shownAt = [];
    this.dryAt = null; // when the last frame had been shown for its time
    this.stalled = 0;
    this.request = requestAnimationFrame((now) => this.tick(now));
  }

  /** Take a frame in, with its VideoFormat. One that has been shown before only makes later ones decodable. */
  push(frame, format, isSeen = false) {
    if (isSeen && format.codec !== Codec.H264) return;
    if (this.waiting === 0) this.waitingSince = performance.now();
    this.queue.push({ frame, format, isSeen, picture: null, isBegun: false, isBroken: false });
    this.feed();
  }

  /** Frames that wait to be shown. */
  get waiting() {
    return this.queue.reduce((count, entry) => count + !entry.isSeen, 0);
  }

  get bufferedMs() {
    return (this.waiting * 1000) / this.frameRate;
  }

  /** Time without a frame to show, since the first one. */
  get stalledMs() {
    return this.stalled + (this.dryAt === null ? 0 : performance.now() - this.dryAt);
  }

  /** Forget what is not shown yet. */
  flush() {
    for (const entry of this.queue) entry.picture?.close();
    this.queue = [];
    this.video.reset();
    this.isPlaying = false;
    this.resetStall();
  }

  resetStall() {
    this.stalled = this.stalledMs;
    this.dryAt = null;
  }

  /** Frames shown a second, over the last two seconds. */
  get framesPerSecond() {
    const now = performance.now();
    this.shownAt = this.shownAt.filter((time) => now - time < PACE_WINDOW_MS);
    if (this.shownAt.length < 2) return 0;
    return ((this.shownAt.length - 1) * 1000) / Math.max(now - this.shownAt[0], 1);
  }

  stop() {
    cancelAnimationFrame(this.request);
    this.flush();
  }

  /** Begin to decode what is due soon, and what it needs before. */
  feed() {
    let [held, underway] = [0, 0];
    for (const entry of this.queue) {
      if (held >= HELD || underway >= UNDERWAY) return;
      if (!entry.isBegun) this.begin(entry);
      if (entry.picture) held += 1;
      else if (!entry.isBroken) underway += 1;
    }
  }

  begin(entry) {
    entry.isBegun = true;
    this.video.decode(entry.frame, entry.format).then(
      (picture) => {
        if (this.queue.includes(entry)) entry.picture = picture;
        else picture.close();
      },
      () => {
        entry.isBroken = true;
        if (this.queue.includes(entry) && entry.format.codec === Codec.H264) this.broken();
      },
    );
  }

  tick(now) {
    this.request = requestAnimationFrame((next) => this.tick(next));
    this.dropUnseen();
    this.feed();
    const buffered = this.bufferedMs / 1000;
    if (!this.isPlaying) {
      const isPatient = buffered < START_S && now - this.waitingSince < PATIENCE_MS;
      if (this.waiting === 0 || isPatient) return;
      this.isPlaying = true;
      this.dueAt = now;
    }
    if (now < this.dueAt) return;
    if (!this.queue[0]?.picture) {
      this.isPlaying = this.queue.length > 0;
      this.dryAt ??= now;
      return;
    }
    this.resetStall();
    this.draw(this.queue.shift(), now);
    const pace = Math.max(SLOWEST, Math.min(1, buffered / LOW_S));
    const interval = 1000 / (this.frameRate * pace);
    // A tab that was hidden must not hurry through what it missed.
    this.dueAt = now - this.dueAt > 2 * interval ? now + interval : this.dueAt + interval;
  }

  /** Take from the front what is not to be shown, or cannot be. */
  dropUnseen() {
    while (this.queue[0]?.isBroken || (this.queue[0]?.isSeen && this.queue[0].picture)) {
      this.queue.shift().picture?.close();
    }
  }

  draw(entry, now) {
    this.context.drawImage(entry.picture, 0, 0, this.canvas.width, this.canvas.height);
    entry.picture.close();
    this.shownAt.push(now);
    this.shown(entry.frame);
  }
}
