// One session on the stage, from its first connection to its end.

import { Controls } from "./controls.js";
import { PathMap } from "./map.js";
import { Playout } from "./playout.js";
import { Codec, Role, State } from "./protocol.js";
import { Readout } from "./readout.js";
import { Stream } from "./stream.js";
import { Tools } from "./tools.js";

const REPORT_MS = 50;
const READOUT_MS = 250;
const $ = (id) => document.getElementById(id);

export class Play {
  /**
   * `access` as a Stream's, `owner` an Owner or null, `codecs` what this browser shows, best first. `left` is what an
   * earlier page's `left()` gave: this one goes on with its world.
   */
  constructor(access, { owner = null, imageUrl = "", left = null, codecs }) {
    this.owner = owner;
    this.opening = left ? "reconnecting" : "opening";
    this.imageUrl = imageUrl;
    this.shownId = -1;
    this.videoFormat = null; // of the frames that come now
    this.playout = null;
    this.hasBegun = false; // the first Welcome has come
    this.trouble = null; // a state of the readout that covers the picture once the buffer is dry
    this.readout = new Readout();
    this.readout.state(this.opening);
    this.readout.cover(this.opening);
    this.map = new PathMap($("map"), $("map-legend"));
    this.stream = new Stream(access, videoRequest(codecs), this, left);
    this.controls = new Controls($("screen"), document.querySelectorAll(".pad"), (controls) => this.steer(controls));
    this.tools = new Tools((action) => this.stream.act(action), owner, $("canvas"));
    this.timers = [
      setInterval(() => this.report(), REPORT_MS),
      setInterval(() => this.refresh(), READOUT_MS),
    ];
  }

  /** Frames shown by codec; the page's tests look at it. */
  get decoded() {
    return this.playout?.video.decoded ?? {};
  }

  prepare({ intrinsics, frame_rate: frameRate, role, limits, trained }) {
    const canvas = $("canvas");
    const { width, height } = intrinsics ?? this.videoFormat;
    Object.assign(canvas, { width, height });
    $("stage").style.setProperty("--ratio", width / height);
    this.playout = new Playout(canvas, frameRate, {
      shown: (frame) => this.shown(frame), broken: () => this.withoutH264(),
    });
    document.body.dataset.role = role === Role.VIEWER ? "viewer" : "player";
    this.hasBegun = true;
    if (role === Role.VIEWER) this.controls.stop();
    // What was held in an earlier page is let go.
    else if (this.controls.pressed.size || this.opening === "reconnecting") this.controls.emit();
    $("words").maxLength = limits?.prompt_chars || 1000;
    $("untrained").hidden = trained;
    this.showStartImage(canvas);
    $("screen").focus();
  }

  showStartImage(canvas) {
    if (!this.imageUrl) return;
    const image = new Image();
    image.src = this.imageUrl;
    image.decode().then(
      () => this.shownId < 0 && canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height),
      () => {},
    );
  }

  steer(controls) {
    this.readout.press(this.controls.pressed);
    // Until Welcome nobody knows from which number on events are to be counted.
    if (this.hasBegun) this.stream.act({ controls });
  }

  shown(frame) {
    if (this.shownId < 0) this.readout.uncover();
    this.shownId = frame.frame_id;
    this.readout.shown(frame);
    this.map.shown(frame);
    this.tools.film.shown(frame);
  }

  refresh() {
    if (!this.playout) return;
    const { framesPerSecond, bufferedMs } = this.playout;
    this.readout.pace(framesPerSecond, bufferedMs);
    this.map.draw();
    // What is buffered goes on playing while the stream is in trouble.
    if (this.trouble && bufferedMs === 0) this.readout.cover(this.trouble);
  }

  report() {
    if (this.shownId < 0) return;
    const { bufferedMs, stalledMs } = this.playout;
    this.stream.report(this.shownId + 1, Math.round(bufferedMs), Math.round(stalledMs));
  }

  /** This browser does not decode what it said it would. */
  withoutH264() {
    if (!this.stream.video.codecs.includes(Codec.H264)) return;
    this.playout.flush();
    this.stream.reconnect(videoRequest([Codec.JPEG]));
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
    this.videoFormat = welcome.format;
    this.readout.isPlayer = welcome.role !== Role.VIEWER;
    this.readout.firstChunkFrames = welcome.first_chunk_frames;
    this.readout.chunkFrames = welcome.frames_per_chunk;
    if (!this.playout) this.prepare(welcome);
    const first = welcome.role === Role.VIEWER ? "watching" : State.PLAYING;
    if (this.shownId < 0) this.readout.cover(this.opening === "reconnecting" ? this.opening : first);
  }

  format(format) {
    this.videoFormat = format;
  }

  frame(frame, isSeen) {
    if (frame.codec !== Codec.JPEG && frame.codec !== Codec.H264) {
      this.stream.end({ message: `The service sends a codec (${frame.codec}) that this page does not play.`,
        hint: "Reload the page, so that it is of the service's release." }, true);
      return;
    }
    if (frame.stages && !isSeen) this.readout.stages(frame);
    this.playout.push(frame, this.videoFormat, isSeen);
  }

  applied(applied) {
    this.map.applied(applied);
    this.tools.applied(applied);
  }

  branched(branched) {
    this.playout.flush();
    this.map.branched(branched);
    this.tools.film.branched(branched);
  }

  refused(error) {
    this.tools.hand(error.message, error.hint, "");
  }

  status(status) {
    this.readout.state(status.state, status);
    this.readout.steps(status);
    this.readout.viewers(status.viewers);
    this.tools.showPaused(status.state === State.PAUSED);
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
    this.playout?.stop();
    this.tools.stop();
    this.readout.press(new Set());
    this.readout.light({});
  }

  /** What a page needs that is loaded instead of this one; null if there is nothing to go on with. */
  left() {
    const { access, resumeToken, graceS, isOver } = this.stream;
    if (isOver || !resumeToken) return null;
    // The newest picture is wanted again: the next page has none.
    return { access, resumeToken, graceS, nextFrameId: Math.max(0, this.shownId), owner: this.owner?.rights ?? null };
  }

  leave() {
    this.stream.close("the player left");
    this.halt();
    this.owner?.end();
  }
}

/** No more pixels than this screen has. */
function videoRequest(codecs) {
  const side = Math.round(Math.max(screen.width, screen.height) * (window.devicePixelRatio || 1));
  return { codecs, max_width: side, max_height: side };
}
