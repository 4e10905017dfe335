// The page: choose a place, then play it. A link may choose already: '?ticket=…&stream=…' plays or watches a session that
// somebody else has opened, '#session=…&token=…&stream=…' is the owner's, '?snapshot=…' starts from a kept place. A page that
// is loaded again goes on with its world.

import { Owner } from "./api.js";
import { Play } from "./play.js";
import { keepWorld, takeWorld } from "./reload.js";
import { StartForm } from "./start.js";
import { supportedCodecs } from "./video.js";

const $ = (id) => document.getElementById(id);
const codecs = supportedCodecs();

let playing = null;

function show(view) {
  document.body.dataset.view = view;
  $("start").hidden = view !== "start";
  $("stage").hidden = view !== "stage";
  $("state").hidden = $("watching").hidden = view !== "stage";
}

async function play(access, options) {
  show("stage");
  playing = new Play(access, { ...options, codecs: await codecs });
  window.worldloom = playing; // for those who look at a session from the console
}

function leave() {
  playing?.leave();
  playing = null;
  if (document.fullscreenElement) document.exitFullscreen();
  form.describe(form.preset);
  form.showPlaces();
  show("start");
}

/** What the page's address asks for; it is taken out of there, because it works once or is secret. */
function invitation() {
  const query = new URLSearchParams(location.search);
  const secret = new URLSearchParams(location.hash.slice(1));
  if (query.has("ticket") || secret.has("token")) history.replaceState(null, "", location.pathname);
  const stream_url = query.get("stream") ?? secret.get("stream");
  if (query.has("ticket")) return { access: { stream_url, ticket: query.get("ticket") }, owner: null };
  if (!secret.has("token")) return null;
  const token = secret.get("token");
  return { access: { stream_url, token }, owner: new Owner({ session_id: secret.get("session"), token }) };
}

/** What the page before this one, in this tab, has left. */
function leftWorld() {
  const left = takeWorld();
  return left && { access: left.access, left, owner: left.owner && new Owner(left.owner) };
}

const left = leftWorld(); // taken also where an invitation counts more
const begun = invitation() ?? left;
const form = new StartForm(new URLSearchParams(location.search).get("snapshot"), (session, imageUrl) =>
  play(session, { owner: new Owner(session), imageUrl }));
if (begun) play(begun.access, begun);

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
$("speak").addEventListener("click", () => {
  const isOpen = document.body.classList.toggle("speaking");
  if (isOpen) $("words").focus();
});
window.addEventListener("pagehide", () => {
  const world = playing?.left();
  if (world) keepWorld(world);
  else playing?.leave();
});
// A page that comes back as it was needs nothing of that.
window.addEventListener("pageshow", (event) => event.persisted && takeWorld());
