// Keyboard, mouse, touch, gamepad: what is held, and how far the view was dragged.

const CAMERA_STEP = 0.1; // a held camera key's angle a frame, in units of 15 degrees
const UNITS_PER_PIXEL = 0.008; // 0.12 degrees
const MOTION_MS = 50;
const MOTION_LIMIT = 24;
const STICK_DEAD = 0.25; // of a stick's way, around its middle
const STICK_STEP = 0.05; // a stick's position is told in such steps

const KEYS = {
  KeyW: "forward", KeyS: "back", KeyA: "left", KeyD: "right",
  ArrowUp: "look_up", ArrowDown: "look_down", ArrowLeft: "look_left", ArrowRight: "look_right",
};
// The standard gamepad of the W3C: cross, and the sticks' axes.
const PAD_BUTTONS = { 12: "forward", 13: "back", 14: "left", 15: "right" };
const PAD_WALK = [[0, "left", "right"], [1, "forward", "back"]];
const PAD_YAW = 2, PAD_PITCH = 3;

export class Controls {
  /** `changed(controls)` gets the fields of a Controls message whenever they change or motion is to be spent. */
  constructor(screen, pads, changed) {
    this.screen = screen;
    this.pads = pads;
    this.changed = changed;
    this.held = new Map(); // what holds a key (a keyboard code, a finger) → the key
    this.motion = { pitch: 0, yaw: 0 };
    this.stick = { pitch: 0, yaw: 0 }; // the right stick, in [-1, 1]
    this.drag = null;
    this.listening = new AbortController();
    this.flush = setInterval(() => this.poll(), MOTION_MS);
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

  /** What tells nobody by itself that it has changed: gathered motion, and gamepads. */
  poll() {
    const isTurned = this.readGamepads();
    if (isTurned || this.motion.pitch !== 0 || this.motion.yaw !== 0) this.emit();
  }

  /** Hold what the first gamepad holds. Returns whether its right stick has moved. */
  readGamepads() {
    const pad = [...(navigator.getGamepads?.() ?? [])].find((one) => one?.mapping === "standard");
    if (!pad) return false;
    for (const [button, name] of Object.entries(PAD_BUTTONS)) this.holdIf(`pad ${button}`, name, pad.buttons[button]?.pressed);
    for (const [axis, low, high] of PAD_WALK) {
      this.holdIf(`pad ${low}`, low, pad.axes[axis] < -2 * STICK_DEAD);
      this.holdIf(`pad ${high}`, high, pad.axes[axis] > 2 * STICK_DEAD);
    }
    const stick = { pitch: stickAngle(pad.axes[PAD_PITCH]), yaw: stickAngle(pad.axes[PAD_YAW]) };
    const isTurned = stick.pitch !== this.stick.pitch || stick.yaw !== this.stick.yaw;
    this.stick = stick;
    return isTurned;
  }

  holdIf(source, name, isHeld) {
    if (isHeld) this.hold(source, name);
    else this.lift(source);
  }

  emit() {
    const has = this.pressed;
    const { pitch, yaw } = this.motion;
    this.motion = { pitch: 0, yaw: 0 };
    this.changed({
      keyboard: { forward: has.has("forward"), back: has.has("back"), left: has.has("left"), right: has.has("right") },
      mouse: {
        pitch: CAMERA_STEP * clamp(has.has("look_down") - has.has("look_up") + this.stick.pitch, 1),
        yaw: CAMERA_STEP * clamp(has.has("look_right") - has.has("look_left") + this.stick.yaw, 1),
        pitch_motion: clamp(pitch, MOTION_LIMIT),
        yaw_motion: clamp(yaw, MOTION_LIMIT),
      },
    });
  }
}

const clamp = (value, limit) => Math.max(-limit, Math.min(limit, value));

function stickAngle(position = 0) {
  const beyond = Math.max(0, Math.abs(position) - STICK_DEAD) / (1 - STICK_DEAD);
  return Math.sign(position) * Math.round(beyond / STICK_STEP) * STICK_STEP;
}
