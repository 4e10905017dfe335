// The first view: choose a place, say what it is, and open a session.

import { call, isReady, openSession } from "./api.js";
import { keptSnapshots } from "./tools.js";

const $ = (id) => document.getElementById(id);
const SEEDS = 1e6;
const POLL_MS = 1000;
const KEY = "worldloom.key"; // the operator's key, in this tab alone

export class StartForm {
  /**
   * `opened(session, imageUrl)` gets the session that was opened and the picture it starts from; `snapshot` is the id of
   * one that a link has chosen, or null.
   */
  constructor(snapshot, opened) {
    this.opened = opened;
    this.asked = snapshot;
    this.places = []; // samples, { snapshot } of kept places, { file } of an upload
    this.chosen = null;
    this.isReady = false;
    $("start").addEventListener("submit", (event) => {
      event.preventDefault();
      this.open();
    });
    this.load();
  }

  async load() {
    try {
      const [{ samples }, { presets }] = await Promise.all([call("/v1/samples"), call("/v1/presets")]);
      this.samples = samples;
      this.describe(presets[0]);
      this.showPlaces();
      this.choose(this.places.find((place) => place.snapshot && place.snapshot === this.asked) ?? this.places[0]);
      this.waitUntilReady();
    } catch (problem) {
      this.complain(problem);
    }
  }

  /** What runs here, and the seed of the world that is being played. */
  describe(preset, seed = null) {
    this.preset = preset;
    const parts = [preset.preset, `${preset.width}×${preset.height}`, `${preset.frame_rate} frames/s`];
    if (seed !== null) parts.push(`seed ${seed}`);
    $("preset").textContent = parts.join(" · ");
    $("untrained").hidden = preset.trained;
    $("prompt").maxLength = preset.prompt_chars;
  }

  async waitUntilReady() {
    this.isReady = await isReady();
    this.showButton(this.isReady ? "Start walking" : "Warming up …");
    if (!this.isReady) setTimeout(() => this.waitUntilReady(), POLL_MS);
  }

  showButton(words, isBusy = false) {
    $("go").disabled = isBusy || !this.isReady || !this.chosen;
    $("go").textContent = words;
  }

  showPlaces() {
    this.places = [...this.samples, ...this.snapshots(), ...this.places.filter((place) => place.file)];
    $("places").replaceChildren(...this.places.map((place) => this.tile(place)), this.uploadTile());
    const again = this.places.find((place) => place.name === this.chosen?.name);
    if (again) this.choose(again);
  }

  snapshots() {
    const kept = keptSnapshots();
    if (this.asked && !kept.some(({ id }) => id === this.asked)) kept.unshift({ id: this.asked, prompt: "", picture: "icon.svg" });
    return kept.map(({ id, prompt, picture }) => ({
      name: `snapshot ${id.slice(0, 6)}`, prompt, image_url: picture, snapshot: id,
    }));
  }

  tile(place) {
    const label = element("label", "place");
    const radio = element("input");
    Object.assign(radio, { type: "radio", name: "place", value: place.name });
    radio.addEventListener("change", () => this.choose(place));
    const picture = element("img");
    Object.assign(picture, { src: place.image_url, alt: place.name });
    const name = element("span");
    name.textContent = place.name.replaceAll("-", " ");
    label.append(radio, picture, name);
    place.radio = radio;
    return label;
  }

  uploadTile() {
    const label = element("label", "place upload");
    const input = element("input");
    Object.assign(input, { type: "file", accept: "image/*" });
    input.addEventListener("change", () => this.upload(input.files[0]));
    label.addEventListener("dragover", (event) => event.preventDefault());
    label.addEventListener("drop", (event) => {
      event.preventDefault();
      this.upload(event.dataTransfer.files[0]);
    });
    const words = element("span");
    words.textContent = "your own picture";
    label.append(input, element("i", "plus"), words);
    return label;
  }

  upload(file) {
    if (!file) return;
    const place = { name: file.name, prompt: "", image_url: URL.createObjectURL(file), file };
    this.places = [place];
    this.chosen = place;
    this.showPlaces();
  }

  choose(place) {
    const isOwnPrompt = $("prompt").value && $("prompt").value !== this.chosen?.prompt;
    if (!isOwnPrompt) $("prompt").value = place.prompt;
    $("prompt").placeholder = place.snapshot ? "As it was in the snapshot" : "Describe the place in the picture";
    this.chosen = place;
    place.radio.checked = true;
    if (this.isReady) this.showButton("Start walking");
  }

  async open() {
    $("problem").hidden = true;
    this.showButton("Opening …", true);
    try {
      const { seed, session } = await this.request();
      this.describe(this.preset, seed);
      this.opened(session, this.chosen.image_url);
    } catch (problem) {
      if (problem.code === "not_authorized") this.askForKey();
      else this.complain(problem);
    } finally {
      this.showButton("Start walking");
    }
  }

  /** Opens the session; its seed is null where that is a snapshot's. */
  async request() {
    const prompt = $("prompt").value;
    const { snapshot, file, name } = this.chosen;
    if (snapshot) {
      const fields = prompt ? { snapshot_id: snapshot, prompt } : { snapshot_id: snapshot };
      return { seed: null, session: await this.openWithKey(fields) };
    }
    // A seed chosen here can be shown, and typed in again.
    const seed = $("seed").value === "" ? Math.floor(Math.random() * SEEDS) : Number($("seed").value);
    const place = file ? { image: file } : { sample: name };
    return { seed, session: await this.openWithKey({ prompt, seed, ...place }) };
  }

  async openWithKey(fields) {
    const key = $("key").value || (sessionStorage.getItem(KEY) ?? "");
    const session = await openSession(fields, key);
    if (key) sessionStorage.setItem(KEY, key);
    $("key-field").hidden = true;
    return session;
  }

  /** Only who knows the operator's key opens worlds here. */
  askForKey() {
    const isWrong = Boolean($("key").value || sessionStorage.getItem(KEY));
    sessionStorage.removeItem(KEY);
    $("key").value = "";
    $("key-field").hidden = false;
    const message = isWrong ? "This is not the operator's key." : "This service opens worlds only with its operator's key.";
    this.complain({ message, hint: "Type the key below, and start again." });
    $("key").focus();
  }

  complain(problem) {
    // What is no { message, hint } of ours is a fault of this page.
    if (problem instanceof Error) throw problem;
    $("problem").hidden = false;
    $("problem").querySelector("b").textContent = problem.message;
    $("problem").querySelector("span").textContent = problem.hint;
    $("problem").scrollIntoView({ block: "nearest" });
  }
}

function element(kind, className = "") {
  const made = document.createElement(kind);
  made.className = className;
  return made;
}
