// The entry of the page: the start, the editor, the way back, unfinished pictures, and the messages if the service is
// gone or needs its token.

import * as api from "./api.js";
import { $, all, buttonOf, elementOf, fields, inputs, passFocus } from "./dom.js";
import * as drafts from "./drafts.js";
import { Editor } from "./editor.js";
import { clear, fail, showMessage } from "./messages.js";
import * as panel from "./panel.js";
import { Start } from "./start.js";
import { START, STEPS, TROUBLE } from "./strings.js";
import { WAYS } from "./ways/all.js";

/** @import { Draft } from "./drafts.js" */
/** @import { Pictures, StepName, Way } from "./ways/way.js" */

const editor = new Editor();
const start = new Start(open);

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
    let text = JSON.stringify({ pictures: draft.pictures, states: draft.states });
    for (const id of new Set(text.match(/\b[0-9a-f]{32}\b/g))) {
      const blob = await drafts.fileOf(id);
      const file = blob instanceof File ? blob : new File([blob], "picture");
      if (await api.has(id)) api.register(id, file);
      else text = text.replaceAll(id, (await api.upload(file)).id);
    }
    /** Images are compared by identity. @type {Map<string, unknown>} */
    const pictures = new Map();
    const stored = JSON.parse(text, (_, value) => {
      if (!value?.proxy_url) return value;
      if (!pictures.has(value.id)) pictures.set(value.id, value);
      return pictures.get(value.id);
    });
    await open(WAYS[draft.way], stored.pictures, { ...draft, ...stored, step });
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
  } else if (session) {
    await session.go(state.step).catch(fail);
    // The step may not be possible any more.
    if (session.isOpen && session.step) panel.writeAddress(session.way, session.step);
  } else {
    const draft = await drafts.load().catch(() => null);
    if (draft) await goOn(draft, state.step);
  }
});

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

$("home").addEventListener("click", async () => {
  if (document.body.dataset.view !== "editor") return;
  await home();
  history.pushState(null, "", location.pathname);
});
if (matchMedia("(pointer: coarse)").matches) {
  for (const one of all("[data-tap]")) one.textContent = one.dataset.tap ?? "";
}
// A photo that is dropped outside of the slots, or pasted, fills the first free slot.
for (const kind of /** @type {const} */ (["dragover", "drop"])) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    if (kind === "drop" && document.body.dataset.view === "start") start.bring(event.dataTransfer?.files ?? []);
  });
}
document.addEventListener("paste", (event) => {
  if (document.body.dataset.view === "start") start.bring(event.clipboardData?.files ?? []);
});

start.choose();
api.service().then(async (about) => {
  start.showLimits(about);
  await showDrafts();
  document.documentElement.dataset.ready = "true";
  // After a reload the work goes on; another visit begins at the start.
  const draft = history.state?.step ? await drafts.load().catch(() => null) : null;
  if (draft) await goOn(draft, history.state.step);
}).catch(fail);
