// The page: choose a place, then play it.

import { Controls } from "./controls.js";
import { Playout } from "./playout.js";
import { Codec, State } from "./protocol.js";
import { Readout } from "./readout.js";
import { StartForm, endSession } from "./start.js";
import { Stream } from "./stream.js";

const ACK_MS = 50;
const READOUT_MS = 250;
const $ = (id) => document.getElementById(id);

/** One session, from its ticket to its end. */
class Play {
  constructor(ticket, imageUrl) {
    this.ticket = ticket;
    this.shownId = -1;
    this.acknowledgedId = -1;
    this.readout = new Readout();
    this.readout.state("opening");
    this.readout.cover("opening");
    this.prepareScreen(imageUrl);
    this.playout = new Playout($("canvas"), ticket.frame_rate, (frame) => this.shown(frame));
    this.stream = new Stream(ticket, this);
    const pads = document.querySelectorAll(".pad");
    this.controls = new Controls($("screen"), pads, (controls) => this.steer(controls));
    this.timers = [
      setInterval(() => this.acknowledge(), ACK_MS),
      setInterval(() => this.readout.pace(this.playout.framesPerSecond, this.playout.bufferedMs), READOUT_MS),
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

  acknowledge() {
    if (this.shownId <= this.acknowledgedId) return;
    this.acknowledgedId = this.shownId;
    this.stream.acknowledge(this.shownId, this.playout.bufferedMs);
  }

  // What the stream tells.

  link(isUp) {
    if (isUp && this.shownId >= 0) {
      this.readout.state(State.PLAYING);
      this.readout.uncover();
    } else if (!isUp) {
      this.readout.state("reconnecting");
      this.readout.cover("reconnecting");
    }
  }

  welcome(welcome) {
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

  status(status) {
    this.readout.state(status.state, status);
    this.readout.steps(status);
    if (this.shownId < 0 || status.state !== State.PLAYING) this.readout.cover(status.state, status);
    else this.readout.uncover();
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
  show("start");
}

new StartForm((ticket, imageUrl) => {
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
