// The entry of the page: the start, the editor, the way back, unfinished pictures, and the messages if the service is
// gone or needs its token.

import * as api from "./api.js";
import { $, all, buttonOf, elementOf, fields, inputs, passFocus } from "./dom.js";
import * as drafts from "./drafts.js";
import { Editor } from "./editor.js";
import { isTypedIn } from "./keys.js";
import { clear, fail, showMessage } from "./messages.js";
import * as panel from "./panel.js";
import { renewed } from "./project.js";
import { Start, usable } from "./start.js";
import { START, STEPS, TROUBLE, WORK } from "./strings.js";
import { WAYS } from "./ways/all.js";

/** @import { Draft } from "./drafts.js" */
/** @import { Pictures, StepName, Way } from "./ways/way.js" */

const editor = new Editor();
const start = new Start(open, leave);

/** Shows the start, or the editor. @param {"start" | "editor"} view */
function show(view) {
  document.body.dataset.view = view;
  $("start").hidden = view !== "start";
  $("editor").hidden = view !== "editor";
  $("start").scrollTop = 0;
}

/** Opens photos in the editor, or continues a draft. */
/** @type {(way: Way, pictures: Pictures, draft?: drafts.Started) => Promise<void>} */
async function open(way, pictures, draft = undefined) {
  clear();
  await editor.store();
  try {
    document.body.dataset.way = way.name;
    show("editor");
    await editor.open(way, pictures, start.about, draft);
  } catch (error) {
    await home();
    fail(error, "open");
  }
}

/** Closes the editor, whose picture stays as a draft, and shows the start with all of them. */
async function home() {
  const storing = document.body.dataset.view === "editor" ? editor.store() : null;
  editor.close();
  $("toasts").replaceChildren();
  // The list is from before: it would continue pictures as they were then.
  $("draft").hidden = true;
  $("draft-list").replaceChildren();
  show("start");
  document.title = START.title;
  start.choose();
  await storing;
  // Photos of the next picture may be on their way already.
  if (!editor.session && !start.isUsed) api.forget();
  await showDrafts();
}

/** Goes from the editor to the start, from where there is a way back. */
async function leave() {
  if (document.body.dataset.view !== "editor") return;
  await home();
  history.pushState(null, "", location.pathname);
}

// ---- unfinished pictures ----

/** Shows the unfinished pictures of this browser on the start. */
async function showDrafts() {
  const stored = await drafts.list().catch(() => []);
  passFocus($("draft"), inputs("#ways input:checked")[0]);
  $("draft").hidden = !stored.length;
  $("draft-list").replaceChildren(...stored.map((draft) => {
    const [name, about] = START.draft(WAYS[draft.way].title(draft.pictures), STEPS[draft.step], new Date(draft.time));
    /** @type {(text: string, run: () => void, className: string) => HTMLElement} */
    const act = (text, run, className) => {
      const one = buttonOf(text, run, className);
      one.setAttribute("aria-label", `${text}: ${name}, ${about}`);
      return one;
    };
    return elementOf(
      "li", {}, elementOf("img", { src: draft.thumb, alt: "" }),
      elementOf("p", {}, elementOf("b", {}, name), elementOf("br", {}), elementOf("small", {}, about)),
      act(START.goOn, () => goOn(draft), "second"),
      act(START.delete, () => drafts.discard(draft.key).then(showDrafts, fail), "quiet"),
    );
  }));
}

/** Continues a draft: images that the service does not have any more are uploaded again. */
/** @type {(draft: Draft, step?: StepName) => Promise<void>} */
async function goOn(draft, step = draft.step) {
  show("editor");
  try {
    const { pictures, states } = await renewed({ pictures: draft.pictures, states: draft.states }, async (id) => {
      const blob = await drafts.fileOf(id);
      const file = blob instanceof File ? blob : new File([blob], "picture");
      const picture = await api.find(id);
      if (!picture) return api.upload(file);
      api.register(id, file);
      return picture;
    });
    await open(WAYS[draft.way], pictures, { ...draft, states, step });
  } catch (error) {
    await home();
    fail(error);
  }
}

// Whichever comes first where the page is left: a phone may end it while it is hidden.
addEventListener("pagehide", () => { editor.store(); });
document.addEventListener("visibilitychange", () => { if (document.hidden) editor.store(); });
addEventListener("beforeunload", (event) => { if (editor.wouldLose) event.preventDefault(); });

// ---- the way back ----

addEventListener("popstate", async ({ state }) => {
  const { session } = editor;
  if (!state?.step) {
    if (document.body.dataset.view === "editor") await home();
    await follow();
  } else if (session) {
    await session.go(state.step).catch(fail);
    // The step may not be possible any more.
    if (session.isOpen && session.step) panel.writeAddress(session.way, session.step);
  } else {
    const draft = await drafts.load().catch(() => null);
    if (draft) await goOn(draft, state.step);
  }
});

/** Continues the picture that the address is a link to, if it is one. */
async function follow() {
  const [, link] = location.hash.match(/^#open=([\d-]+)$/) ?? [];
  if (!link) return;
  history.replaceState(null, "", location.pathname);
  const draft = (await drafts.list().catch(() => [])).find((one) => [one.link, one.key].includes(link));
  if (draft) await goOn(draft);
  else showMessage(START.linkGone, { error: true });
}

// ---- a service that is gone ----

/** @type {HTMLElement | null} */
let goneMessage = null;
api.onGone((isGone) => {
  const wasTold = goneMessage?.isConnected;
  goneMessage?.remove();
  goneMessage = isGone ? showMessage(TROUBLE.gone, { error: true }) : null;
  if (!isGone && wasTold) showMessage(TROUBLE.isBack);
});

// ---- the token ----

/** @type {Promise<void> | null} */
let asking = null;
api.onToken(() => {
  asking ??= new Promise((done) => {
    const dialog = /** @type {HTMLDialogElement} */ ($("token"));
    const form = /** @type {HTMLFormElement} */ ($("token-form"));
    dialog.showModal();
    form.onsubmit = async (event) => {
      event.preventDefault();
      if (await api.openSession(fields("token-form").token.value.trim())) {
        form.reset();
        dialog.close();
        asking = null;
        done();
      } else {
        $("token-note").textContent = START.wrongToken;
      }
    };
  });
  return asking;
});

// ---- begin ----

$("home").addEventListener("click", leave);
if (matchMedia("(pointer: coarse)").matches) {
  for (const one of all("[data-tap]")) one.textContent = one.dataset.tap ?? "";
}
/**
 * Takes files that were dropped outside of the slots, or pasted: on the start they fill the first free slot, in the
 * editor they are further subjects of a composite.
 *
 * @param {DataTransfer | null} transfer
 */
async function bring(transfer) {
  const files = [...transfer?.files ?? []];
  const { session } = editor;
  if (!files.length) return;
  if (document.body.dataset.view === "start") start.bring(files);
  else if (session && !await editor.jobs.work(WORK.open, ({ signal }) => start.openSaved(files, signal))) {
    await session.subjects.addFiles(usable(files));
  }
}
for (const kind of /** @type {const} */ (["dragover", "drop"])) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    if (kind === "drop") bring(event.dataTransfer).catch(fail);
  });
}
document.addEventListener("paste", ({ target, clipboardData }) => {
  // A text goes into the field that it is pasted into, whatever comes with it.
  if (!isTypedIn(target) || !clipboardData?.types.includes("text/plain")) bring(clipboardData).catch(fail);
});

start.choose();
api.service().then(async (about) => {
  start.showLimits(about);
  await showDrafts();
  document.documentElement.dataset.ready = "true";
  // After a reload the work goes on; another visit begins at the start.
  const draft = history.state?.step ? await drafts.load().catch(() => null) : null;
  if (draft) await goOn(draft, history.state.step);
  else await follow();
}).catch(fail);
