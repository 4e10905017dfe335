// The last chunks, side by side: a bar of stages for each, and a dot for how long its newest input took.

import { fitted } from "./map.js";

const CHUNKS = 48;
const LEAST_MS = 200;
const GAP = 2;

export const STAGES = ["queue", "plan", "retrieve", "denoise", "commit", "decode", "encode"];
export const TINTS = ["#6a7390", "#5fb3d9", "#7c8cff", "#ffc457", "#c98bff", "#74d6a0", "#ff9d7a"];

export class Graph {
  constructor(canvas) {
    this.canvas = canvas;
    this.chunks = []; // { stages: ms of each of STAGES, latency: ms or null }
    this.draw();
  }

  /** A chunk begins, or more of it is known: `stages` as StageTimes. */
  add(isNewChunk, ms) {
    if (isNewChunk || !this.chunks.length) this.chunks = [...this.chunks, { stages: ms, latency: null }].slice(-CHUNKS);
    else this.chunks.at(-1).stages = ms;
    this.draw();
  }

  latency(ms) {
    if (this.chunks.length) this.chunks.at(-1).latency = ms;
  }

  draw() {
    const context = fitted(this.canvas);
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const totals = this.chunks.map(({ stages, latency }) => Math.max(sum(stages), latency ?? 0));
    const top = Math.max(LEAST_MS, ...totals) * 1.08;
    const step = width / CHUNKS;
    this.chunks.forEach(({ stages, latency }, index) => {
      const x = width - (this.chunks.length - index) * step;
      let y = height;
      stages.forEach((ms, stage) => {
        const tall = (ms / top) * height;
        context.fillStyle = TINTS[stage];
        context.fillRect(x, (y -= tall), step - GAP, tall);
      });
      if (latency === null) return;
      context.fillStyle = "#ffffff";
      context.fillRect(x, height * (1 - latency / top) - 1, step - GAP, 2);
    });
    context.fillStyle = "#8c94a8";
    context.font = "11px system-ui, sans-serif";
    context.fillText(top >= 1000 ? `${(top / 1000).toFixed(1)} s` : `${Math.round(top)} ms`, 2, 10);
  }
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
