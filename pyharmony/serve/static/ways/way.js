// The interface of a way of working for the editor and the start, with defaults. The other modules here implement it.

/** @import { Picture, RunOptions } from "../api.js" */
/** @import { Doc } from "../document.js" */
/** @import { Place } from "../geometry.js" */
/** @import { Session } from "../session.js" */
/** @typedef {"cut" | "place" | "match" | "changes" | "save"} StepName */
/** @typedef {Record<string, any>} Body the body of a request to an operation */
/**
 * The images of the service, by the slots of the start.
 *
 * @typedef {object} Pictures
 * @property {Picture} [subject]
 * @property {Picture} [source]
 * @property {Picture} [background]
 * @property {Picture} [composite]
 * @property {Picture} [mask]
 * @property {Picture} [edited]
 * @property {Picture[]} [photos]
 */
/** @typedef {{ name: keyof Pictures, icon: string, many?: boolean }} Slot */
/**
 * The inputs of the generated command and Python code.
 *
 * @typedef {object} Writing
 * @property {Record<string, any>} names the names of files by their slots
 * @property {Body} body the body of the request
 * @property {(name: string) => string} read returns the name of a photo that may be converted to 16 bits first
 * @property {string} layers the name of the file of layers, if there is one
 * @property {boolean} bits whether images are converted to another depth
 */
/**
 * A way of working.
 *
 * @typedef {object} Way
 * @property {string} name
 * @property {Slot[]} slots the photos of the way
 * @property {Partial<Record<keyof Pictures, string>> | null} samples the sample photos
 * @property {[number, number] | null} sampleAt where the source of the sample photos lies
 * @property {[StepName, string][]} steps the steps and their titles
 * @property {string} toMatch the label of the button after the place
 * @property {string} work the title of the job that matches the image for the screen
 * @property {boolean} cuts whether the user segments the subject, in a step before placing it
 * @property {boolean} places whether a subject is placed on a background
 * @property {boolean} turns whether it can be rotated, mirrored and sent behind people, and casts a shadow
 * @property {boolean} layered whether the result has layers and a recipe
 * @property {(pictures: Pictures) => string} title returns the name of a picture
 * @property {(pictures: Pictures) => Partial<Doc>} first returns the initial values of the document
 * @property {(methods: string[]) => string[]} methods returns those of the service that match in this way
 * @property {(doc: Doc) => Settings} settings returns which settings there are
 * @property {(samples: Pictures) => Promise<Pictures>} fromSamples returns the images to open for sample photos
 * @property {(session: Session) => Promise<void>} begin is called when the photos are loaded
 * @property {(session: Session) => Place} firstPlace returns the initial place of the subject
 * @property {(session: Session) => boolean} isComplete returns whether there is a result to save
 * @property {(session: Session) => void} show shows the document, in all steps except segmentation
 * @property {(session: Session, result: any) => void} shown is called with the result of each preview of the whole
 * @property {(session: Session) => Promise<void>} prepare requests the preview of the document
 * @property {(session: Session, doc: Doc, side: number) => Body | null} layersBody returns the request for layers with
 *   this longer side; null: there are none
 * @property {(session: Session, place: Place) => Body | null} liveBody returns the request for live blends, without
 *   their resolution; null: there is none
 * @property {(doc: Doc) => string} liveMode returns the mode of live blends
 * @property {(session: Session, doc: Doc) => Body} resultBody returns the request for the result at full size
 * @property {(session: Session, doc: Doc, options?: RunOptions, renamed?: (text: string) => string) => Promise<Body>}
 *   fullBody returns the request for the result, which may take other requests; renamed replaces ids of photos
 * @property {(session: Session, doc: Doc) => Body} previewBody returns the request for a preview of the whole result
 * @property {(session: Session, doc: Doc, options: RunOptions) => Promise<Body>} wholeBody returns the same, after
 *   other requests if it takes them; `previewBody` tells them apart
 * @property {(writing: Writing) => { inputs: string[], options: string[] }} command returns the words of the command
 *   that computes the result, before and after the name of its file
 * @property {(writing: Writing) => { name: string, values: string[], before?: string[] }} python returns the Python
 *   call that computes the result, its arguments, and the lines before it
 */
/**
 * The settings that there are; compare: before and after; plain: a note that nothing is matched.
 *
 * @typedef {Record<"strength" | "method" | "edge" | "mask" | "compare" | "plain", boolean>} Settings
 */

/** @type {Way} */
export const WAY = {
  name: "",
  slots: [],
  samples: null,
  sampleAt: null,
  steps: [],
  toMatch: "",
  work: "",
  cuts: false,
  places: false,
  turns: false,
  layered: false,
  title({ background, composite, photos }) { return (background ?? composite ?? photos?.[0])?.name ?? ""; },
  first() { return {}; },
  methods(methods) { return methods; },
  settings() { return { strength: true, method: true, edge: false, mask: true, compare: true, plain: false }; },
  async fromSamples(samples) { return samples; },
  async begin(session) { await session.go("match"); },
  firstPlace() { throw new Error("nothing is placed"); },
  isComplete({ doc, ready }) { return Boolean(doc.place && ready); },
  show(session) { session.scene.showPlaced(); },
  shown() {},
  async prepare(session) { await session.preview.whole(); },
  layersBody() { return null; },
  liveBody() { return null; },
  liveMode() { return ""; },
  resultBody() { throw new Error("not implemented"); },
  async fullBody(session, doc, _options = {}, renamed = (text) => text) {
    return JSON.parse(renamed(JSON.stringify(this.resultBody(session, doc))));
  },
  previewBody(session, doc) { return this.resultBody(session, doc); },
  async wholeBody(session, doc) { return this.previewBody(session, doc); },
  command() { throw new Error("not implemented"); },
  python() { throw new Error("not implemented"); },
};
