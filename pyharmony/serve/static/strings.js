// Every sentence of the page that is not in index.html: a translation replaces these files and names.js alone.

/** @import { Size } from "./geometry.js" */

/** @param {number} value */
const percent = (value) => `${value} percent`;
/** Whether the page is used by fingers; a worker does not know, and shows nothing. */
const isTouched = Boolean(globalThis.matchMedia?.("(pointer: coarse)").matches);
const [CLICK, CLICKED] = isTouched ? ["Tap", "tap"] : ["Click", "click"];
/** @param {number} seconds */
const time = (seconds) => (seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`);
/** @param {Size} size */
const size = ({ width, height }) => `${width} × ${height}`;

/** The start: the slots of each way, and messages about files. */
export const START = {
  "apply-edit": {
    help: "An AI has edited your photograph. What it changed goes back into it; every other pixel stays as it was.",
    background: ["Photograph", "as it was"],
    edited: ["AI edit", "as it came back"],
  },
  compose: {
    help: "A person or object of the first photo is put into the second.",
    subject: ["Photo to take from", "the person or object you want"],
    background: ["Photo to put into", "where they belong"],
    photos: ["Photos of the recipe", "all of them"],
  },
  harmonize: {
    help: "You have a composite already. The light and colour of the object are matched to the rest.",
    composite: ["Composite", "the picture as it is"],
    mask: ["Mask", "white where something was put in"],
  },
  blend: {
    help: "The part of the source under the mask is blended into the destination, without a seam.",
    source: ["Source", "what is put in"],
    mask: ["Mask", "white on what is put in"],
    background: ["Destination", "what it goes into"],
  },
  merge: {
    help: "Photos of one place, each with other people: the result has them all.",
    photos: ["Photos of one place", "two or more"],
  },
  remove: {
    help: "A person or thing is taken out of the photo. What is around it continues in its place.",
    background: ["Photo", "with what is in the way"],
  },
  upload: "Upload",
  cancelUpload: "Cancel",
  uploadCancelled: "The upload was cancelled",
  tooLarge: (/** @type {string} */ name, /** @type {number} */ megabytes) => (
    `${name} is larger than ${megabytes} MB, the limit here.`),
  limits: (/** @type {number} */ megabytes, /** @type {number} */ megapixels) => (
    `Up to ${megabytes} MB and ${megapixels} megapixels each`),
  photos: (/** @type {number} */ count) => `${count} photos`,
  addAnother: "One photo is there. Add another one of the same place.",
  notUsed: (/** @type {string[]} */ names) => `Not used: ${names.join(", ")}`,
  size,
  title: "pyharmony",
  draft: (/** @type {string} */ name, /** @type {string} */ step, /** @type {Date} */ date) => [
    name, `at the step “${step}”, ${date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}`,
  ],
  goOn: "Go on",
  noRecipe: (/** @type {string} */ name) => `${name} is no recipe that this page has saved.`,
  addPhotos: (/** @type {string[]} */ names) => `Add the photos of the recipe: ${names.join(", ")}`,
  noLayers: (/** @type {string} */ name) => `${name} is no OpenRaster file with layers.`,
  layerCount: (/** @type {number} */ count, /** @type {number} */ most) => (
    `The file has ${count} layers above the lowest, and 1 to ${most} can be opened.`),
  delete: "Delete",
  reduce: "Reduce it and use it",
  reducing: "Reducing it",
  cannotReduce: "This browser cannot read the file, so it cannot reduce it either. Make it smaller in another program.",
  wrongToken: "That is not the token of this service.",
  noProject: (/** @type {string} */ name) => `${name} is no project of this page, or it is damaged.`,
  newerProject: (/** @type {string} */ name) => `${name} needs a newer pyharmony, or one with more installed.`,
  linkGone: "The picture of this link is not in this browser: it was made in another one, deleted, or a week has passed.",
};

/** Errors, and the parts of all messages. */
export const TROUBLE = {
  close: "Close",
  cancelled: "Cancelled",
  unexpected: "Something on this page went wrong. Reload it and try again.",
  offline: "The service does not answer. Is it still running?",
  gone: "The service does not answer. Your work stays on this page, and continues when the service is back.",
  isBack: "The service is back.",
  forgotten: "The service no longer has the photos. Add them again.",
  lost: "The connection to the service was lost. Try again.",
  answered: (/** @type {number} */ status) => `the service answered with ${status}`,
  failed: "this failed",
  noToken: "the token is missing",
  noBlend: "The blend cannot be shown while it is dragged. The picture is computed anyway.",
};

/** The steps of each way. */
export const STEPS = {
  cut: "Cut out", place: "Place", match: "Match", blend: "Blend", changes: "Changes", save: "Save", select: "Select",
};

/** The step of segmentation, by ways: its title, a hint, and the button after it. */
/** @type {Record<string, { title: string, hint: string, next: string }>} */
export const CUT = {
  compose: { title: "Who or what do you want?", hint: `${CLICK} on who or what you want`, next: "Place it" },
  remove: { title: "Who or what is in the way?", hint: `${CLICK} on who or what is in the way`, next: "Take it away" },
};

/** The titles of jobs. */
export const WORK = {
  open: "Opening",
  cut: "Cutting out",
  people: "Looking for people",
  peopleBelow: "Looking for people in the background",
  paint: "Painting",
  mask: "Taking the mask in",
  places: "Looking for good places",
  match: "Matching light and colour",
  edit: "Looking for what was changed",
  blend: "Blending",
  remove: "Taking it away",
  full: "Making the picture at full size",
  deep: "Making the picture in 16 bits",
  layers: "Writing the layers",
  text: "Drawing the words",
  under: "Composing the subjects below",
  cutout: "Writing the cut-out",
  file: "Writing the file",
  project: "Writing the project",
  waits: "waits for its turn",
  busy: (/** @type {number} */ seconds) => `The service is busy; trying again in ${seconds} s`,
  far: (/** @type {number} */ step, /** @type {number} */ steps, /** @type {number} */ seconds) => (
    `${steps > 1 ? `step ${step} of ${steps}, ` : ""}${time(seconds)}`),
  now: (/** @type {string} */ title, /** @type {string} */ how) => (how ? `${title}: ${how}` : `${title} …`),
};

/** Messages about the image, visible or for screen readers. */
export const TEXTS = {
  title: (/** @type {string} */ step) => `${step} – pyharmony`,
  step: (/** @type {string} */ step) => `Step: ${step}`,
  undone: "Undone",
  redone: "Done again",
  fullSize: (/** @type {number} */ percents) => `Full size, pixel by pixel (1); now ${percents} %`,
  atFullSize: "Full size",
  pixels: (/** @type {number} */ count) => `${count} px`,
  share: (/** @type {number | string} */ value) => `${value} %`,
  percent,
  cutFirst: `${CLICK} first on who or what you want.`,
  cutKeys: {
    click: "Arrow keys move a cross, with Shift farther; Enter points there, Shift and Enter removes. With Ctrl, "
      + "arrow keys move the view; 0 fits, 1 shows full size.",
    line: "Arrow keys move a cross, with Shift farther; Enter begins a line there, and ends it; with Shift it "
      + "removes. Escape leaves it. With Ctrl, arrow keys move the view.",
    edge: "Arrow keys move a cross, with Shift farther; Enter begins a stroke over a soft edge there, and ends it. "
      + "Escape leaves it. Square brackets change the brush. With Ctrl, arrow keys move the view.",
    paint: "Arrow keys move a cross, with Shift farther; Enter begins a stroke of the brush there, and ends it; "
      + "with Shift it removes. Escape leaves it. Square brackets change the brush. With Ctrl, arrow keys move "
      + "the view.",
  },
  placeKeys: "Arrow keys move by a pixel, with Shift by ten, and with Ctrl the view. Plus and minus change the size, "
    + "comma and full stop turn, F mirrors, B sends behind, Space shows before and after, 0 fits, 1 shows full "
    + "size.",
  saveKeys: "Arrow keys move the view, Space shows before and after, 0 fits, 1 shows full size.",
  strokeBegun: "It begins here. Continue to its end.",
  lineEnds: `${CLICK} where the line ends`,
  pointFirst: `${CLICK} first on the object.`,
  drawAround: "Draw a line around it.",
  noEffect: `The last ${CLICKED} changed nothing. Draw around the part with the lasso.`,
  nextClick: `The next ${CLICKED} uses it`,
  nothingThere: (/** @type {string} */ reason) => `Nothing was found there. ${reason}`,
  cut: "Cut out. It is shown with its outline.",
  choice: (/** @type {number} */ number, /** @type {number} */ count) => (
    `${number === 1 ? "The smallest part" : number === count ? "The most" : "More of it"}, choice ${number} of ${count}`),
  nobody: `Nobody was found. ${CLICK} on the person.`,
  person: (/** @type {number} */ number) => `Person ${number}`,
  personCut: (/** @type {number} */ number) => `Person ${number} is cut out`,
  painted: "Painted",
  edgeRefined: "The edge was refined",
  maskTaken: "The mask was taken in",
  maskRemoved: "The mask was removed",
  maskSize: (/** @type {Size} */ mask, /** @type {Size} */ photo) => (
    `The mask has ${size(mask)} pixels, its photo ${size(photo)}.`),
  maskEmpty: "The mask is empty.",
  startOver: "Nothing is selected",
  subject: (/** @type {number} */ number, /** @type {string} */ name) => `${number}. ${name}`,
  subjectActive: (/** @type {string} */ name) => `${name} is active`,
  subjectAdded: "A subject was added",
  subjectRemoved: "The subject was removed",
  subjectUp: "Moved to the front by one",
  subjectDown: "Moved to the back by one",
  bringUp: "To the front",
  sendDown: "To the back",
  hide: "Hide",
  isHidden: "Hidden",
  isShown: "Shown",
  lock: "Lock its place",
  isLocked: "Its place is locked",
  isFree: "Its place is not locked any more",
  remove: "Remove",
  cannotMove: "Its place is locked.",
  hiddenStays: "It is hidden, so it stays where it is.",
  swapped: "The photos are swapped",
  photoSize: (/** @type {Size} */ photo) => `The photo has ${size(photo)} pixels.`,
  at: (/** @type {number} */ x, /** @type {number} */ y) => `At ${Math.round(x)}, ${Math.round(y)}`,
  sized: (/** @type {number} */ value) => `Size ${percent(value)}`,
  turned: (/** @type {number} */ degrees) => `Turned by ${degrees} degrees`,
  sizedAndTurned: (/** @type {number} */ value, /** @type {number} */ degrees) => (
    `Size ${percent(value)}, turned by ${degrees} degrees`),
  moved: "Moved",
  mirrored: "Mirrored",
  inFront: "In front of everybody",
  nobodyNear: "There is nobody near who could stand in front.",
  behind: "Sent behind those who stand near",
  placeWaits: (/** @type {number} */ number) => `Place ${number} is looked for`,
  place: (/** @type {number} */ number) => `Place ${number}`,
  placeBehind: (/** @type {number} */ number) => `Place ${number}, behind somebody`,
  placesFound: (/** @type {number} */ count, /** @type {boolean} */ isUsed) => (
    `${count} places were found${isUsed ? "; the first is used" : ""}`),
  noFreePlace: "No free place beside the other subjects was found.",
  otherMethods: "Other methods",
  offers: "It stays where it was put first; these places are offers",
  notSure: (/** @type {string} */ reason) => `Not sure: ${reason}`,
  shadowMoved: "Shadow moved",
  shadowChanged: "Shadow changed",
  adjusted: "Adjusted",
  plain: "Strength 0 is the plain paste: no match, no shadow, a clean edge.",
  plainAdjusted: "Strength 0: no match and no shadow, only your corrections by hand.",
  stops: (/** @type {number} */ value) => `${value > 0 ? "+" : ""}${value.toFixed(2)} EV`,
  matchShown: "The match is shown",
  change: (/** @type {number} */ number, /** @type {number} */ share) => (
    `Change ${number + 1}: ${(100 * share).toFixed(share < 0.01 ? 2 : 1)} % of the picture`),
  changeChosen: (/** @type {number} */ number, /** @type {boolean} */ isApplied) => (
    `Change ${number + 1} is ${isApplied ? "taken" : "left out"}`),
  beforeAndAfter: "Before on the left, after on the right",
  savedAt: (/** @type {Size} */ picture) => `Saved at ${size(picture)}.`,
  saved: "The picture was saved",
  copied: "Copied.",
  cropped: (/** @type {number} */ width, /** @type {number} */ height) => `Cropped to ${width} × ${height}`,
  uncropped: "Not cropped",
  notCopied: "Here it is.",
  readsRecipe: "It reads recipe.json, which the button Recipe saves for the format that is chosen.",
  readsMask: (/** @type {string} */ name) => `It reads ${name}, which the button Mask saves.`,
  firstWords: "Your words", textAdded: "A text was added",
  noWords: "The text needs a word. Remove the subject to be rid of it.",
  snaps: {
    edge: "the edge", third: "a third", middle: "the middle", subject: "another subject", foot: "the feet of another subject",
    guide: "a guide",
  },
  movedTo: (/** @type {string} */ where, /** @type {string[]} */ snaps) => (
    snaps.length ? `${where}, on ${snaps.join(" and ")}` : where),
  snapsOn: "It snaps to lines", snapsOff: "It does not snap to lines",
  guide: (/** @type {"x" | "y"} */ axis, /** @type {number} */ number) => (
    `${number}. ${axis === "x" ? "Vertical, X" : "Horizontal, Y"}`),
  removeGuide: (/** @type {"x" | "y"} */ axis, /** @type {number} */ number) => (
    `Remove the ${axis === "x" ? "vertical" : "horizontal"} guide ${number}`),
  guideAdded: "A guide was added", guideRemoved: "The guide was removed",
  guideAt: (/** @type {number} */ at) => `The guide is at ${at}`,
  warps: "The corners of its photo can be moved", warpsNot: "The corners are not moved any more",
  warped: "A corner was moved", unwarped: "The corners are where they were",
  notConvex: "The corners would not span a plane: keep each outside of the triangle of the others.",
  sameNames: "Two of your files have one name: rename the second as shown.",
  projectKey: "Ctrl and S save the project.",
  projectSaved: "The project was saved, with its photos.",
  projectTooLarge: "The photos are too large for one file: more than 4 GB.",
  oneSubject: "Photos are added only to a composite of two photos. Go back to the start for another picture.",
  noLink: "This browser stores no pictures, so there is no link to this one.",
  linkOfFile: "The second address is the picture itself, for as long as the service keeps it.",
  backgroundLayer: (/** @type {string} */ name) => `Background: ${name}`,
  shadow: "Shadow",
  shadowAuto: "auto",
  shadowStrength: (/** @type {string} */ name) => `Strength of the shadow: ${name}`,
  hideShadow: (/** @type {string} */ name) => `Hide the shadow: ${name}`,
  curve: "Tone curve",
  addPoint: "Add a point",
  removePoint: "Remove the point",
  knotAt: (/** @type {number} */ x, /** @type {number} */ y) => `in ${x} %, out ${y} %`,
  knot: (/** @type {number} */ number, /** @type {number} */ x, /** @type {number} */ y) => (
    `Curve point ${number}, in ${x} %, out ${y} %`),
};

const LITTLE = "so they were changed only a little";
const SMALL = "Too little of it is visible to match its colours";
const LONELY = "Too little of its surroundings is visible to match its colours";
const OUTSIDE = "Its shadow would lie outside of the picture";

/** The sentences of the library's reasons on this page, by code. @type {Record<string, string>} */
const REASONS = {
  "contradicts-itself": `How its colours should change is not sure here, ${LITTLE}`,
  "little-wrong": `Its colours seem to fit already, ${LITTLE}`,
  "no-colours": `Light alone does not explain how its colours differ, ${LITTLE}`,
  "change-large": `Light alone does not explain how its colours differ, ${LITTLE}`,
  "object-small": SMALL,
  "no-background": LONELY,
  "background-small": LONELY,
  "shadow-outside": OUTSIDE,
  "reflection-outside": OUTSIDE,
  "flooded": "The colours around it flow into it. “Clean edge” with “Match its colours” avoids that",
  "clipped": "Some of its colours would be brighter than white or darker than black, and are cut off there",
  "nothing-changed": "Nothing was changed on purpose: it is your photograph",
  "enlarged": "The edit is your photograph with more pixels, and nothing else was changed",
  "enhanced": "The edit is your photograph made sharper, and nothing else was changed",
  "no-change-chosen": "No change is taken: it is your photograph",
  "outpainted": "The edit shows more than your photograph, which is not in the picture",
  "recolored": "The edit has other colours all over, which were undone",
  "vague-outline": `Parts of the cut-out are a guess. ${CLICK} what is missing, or draw around it with the lasso`,
  "several-meant": `Several things may be meant. ${CLICK} what is missing, or draw around it with the lasso`,
  "below-contact": "No shadow: the ground under it is not visible",
  "large-hole": "It is a large part of the photo, which was filled from the rest and may not look right",
};

/** Returns a reason of the library as a sentence, without its full stop; the library's text if it has no entry here. */
/** @type {(text: string, code?: string) => string} */
export function plainly(text, code = "") {
  const words = REASONS[code] ?? text;
  return words.charAt(0).toUpperCase() + words.slice(1);
}
