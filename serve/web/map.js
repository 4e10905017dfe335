// A small map: where the camera went, and the remembered places that the newest chunk was shown.

const SPAN_CM = 400; // the map never shows less than this
const MARGIN = 18;
const CONE = 9;
const FIELD_OF_VIEW = Math.PI / 2;
const INK = { path: "#e6e9f0", old: "#ffffff38", remembered: "#8fb4ff", here: "#ffc457" };

export class PathMap {
  constructor(canvas, legend) {
    this.canvas = canvas;
    this.legend = legend;
    this.path = []; // { x, y, yaw, chunk } of the branch that is shown
    this.old = []; // paths that were left by going back
    this.remembered = [];
    this.chunks = new Map(); // what is remembered in each chunk that is not shown yet
    this.draw();
  }

  applied({ branch, chunk, remembered }) {
    this.chunks.set(`${branch} ${chunk}`, remembered);
  }

  /** The first `chunk` chunks of the branch before are those of the new one, too. */
  branched({ chunk }) {
    this.old = [...this.old, this.path].slice(-8);
    this.path = this.path.filter((place) => place.chunk < chunk);
    this.remembered = [];
  }

  shown({ camera, position }) {
    if (!camera) return;
    const place = { x: camera.x, y: camera.y, yaw: radians(camera.yaw_degrees), chunk: position.chunk };
    const last = this.path.at(-1);
    const isNear = last && last.chunk === place.chunk && this.path.length > 1
      && Math.hypot(place.x - last.x, place.y - last.y) < 1;
    if (isNear) this.path[this.path.length - 1] = place;
    else this.path.push(place);
    const key = `${position.branch} ${position.chunk}`;
    if (this.chunks.has(key)) {
      this.remembered = this.chunks.get(key);
      this.chunks.delete(key);
    }
  }

  draw() {
    const context = fitted(this.canvas);
    const place = this.projection();
    for (const path of this.old) line(context, path.map(place), INK.old);
    line(context, this.path.map(place), INK.path);
    for (const { camera, overlap } of this.remembered) {
      if (camera) cone(context, place({ ...camera, yaw: radians(camera.yaw_degrees) }), INK.remembered, 0.3 + 0.7 * overlap);
    }
    const here = this.path.at(-1);
    if (here) cone(context, place(here), INK.here, 1);
    const count = this.remembered.length;
    this.legend.textContent = count ? `${count} remembered` : "";
  }

  /** World to pixels: ahead is up, and the right is at the right. */
  projection() {
    const seen = [...this.old.flat(), ...this.path, ...this.remembered.map(({ camera }) => camera).filter(Boolean)];
    const [left, right] = range(seen.map(({ y }) => y));
    const [near, far] = range(seen.map(({ x }) => x));
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = Math.min((width - 2 * MARGIN) / (right - left), (height - 2 * MARGIN) / (far - near));
    return ({ x, y, yaw = 0 }) => ({
      x: width / 2 + (y - (left + right) / 2) * scale, y: height / 2 - (x - (near + far) / 2) * scale, yaw,
    });
  }
}

const radians = (degrees) => (degrees * Math.PI) / 180;

function range(values) {
  const [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [0, 0]);
  const missing = Math.max(0, SPAN_CM - (high - low)) / 2;
  return [low - missing, high + missing];
}

/** The canvas's context, in units of CSS pixels, wiped. */
export function fitted(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio].map(Math.round);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  return context;
}

function line(context, points, ink) {
  context.beginPath();
  points.forEach(({ x, y }, index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
  Object.assign(context, { strokeStyle: ink, lineWidth: 1.5, lineJoin: "round" });
  context.stroke();
}

function cone(context, { x, y, yaw }, ink, alpha) {
  const up = yaw - Math.PI / 2;
  context.save();
  context.globalAlpha = alpha;
  context.fillStyle = ink;
  context.beginPath();
  context.arc(x, y, 2.5, 0, 2 * Math.PI);
  context.fill();
  context.globalAlpha = alpha * 0.45;
  context.beginPath();
  context.moveTo(x, y);
  context.arc(x, y, CONE, up - FIELD_OF_VIEW / 2, up + FIELD_OF_VIEW / 2);
  context.fill();
  context.restore();
}
