// One session's connection: it comes back by itself, and an event is kept and sent again until the world has applied it.

import { PROTOCOL_VERSION, State, decode, encode } from "./protocol.js";

const RETRY_MS = [200, 400, 800, 1500, 3000, 5000, 8000, 10000];
const HEARTBEAT_MS = 2000;
const SILENT_MS = 9000; // a connection on which not even heartbeats are answered is gone
const GONE = { message: "The service does not answer any more.", hint: "Check that it runs, then start again." };
const UNREADABLE = { message: "The service sent something unreadable.", hint: "Reload this page." };

/** Microseconds of a clock that goes on steadily, and on when the page is loaded again. */
export const nowUs = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

export class Stream {
  /**
   * `access` is { stream_url } with a `token` or a `ticket`, `video` a VideoRequest. Handlers: link(isUp),
   * welcome(Welcome), format(VideoFormat), frame(Frame, isSeen), applied(Applied), branched(Branched), status(Status),
   * refused(Error), roundTrip(ms), and ended(problem), where a problem is { message, hint } or null when the session came
   * to its end in good order. `left` goes on where another connection has ended: { resumeToken, nextFrameId }.
   */
  constructor(access, video, handlers, left = null) {
    this.access = access;
    this.video = video;
    this.handlers = handlers;
    this.resumeToken = left?.resumeToken ?? "";
    this.graceS = 0;
    this.pending = new Map();
    this.lastEventId = 0;
    this.nextFrameId = left?.nextFrameId ?? 0;
    this.failures = 0;
    this.problem = null;
    this.isOver = false;
    this.isWelcome = false;
    this.roundTripMs = 0;
    this.heardAt = 0;
    this.heartbeats = setInterval(() => this.beat(), HEARTBEAT_MS);
    this.connect();
  }

  connect() {
    this.isWelcome = false;
    this.socket = new WebSocket(this.access.stream_url);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.transmit({ hello: this.hello() });
    this.socket.onmessage = (event) => this.receive(event.data);
    this.socket.onclose = () => this.lost();
  }

  /** A ticket works once; after it, and wherever there is one, the resume token gets the same place back. */
  hello() {
    const { token, ticket } = this.access;
    const credential = this.resumeToken ? { resume_token: this.resumeToken } : token ? { token } : { ticket };
    const hello = { protocol_version: PROTOCOL_VERSION, client: "web", next_frame_id: this.nextFrameId };
    return { ...hello, ...credential, video: this.video };
  }

  /** Connect again at once, with another VideoRequest: the stream begins anew, with a key frame. */
  reconnect(video) {
    this.video = video;
    this.hangUp();
  }

  /** End this connection without waiting for the other side, which may be out of reach. */
  hangUp() {
    this.socket.onclose = this.socket.onmessage = null;
    this.socket.close();
    this.lost();
  }

  beat() {
    if (this.isWelcome && performance.now() - this.heardAt > SILENT_MS) this.hangUp();
    else this.send({ heartbeat: { client_time_us: nowUs() } });
  }

  /** Send an event, given by its action: it is kept until it is applied. Returns its id. */
  act(action) {
    const event = { event_id: ++this.lastEventId, client_time_us: nowUs(), ...action };
    this.pending.set(event.event_id, event);
    this.send({ event });
    return event.event_id;
  }

  /** All frames below this have been shown; how much waits behind them, and how long there was nothing to show. */
  report(nextFrameId, bufferedMs, stalledMs) {
    const report = { next_frame_id: nextFrameId, buffered_ms: bufferedMs, stalled_ms: stalledMs };
    this.send({ report: { ...report, round_trip_ms: Math.round(this.roundTripMs) } });
  }

  /** Leave for good. */
  close(reason) {
    this.send({ bye: { reason } });
    this.end(null, false);
  }

  send(message) {
    if (this.isWelcome) this.transmit(message);
  }

  transmit(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(encode("ClientMessage", message));
  }

  receive(data) {
    this.heardAt = performance.now();
    let message;
    try {
      message = decode("ServerMessage", new Uint8Array(data));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.end(UNREADABLE, true);
      return;
    }
    this.take(message);
  }

  take(message) {
    if (message.welcome) this.welcomed(message.welcome);
    else if (message.frame) this.frame(message.frame);
    else if (message.format) this.handlers.format(message.format);
    else if (message.applied) this.applied(message.applied);
    else if (message.branched) this.branched(message.branched);
    else if (message.heartbeat) this.heartbeat(message.heartbeat);
    else if (message.error) this.failed(message.error);
    else if (message.bye) this.bye(message.bye);
    else if (message.status) this.status(message.status);
  }

  welcomed(welcome) {
    this.isWelcome = true;
    this.failures = 0;
    this.problem = null;
    this.resumeToken = welcome.resume_token;
    this.graceS = welcome.grace_s;
    this.lastEventId = Math.max(this.lastEventId, welcome.last_event_id);
    for (const id of [...this.pending.keys()]) if (id <= welcome.applied_event_id) this.pending.delete(id);
    for (const event of this.pending.values()) this.transmit({ event });
    this.handlers.link(true);
    this.handlers.welcome(welcome);
  }

  /** A stream that begins anew may begin with frames that were there before. */
  frame(frame) {
    const isSeen = frame.frame_id < this.nextFrameId;
    if (!isSeen) this.nextFrameId = frame.frame_id + 1;
    this.handlers.frame(frame, isSeen);
  }

  applied(applied) {
    for (const event of applied.events) this.pending.delete(event.event_id);
    this.handlers.applied(applied);
  }

  branched(branched) {
    this.nextFrameId = Math.max(this.nextFrameId, branched.next_frame_id);
    this.handlers.branched(branched);
  }

  heartbeat({ client_time_us: sentUs }) {
    this.roundTripMs = (nowUs() - sentUs) / 1000;
    this.handlers.roundTrip(this.roundTripMs);
  }

  status(status) {
    this.handlers.status(status);
    if (status.state === State.ENDED) this.end(null, true);
  }

  failed(error) {
    if (error.event_id) {
      this.pending.delete(error.event_id);
      this.handlers.refused(error);
      return;
    }
    this.problem = error;
    // A service that has not noticed yet that a connection broke still sees the player there.
    const isPassing = error.retryable || (error.code === "player_taken" && this.resumeToken);
    if (isPassing) return;
    const hasOther = error.code === "not_authorized" && this.resumeToken && this.access.token;
    if (hasOther) this.resumeToken = "";
    else this.end(error, true);
  }

  bye({ reconnect }) {
    if (reconnect) this.hangUp();
    else this.end(this.problem, true);
  }

  lost() {
    if (this.isOver) return;
    this.isWelcome = false;
    this.handlers.link(false);
    if (this.failures >= RETRY_MS.length) {
      this.end(this.problem ?? GONE, true);
      return;
    }
    setTimeout(() => this.isOver || this.connect(), RETRY_MS[this.failures++]);
  }

  end(problem, isToBeTold) {
    if (this.isOver) return;
    this.isOver = true;
    clearInterval(this.heartbeats);
    this.socket.close();
    if (isToBeTold) this.handlers.ended(problem);
  }
}
