// What can be done to a world besides walking in it: say what it is, stop it, go back, keep it, share it.

import { Film } from "./film.js";

const $ = (id) => document.getElementById(id);
const SHARE_S = 3600;
const KEPT = "worldloom.snapshots";
const MAX_KEPT = 6;

/** Snapshots that were taken in this browser, newest first: { id, prompt, picture }. */
export function keptSnapshots() {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "[]");
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return [];
  }
}

/** A link to this page that opens something else in it; secrets go behind '#', which no server is told. */
export function linkTo({ query = {}, secret = {} }) {
  const link = new URL(location.pathname, location.origin);
  link.search = new URLSearchParams(query);
  link.hash = new URLSearchParams(secret);
  return link.href;
}

export class Tools {
  /** `act(action)` sends an event and returns its id; `owner` is null for who may not ask for copies. */
  constructor(act, owner, screen) {
    this.act = act;
    this.owner = owner;
    this.screen = screen;
    this.isPaused = false;
    this.saidBy = 0; // the event whose prompt is on its way
    this.film = new Film($("film"), screen, (chunk) => this.rewind(chunk));
    this.listening = new AbortController();
    this.listen();
    this.showPaused(false);
    $("film").hidden = true;
    $("said").textContent = "";
    $("handout").hidden = true;
    document.body.dataset.owner = owner ? "yes" : "no";
  }

  listen() {
    const on = (id, kind, handler) => $(id).addEventListener(kind, handler, { signal: this.listening.signal });
    on("say", "submit", (event) => {
      event.preventDefault();
      this.say($("words").value.trim());
    });
    on("pause", "click", () => this.pause(!this.isPaused));
    on("rewind", "click", () => { $("film").hidden = !$("film").hidden; });
    on("snapshot", "click", () => this.ask(() => this.snapshot()));
    on("fork", "click", () => this.ask(() => this.fork()));
    on("share", "click", () => this.ask(() => this.share()));
    on("handout-close", "click", () => { $("handout").hidden = true; });
    on("handout-copy", "click", () => this.copy());
  }

  stop() {
    this.listening.abort();
    $("film").hidden = $("handout").hidden = true;
  }

  say(text) {
    if (!text) return;
    this.saidBy = this.act({ controls: { prompt: { text } } });
    $("said").textContent = "from the next chunk on …";
    $("screen").focus();
  }

  /** The world has obeyed these events. */
  applied({ events }) {
    if (!events.some(({ event_id }) => event_id === this.saidBy)) return;
    $("said").textContent = "the world has heard it";
    $("words").placeholder = $("words").value;
    $("words").value = "";
  }

  pause(isPaused) {
    this.act(isPaused ? { pause: {} } : { play: {} });
    this.showPaused(isPaused);
  }

  showPaused(isPaused) {
    this.isPaused = isPaused;
    $("pause").setAttribute("aria-pressed", String(isPaused));
    $("pause").querySelector("span").textContent = isPaused ? "Play" : "Pause";
  }

  rewind(chunk) {
    $("film").hidden = true;
    this.act(chunk === 0 ? { reset: {} } : { rewind: { chunk } });
    if (this.isPaused) this.pause(false);
  }

  async ask(verb) {
    try {
      await verb();
    } catch (problem) {
      // What is no { message, hint } of ours is a fault of this page.
      if (problem instanceof Error) throw problem;
      this.hand(problem.message, problem.hint, "");
    }
  }

  async snapshot() {
    const { snapshot_id: id } = await this.owner.snapshot();
    const small = Object.assign(document.createElement("canvas"), { width: 224, height: 128 });
    small.getContext("2d").drawImage(this.screen, 0, 0, small.width, small.height);
    const kept = { id, prompt: "", picture: small.toDataURL("image/jpeg", 0.7) };
    localStorage.setItem(KEPT, JSON.stringify([kept, ...keptSnapshots()].slice(0, MAX_KEPT)));
    this.hand("Kept", "New worlds can start from this place; it is among the start images now.", linkTo({ query: { snapshot: id } }));
  }

  async fork() {
    const { session_id: session, token, stream_url: stream } = await this.owner.fork();
    this.hand("Forked", "A second world goes on from here. The link is the key to it.", linkTo({ secret: { session, token, stream } }));
  }

  async share() {
    const { ticket, stream_url: stream } = await this.owner.viewerTicket(SHARE_S);
    this.hand("Watch with me", "The link lets one viewer in, within an hour.", linkTo({ query: { ticket, stream } }));
  }

  hand(title, text, link) {
    $("handout-title").textContent = title;
    $("handout-text").textContent = text;
    $("handout-link").value = $("handout-open").href = link;
    $("handout-row").hidden = !link;
    $("handout-copy").textContent = "Copy";
    $("handout").hidden = false;
  }

  copy() {
    $("handout-link").select();
    // Without https there is no clipboard; the selected text can still be copied by hand.
    navigator.clipboard?.writeText($("handout-link").value).then(() => { $("handout-copy").textContent = "Copied"; }, () => {});
  }
}
