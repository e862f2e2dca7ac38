// The names of choices on the page, and of the service's options; with strings.js and index.html all its words.

/** The labels of the fields of a composite, and of the arguments of groups, GROUP-ARGUMENT. */
/** @type {Record<string, string>} */
export const FIELDS = {
  sharpness: "Blur of the surroundings",
  grain: "Grain of the surroundings",
  reflection: "Reflection in water or on a floor",
  "reflection-strength": "Strength of the reflection",
  "reflection-fade": "Fade with height",
  "reflection-blur": "Blur with height",
  upscale: "When it is enlarged",
  seed: "Seed of the grain",
  keep_alpha: "Keep the background's transparency",
};

/** The labels of corrections by hand. @type {Record<string, string>} */
export const ADJUSTMENTS = {
  exposure: "Exposure", temperature: "Warmth", contrast: "Contrast", saturation: "Saturation", edge: "Edge, in or out",
  feather: "Soft edge",
};

/** The modes of layers. @type {Record<string, string>} */
export const LAYER_MODES = {
  normal: "Normal", multiply: "Multiply", screen: "Screen", overlay: "Overlay", darken: "Darken", lighten: "Lighten",
  "soft-light": "Soft light",
};

/** The words of fields. @type {Record<string, string>} */
export const WORDS = { auto: "Automatic", none: "Only interpolate", srgan: "Add detail", lanczos: "Lanczos", bicubic: "Bicubic" };

/** The labels of the button after the place. */
export const TO_MATCH = { compose: "Match the light", blend: "Choose the blend" };

/** The methods of segmentation: their names, and a sentence about each. @type {Record<string, [string, string]>} */
export const CUTTERS = {
  auto: ["Automatic", "A small network that recognises objects. It is the best choice for most photos."],
  clicks: ["Network of clicks", "A smaller, faster network, trained only on photos under open licences."],
  "clicks-imagenet": [
    "Network of clicks on ImageNet",
    "The automatic choice, by its name: with features trained on ImageNet.",
  ],
  grabcut: [
    "GrabCut",
    "By colours alone, without a network. It suits objects whose colours differ from their surroundings.",
  ],
  random_walker: [
    "Random walker",
    "By edges alone, without a network. It needs a click or line on each part, and others outside it.",
  ],
  "clicks-imagenet+grabcut": ["Network, then GrabCut", "The result of the network, with its contour refined by colours."],
  "clicks-imagenet+random_walker": [
    "Network, then random walker",
    "The result of the network, with its contour refined along edges of the photo.",
  ],
  "clicks-imagenet-alone": [
    "Network without poses",
    "The automatic choice without the networks that detect people by their poses.",
  ],
};

/** The labels of methods of matching, if they differ from the name. @type {Record<string, string>} */
export const METHODS = {
  auto: "Automatic", none: "Leave as it is", colorgrid: "Network for colours", reinhard: "Mean and spread (Reinhard)",
  mkl: "Linear transfer (MKL)", match_histogram: "Histogram", luminance_temperature: "Brightness and warmth",
  lalonde_efros: "Clusters of colours (Lalonde)", xue: "Best statistics (Xue)",
};

/** The blends of masks. @type {Record<string, string>} */
export const BLENDS = {
  "gaussian-poisson": "Seamless, colours kept",
  poisson: "Seamless, colours adapt",
  mixed: "Seamless, texture shows through",
  laplacian: "Soft at every scale",
  alpha: "Clean edge",
};
