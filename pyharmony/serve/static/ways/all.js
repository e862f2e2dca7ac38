// The ways of working, by their names.

import { blend } from "./blend.js";
import { compose } from "./compose.js";
import { edit } from "./edit.js";
import { harmonize } from "./harmonize.js";
import { merge } from "./merge.js";
import { remove } from "./remove.js";

/** @type {Record<string, import("./way.js").Way>} */
export const WAYS = { [edit.name]: edit, compose, harmonize, blend, merge, remove };
