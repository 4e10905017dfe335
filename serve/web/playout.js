// Frames on the canvas at their pace, from a small buffer that evens out their arrival.

const START_S = 0.15; // buffered before play begins, and begins again after it ran dry
const LOW_S = 0.25; // below this, play slows down instead of stopping
const SLOWEST = 0.6;
const PATIENCE_MS = 500; // play begins with less than START_S once frames have waited for so long
const PACE_WINDOW_MS = 2000;

export class Playout {
  /** `shown(frame)` is called for each frame that reached the canvas. */
  constructor(canvas, frameRate, shown) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.frameRate = frameRate;
    this.shown = shown;
    this.queue = [];
    this.isPlaying = false;
    this.waitingSince = 0;
    this.dueAt = 0;
    this.shownAt = [];
    this.dryAt = null; // when the last frame had been shown for its time
    this.stalled = 0;
    this.request = requestAnimationFrame((now) => this.tick(now));
  }

  /** Take a frame in; its picture is decoded off the main thread. */
  push(frame) {
    const entry = { frame, bitmap: null, isBroken: false };
    if (this.queue.length === 0) this.waitingSince = performance.now();
    this.queue.push(entry);
    createImageBitmap(new Blob([frame.data], { type: "image/jpeg" })).then(
      (bitmap) => { entry.bitmap = bitmap; },
      () => { entry.isBroken = true; },
    );
  }

  get bufferedMs() {
    return (this.queue.length * 1000) / this.frameRate;
  }

  /** Time without a frame to show, since the first one. */
  get stalledMs() {
    return this.stalled + (this.dryAt === null ? 0 : performance.now() - this.dryAt);
  }

  /** Forget what is not shown yet. */
  flush() {
    for (const entry of this.queue) entry.bitmap?.close();
    this.queue = [];
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

  tick(now) {
    this.request = requestAnimationFrame((next) => this.tick(next));
    while (this.queue[0]?.isBroken) this.queue.shift();
    const buffered = this.bufferedMs / 1000;
    if (!this.isPlaying) {
      const isPatient = buffered < START_S && now - this.waitingSince < PATIENCE_MS;
      if (this.queue.length === 0 || isPatient) return;
      this.isPlaying = true;
      this.dueAt = now;
    }
    if (now < this.dueAt) return;
    if (!this.queue[0]?.bitmap) {
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

  draw(entry, now) {
    this.context.drawImage(entry.bitmap, 0, 0, this.canvas.width, this.canvas.height);
    entry.bitmap.close();
    this.shownAt.push(now);
    this.shown(entry.frame);
  }
}
