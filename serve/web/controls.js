// Keyboard, mouse, touch: what is held, and how far the view was dragged.

const CAMERA_STEP = 0.1; // a held camera key's angle a frame, in units of 15 degrees
const UNITS_PER_PIXEL = 0.008; // 0.12 degrees
const MOTION_MS = 50;
const MOTION_LIMIT = 24;

const KEYS = {
  KeyW: "forward", KeyS: "back", KeyA: "left", KeyD: "right",
  ArrowUp: "look_up", ArrowDown: "look_down", ArrowLeft: "look_left", ArrowRight: "look_right",
};

export class Controls {
  /** `changed(controls)` gets the fields of a Controls message whenever they change or motion is to be spent. */
  constructor(screen, pads, changed) {
    this.screen = screen;
    this.pads = pads;
    this.changed = changed;
    this.held = new Map(); // what holds a key (a keyboard code, a finger) → the key
    this.motion = { pitch: 0, yaw: 0 };
    this.drag = null;
    this.listening = new AbortController();
    this.flush = setInterval(() => this.spendMotion(), MOTION_MS);
    this.listen();
  }

  /** Names of the keys that are held now. */
  get pressed() {
    return new Set(this.held.values());
  }

  get isLocked() {
    return document.pointerLockElement === this.screen;
  }

  stop() {
    this.listening.abort();
    clearInterval(this.flush);
    if (this.isLocked) document.exitPointerLock();
  }

  listen() {
    const on = (target, kind, handler) => target.addEventListener(kind, handler, { signal: this.listening.signal });
    on(window, "keydown", (event) => this.key(event, true));
    on(window, "keyup", (event) => this.key(event, false));
    on(document, "pointerlockchange", () => this.screen.classList.toggle("grabbed", this.isLocked));
    on(window, "blur", () => this.release());
    on(document, "visibilitychange", () => document.hidden && this.release());
    for (const pad of this.pads) {
      on(pad, "pointerdown", (event) => this.finger(event));
      on(pad, "pointermove", (event) => this.held.has(event.pointerId) && this.finger(event));
      for (const kind of ["pointerup", "pointercancel"]) on(pad, kind, (event) => this.lift(event.pointerId));
      on(pad, "contextmenu", (event) => event.preventDefault());
    }
    on(this.screen, "pointerdown", (event) => this.grab(event));
    on(this.screen, "pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel"]) on(this.screen, kind, () => { this.drag = null; });
  }

  key(event, isDown) {
    const name = KEYS[event.code];
    const isTyping = event.target instanceof Element && event.target.closest("input, textarea, select");
    if (!name || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (isDown) this.hold(event.code, name);
    else this.lift(event.code);
  }

  /** A finger on a pad holds the key under it, also when it slides from key to key. */
  finger(event) {
    event.preventDefault();
    event.currentTarget.setPointerCapture(event.pointerId);
    const under = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-key]");
    if (under) this.hold(event.pointerId, under.dataset.key);
  }

  grab(event) {
    if (event.pointerType === "mouse") {
      // Refused by some browsers and frames; dragging works without it.
      this.screen.requestPointerLock?.()?.catch?.(() => {});
    }
    this.screen.setPointerCapture(event.pointerId);
    this.drag = { x: event.clientX, y: event.clientY };
  }

  move(event) {
    if (this.isLocked) {
      this.turn(event.movementX, event.movementY);
    } else if (this.drag) {
      this.turn(event.clientX - this.drag.x, event.clientY - this.drag.y);
      this.drag = { x: event.clientX, y: event.clientY };
    }
  }

  turn(right, down) {
    this.motion.yaw += right * UNITS_PER_PIXEL;
    this.motion.pitch += down * UNITS_PER_PIXEL;
  }

  hold(source, name) {
    if (this.held.get(source) === name) return;
    this.held.set(source, name);
    this.emit();
  }

  lift(source) {
    if (this.held.delete(source)) this.emit();
  }

  release() {
    if (this.held.size === 0) return;
    this.held.clear();
    this.emit();
  }

  spendMotion() {
    if (this.motion.pitch !== 0 || this.motion.yaw !== 0) this.emit();
  }

  emit() {
    const has = this.pressed;
    const limited = (motion) => Math.max(-MOTION_LIMIT, Math.min(MOTION_LIMIT, motion));
    const { pitch, yaw } = this.motion;
    this.motion = { pitch: 0, yaw: 0 };
    this.changed({
      keyboard: { forward: has.has("forward"), back: has.has("back"), left: has.has("left"), right: has.has("right") },
      mouse: {
        pitch: CAMERA_STEP * (has.has("look_down") - has.has("look_up")),
        yaw: CAMERA_STEP * (has.has("look_right") - has.has("look_left")),
        pitch_motion: limited(pitch),
        yaw_motion: limited(yaw),
      },
    });
  }
}
