// The entry of the page: the start, the editor, and the messages if the service is gone or needs its token.

import * as api from "./api.js";
import { $, fields } from "./dom.js";
import { Editor } from "./editor.js";
import { clear, fail, showMessage } from "./messages.js";
import { Start } from "./start.js";
import { START, TROUBLE } from "./strings.js";

/** @import { Pictures, Way } from "./ways/way.js" */

const editor = new Editor();
const start = new Start(open);

/** Shows the start, or the editor. @param {"start" | "editor"} view */
function show(view) {
  document.body.dataset.view = view;
  $("start").hidden = view !== "start";
  $("editor").hidden = view !== "editor";
}

/** @type {(way: Way, pictures: Pictures) => Promise<void>} */
async function open(way, pictures) {
  clear();
  try {
    document.body.dataset.way = way.name;
    show("editor");
    await editor.open(way, pictures, start.about);
  } catch (error) {
    home();
    fail(error);
  }
}

function home() {
  editor.close();
  api.forget();
  $("toasts").replaceChildren();
  show("start");
  document.title = "pyharmony";
  history.replaceState(null, "", location.pathname);
  start.choose();
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

$("home").addEventListener("click", home);
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
api.service().then((about) => {
  start.showLimits(about);
  document.documentElement.dataset.ready = "true";
}).catch(fail);
