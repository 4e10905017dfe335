// The page: choose a place, then play it.

import { Controls } from "./controls.js";
import { Playout } from "./playout.js";
import { Codec, State } from "./protocol.js";
import { Readout } from "./readout.js";
import { StartForm, endSession } from "./start.js";
import { Stream } from "./stream.js";

const REPORT_MS = 50;
const READOUT_MS = 250;
const $ = (id) => document.getElementById(id);

/** One session, from its ticket to its end. */
class Play {
  constructor(ticket, imageUrl) {
    this.ticket = ticket;
    this.shownId = -1;
    this.trouble = null; // a state of the readout that covers the picture once the buffer is dry
    this.readout = new Readout();
    this.readout.state("opening");
    this.readout.cover("opening");
    this.prepareScreen(imageUrl);
    this.playout = new Playout($("canvas"), ticket.frame_rate, (frame) => this.shown(frame));
    this.stream = new Stream(ticket, this);
    const pads = document.querySelectorAll(".pad");
    this.controls = new Controls($("screen"), pads, (controls) => this.steer(controls));
    this.timers = [
      setInterval(() => this.report(), REPORT_MS),
      setInterval(() => this.refresh(), READOUT_MS),
    ];
    $("untrained").hidden = ticket.trained;
  }

  prepareScreen(imageUrl) {
    const canvas = $("canvas");
    Object.assign(canvas, { width: this.ticket.width, height: this.ticket.height });
    $("stage").style.setProperty("--ratio", this.ticket.width / this.ticket.height);
    const image = new Image();
    image.src = imageUrl;
    image.decode().then(
      () => this.shownId < 0 && canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height),
      () => {},
    );
    canvas.focus();
  }

  steer(controls) {
    this.readout.press(this.controls.pressed);
    this.stream.hold(controls);
  }

  shown(frame) {
    if (this.shownId < 0) this.readout.uncover();
    this.shownId = frame.frame_id;
    this.readout.shown(frame);
  }

  refresh() {
    const { framesPerSecond, bufferedMs } = this.playout;
    this.readout.pace(framesPerSecond, bufferedMs);
    // What is buffered goes on playing while the stream is in trouble.
    if (this.trouble && bufferedMs === 0) this.readout.cover(this.trouble);
  }

  report() {
    if (this.shownId < 0) return;
    const { bufferedMs, stalledMs } = this.playout;
    this.stream.report(this.shownId + 1, Math.round(bufferedMs), Math.round(stalledMs));
  }

  // What the stream tells.

  link(isUp) {
    this.trouble = isUp ? null : "reconnecting";
    if (!isUp) this.readout.state("reconnecting");
    else if (this.shownId >= 0) this.resume();
  }

  resume() {
    this.trouble = null;
    this.readout.state(State.PLAYING);
    this.readout.uncover();
  }

  welcome(welcome) {
    this.readout.firstChunkFrames = welcome.first_chunk_frames;
    this.readout.chunkFrames = welcome.frames_per_chunk;
    if (this.shownId < 0) this.readout.cover(State.PLAYING);
  }

  frame(frame) {
    if (frame.codec !== Codec.JPEG) {
      this.stream.end({ message: `The service sends a codec (${frame.codec}) that this page does not play.`,
        hint: "Reload the page, so that it is of the service's release." }, true);
      return;
    }
    if (frame.stages) this.readout.stages(frame);
    this.playout.push(frame);
  }

  branched() {
    this.playout.flush();
  }

  status(status) {
    this.readout.state(status.state, status);
    this.readout.steps(status);
    if (this.shownId < 0) this.readout.cover(status.state, status);
    else if (status.state === State.PLAYING) this.resume();
    else this.trouble = status.state;
  }

  roundTrip(ms) {
    this.readout.network(ms);
  }

  ended(problem) {
    this.halt();
    this.readout.ended(problem);
  }

  /** Stop all that moves, but leave the last picture. */
  halt() {
    this.timers.forEach(clearInterval);
    this.controls.stop();
    this.playout.stop();
    this.readout.press(new Set());
    this.readout.light({});
  }

  leave() {
    this.stream.close("the player left");
    this.halt();
    endSession(this.ticket);
  }
}

let playing = null;

function show(view) {
  document.body.dataset.view = view;
  $("start").hidden = view !== "start";
  $("stage").hidden = view !== "stage";
  $("state").hidden = view !== "stage";
}

function leave() {
  playing?.leave();
  playing = null;
  if (document.fullscreenElement) document.exitFullscreen();
  form.describe(form.preset);
  show("start");
}

const form = new StartForm((ticket, imageUrl) => {
  show("stage");
  playing = new Play(ticket, imageUrl);
});
$("leave").addEventListener("click", leave);
$("again").addEventListener("click", leave);
$("smooth").addEventListener("click", () => {
  const isSmooth = $("canvas").classList.toggle("smooth");
  $("smooth").setAttribute("aria-pressed", String(isSmooth));
});
$("fullscreen").addEventListener("click", () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.().catch(() => {});
});
window.addEventListener("pagehide", () => playing?.leave());
