// Numbers and bars under the picture, the keys on it, and what covers it while nothing moves.

import { Graph, STAGES, TINTS } from "./graph.js";
import { State } from "./protocol.js";
import { nowUs } from "./stream.js";

const $ = (id) => document.getElementById(id);
const IDLE_ANGLE = 0.02;
const COVERS = {
  opening: ["Opening the world", "Connecting to the service"],
  [State.QUEUED]: ["Waiting for a free place", ""],
  [State.WARMING_UP]: ["Warming up", "The model loads its weights"],
  [State.PLAYING]: ["Making the first frames", "Press a key to choose where to go"],
  watching: ["Watching", "The player's world comes with its next pictures"],
  [State.PAUSED]: ["Paused", "The world waits"],
  [State.RECOVERING]: ["Moving your world", "Another worker takes it over; nothing is lost"],
  reconnecting: ["Reconnecting", "Your world waits where you left it"],
};
const PILLS = {
  opening: "opening", [State.QUEUED]: "queued", [State.WARMING_UP]: "warming up", [State.PLAYING]: "playing",
  [State.PAUSED]: "paused", [State.RECOVERING]: "recovering", reconnecting: "reconnecting", ended: "ended",
};

export class Readout {
  constructor() {
    this.isPlayer = true;
    this.newestEchoUs = nowUs(); // events from before are not this page's
    this.firstChunkFrames = 57;
    this.chunkFrames = 40;
    this.times = null;
    this.graph = new Graph($("graph"));
    for (const id of ["fps", "latency", "buffer", "network", "chunk"]) $(id).textContent = "–";
    $("stages").classList.add("empty");
    $("played").style.transform = "scaleX(0)";
    $("steps").replaceChildren();
    $("stage-legend").replaceChildren(...STAGES.map(() => document.createElement("li")));
    STAGES.forEach((name, index) => {
      $("stage-legend").children[index].textContent = name;
      $("stage-legend").children[index].style.setProperty("--tint", TINTS[index]);
    });
    this.viewers(0);
    this.light({});
  }

  /** `name` is a State, or 'opening', 'reconnecting', 'ended'. */
  state(name, status = null) {
    $("state").hidden = false;
    $("state").textContent = PILLS[name] ?? "";
    $("state").dataset.state = PILLS[name] ?? "";
    if (name === State.QUEUED && status?.queue_position) $("state").textContent += ` #${status.queue_position}`;
  }

  cover(name, status = null) {
    const [title, hint] = COVERS[name] ?? COVERS.opening;
    const place = name === State.QUEUED && status?.queue_position ? `Number ${status.queue_position} in the queue` : hint;
    this.setCover(title, place, "busy");
  }

  /** The end: in good order, or by a problem { message, hint }. */
  ended(problem) {
    this.state("ended");
    if (problem) this.setCover(problem.message, problem.hint, "failed");
    else this.setCover("The world has ended", "Its session is closed.", "done");
  }

  setCover(title, hint, kind) {
    $("cover").dataset.kind = kind;
    $("cover").classList.remove("gone");
    $("cover-title").textContent = title;
    $("cover-hint").textContent = hint;
    $("again").hidden = kind === "busy";
  }

  uncover() {
    $("cover").classList.add("gone");
  }

  /** Denoising steps of the chunk that is being made, in the bar and on the cover. */
  steps(status) {
    if (status.num_steps === 0) return;
    for (const place of [$("steps"), $("pips")]) {
      if (place.children.length !== status.num_steps) {
        place.replaceChildren(...Array.from({ length: status.num_steps }, () => document.createElement("i")));
      }
      [...place.children].forEach((pip, step) => pip.classList.toggle("done", step < status.step));
    }
    $("chunk").textContent = `${status.chunk + 1} · step ${status.step}/${status.num_steps}`;
  }

  /** A frame has been shown. */
  shown(frame) {
    this.light(frame.action ?? {});
    const frames = frame.position.chunk === 0 ? this.firstChunkFrames : this.chunkFrames;
    $("played").style.transform = `scaleX(${Math.min(1, (frame.position.frame + 1) / frames)})`;
    // What a viewer sees was stamped by the player's clock.
    if (this.isPlayer && frame.client_time_us > this.newestEchoUs) {
      this.newestEchoUs = frame.client_time_us;
      const latency = (nowUs() - frame.client_time_us) / 1000;
      $("latency").textContent = milliseconds(latency);
      this.graph.latency(latency);
    }
  }

  /** The pressed keys, as the world was told for the frame on screen. */
  light(action) {
    const lit = {
      forward: action.forward, back: action.back, left: action.left, right: action.right,
      look_up: action.camera_pitch < -IDLE_ANGLE, look_down: action.camera_pitch > IDLE_ANGLE,
      look_left: action.camera_yaw < -IDLE_ANGLE, look_right: action.camera_yaw > IDLE_ANGLE,
    };
    for (const cap of document.querySelectorAll("[data-key]")) cap.classList.toggle("lit", Boolean(lit[cap.dataset.key]));
  }

  /** The keys that are held down now, whether the world knows or not. */
  press(names) {
    for (const cap of document.querySelectorAll("[data-key]")) cap.classList.toggle("down", names.has(cap.dataset.key));
  }

  pace(framesPerSecond, bufferedMs) {
    $("fps").textContent = framesPerSecond ? framesPerSecond.toFixed(1) : "–";
    $("buffer").textContent = framesPerSecond ? milliseconds(bufferedMs) : "–";
  }

  viewers(count) {
    $("watching").textContent = count ? `${count} watching` : "";
  }

  network(ms) {
    $("network").textContent = milliseconds(ms);
  }

  /** Where a chunk's time went. It is decoded and encoded piece by piece: those times add up. */
  stages(frame) {
    const isNewChunk = frame.position.frame === 0 || !this.times;
    const { decode_ms, encode_ms } = isNewChunk ? { decode_ms: 0, encode_ms: 0 } : this.times;
    this.times = { ...frame.stages };
    this.times.decode_ms += decode_ms;
    this.times.encode_ms += encode_ms;
    this.showStages(this.times, isNewChunk);
  }

  showStages(times, isNewChunk) {
    const denoise = times.step_ms.reduce((sum, step) => sum + step, 0);
    const ms = STAGES.map((name) => (name === "denoise" ? denoise : times[`${name}_ms`]));
    this.graph.add(isNewChunk, ms);
    STAGES.forEach((name, index) => {
      $("stage-legend").children[index].textContent = `${name} ${milliseconds(ms[index])}`;
    });
    $("stages").classList.remove("empty");
  }
}

function milliseconds(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 10 || ms === 0 ? Math.round(ms) : ms.toFixed(1)} ms`;
}
