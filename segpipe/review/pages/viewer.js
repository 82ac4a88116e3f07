"use strict";
// Viewer: all that the review knows of NiiVue. It shows an image with one mask, always
// radiological, and counts voxels itself.

const VIEWER_COLOURS = [
  [230, 159, 0], [86, 180, 233], [0, 179, 131], [240, 228, 66],
  [111, 168, 255], [255, 119, 51], [224, 143, 192], [200, 200, 200],
];
const VIEWER_LAYOUTS = {
  "planes and 3-D": "MULTIPLANAR", axial: "AXIAL", coronal: "CORONAL", sagittal: "SAGITTAL", "3-D": "RENDER",
};

const VIEWER_LETTER = /^[A-Z]$/; // names of masks; the others are images

class Viewer {
  static works() {
    try {
      return Boolean(window.niivue && document.createElement("canvas").getContext("webgl2"));
    } catch {
      return false;
    }
  }

  static build() {
    return new niivue.Niivue({
      backColor: [0, 0, 0, 1],
      crosshairColor: [1, 1, 1, 0.7],
      crosshairWidth: 0.3,
      crosshairWidthUnit: "percent",
      fontSizeScaling: 0.5,
      fontMinPx: 16,
      fontColor: [1, 1, 1, 1],
      isNearestInterpolation: false,
      multiplanarLayout: niivue.MULTIPLANAR_TYPE.GRID, // its own choice leaves half of the stage empty
      multiplanarPadPixels: 6,
      multiplanarShowRender: niivue.SHOW_RENDER.ALWAYS,
      dragAndDropEnabled: false,
      clipPlaneHotKey: "",
      cycleClipPlaneHotKey: "",
      viewModeHotKey: "",
      logLevel: "error",
      loadingText: "",
      renderOverlayBlend: 0.9,
    });
  }

  static orient(nv) {
    nv.setRadiologicalConvention(true);
    nv.setShowAllOrientationMarkers(true);
    nv.keyDownListener = () => {};
  }

  constructor(canvas, above, onMove) {
    this.nv = Viewer.build();
    this.onMove = onMove;
    this.canvas = canvas;
    this.outlines = false;
    this.opacity = 0.5;
    this.letter = null;
    this.planes = new Planes(this, above);
  }

  async start() {
    const draw = this.nv.drawScene.bind(this.nv);
    this.nv.drawScene = (...all) => {
      const drawn = draw(...all);
      this.planes.draw();
      return drawn;
    };
    await this.nv.attachToCanvas(this.canvas);
    Viewer.orient(this.nv);
    this.nv.onLocationChange = () => this.onMove();
  }

  // Read the files of an item; nothing is shown yet.
  static async read(buffers) {
    const volumes = {};
    for (const [name, buffer] of Object.entries(buffers)) {
      const volume = await niivue.NVImage.loadFromUrl({ url: buffer, name: `${name}.nii.gz` });
      if (VIEWER_LETTER.test(name)) volume.hdr.intent_code = 1002; // a label map: nearest voxels
      volumes[name] = volume;
    }
    return volumes;
  }

  show(volumes, structures, unit) {
    this.volumes = volumes;
    this.structures = structures;
    this.unit = unit;
    this.letters = Object.keys(volumes).filter((name) => VIEWER_LETTER.test(name)).sort();
    this.channels = Object.keys(volumes).filter((name) => name.startsWith("image")).sort();
    this.ranges = Object.fromEntries(this.channels.map((name) => [name, [volumes[name].cal_min, volumes[name].cal_max]]));
    this.channel = "image";
    const image = volumes.image;
    this.shape = image.dimsRAS.slice(1, 4);
    this.spacing = unit === "px" ? [1, 1, 1] : image.pixDimsRAS.slice(1, 4);
    [this.ni, this.nj, this.nk] = this.shape;
    this.voxels = {};
    for (const letter of this.letters) this.voxels[letter] = volumes[letter].img2RAS();
    this.flat = this.nk === 1;
    this.letter = null;
    this.mark = null; // the voxel from which distances are measured
    this.nv.setIsOrientationTextVisible(unit === "mm");
    this.nv.volumes = [];
    this.nv.addVolume(image);
    this.uploaded = image;
    this.setLayout(this.flat ? "axial" : "planes and 3-D");
    this.go(this.middle());
  }

  // A mask without a voxel, as a letter of its own that is not among the others.
  addEmpty() {
    const empty = this.volumes[this.letters[0]].clone();
    empty.zeroImage();
    empty.hdr.intent_code = 1002;
    this.volumes.empty = empty;
    this.voxels.empty = empty.img2RAS();
  }

  middle() {
    return [this.ni >> 1, this.nj >> 1, this.nk >> 1];
  }

  // Show the mask of a letter, or none.
  setLetter(letter) {
    this.letter = letter;
    const mask = letter && this.volumes[letter];
    if (mask) this.paint(mask);
    const image = this.volumes[this.channel];
    this.nv.volumes = mask ? [image, mask] : [image];
    this.nv.back = image;
    this.nv.overlays = this.nv.volumes.slice(1);
    this.nv.overlayAlphaShader = this.outlines ? 0 : 1; // of fills in planes, not in 3-D
    if (mask && this.uploaded === image) {
      this.refresh();
    } else {
      this.uploaded = image;
      this.nv.updateGLVolume();
    }
  }

  // Send the mask to the graphics card, and not the image, which takes ten times as long.
  refresh() {
    this.nv.refreshColormaps();
    if (this.letter) this.nv.refreshLayers(this.volumes[this.letter], 1);
    this.nv.drawScene();
  }

  colour(place) {
    return VIEWER_COLOURS[place % VIEWER_COLOURS.length];
  }

  paint(mask) {
    const label = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: ["background"] };
    this.structures.forEach((structure, place) => {
      const [red, green, blue] = this.colour(place);
      label.R.push(red);
      label.G.push(green);
      label.B.push(blue);
      label.A.push(255);
      label.I.push(structure.value);
      label.labels.push(structure.name);
    });
    mask.setColormapLabel(label);
    mask.opacity = this.opacity;
  }

  setOutlines(on) {
    this.outlines = on;
    this.setLetter(this.letter);
  }

  setOpacity(share) {
    this.opacity = share;
    this.setLetter(this.letter);
  }

  setWindow(low, high) {
    const image = this.volumes[this.channel];
    [image.cal_min, image.cal_max] = low === null ? this.ranges[this.channel] : [low, high];
    this.nv.updateGLVolume();
  }

  setChannel(name) {
    this.channel = name;
    this.setLetter(this.letter);
  }

  fullRange() {
    const image = this.volumes[this.channel];
    return [image.global_min, image.global_max];
  }

  setLayout(name) {
    this.layout = name;
    this.nv.setSliceType(niivue.SLICE_TYPE[VIEWER_LAYOUTS[name]]);
  }

  // Where the cross is, as a voxel [i, j, k] of the RAS grid.
  where() {
    return [...this.nv.frac2vox(this.nv.scene.crosshairPos)].map(Math.round);
  }

  // Measure from the cross on, or no more.
  setMark(on) {
    this.mark = on ? this.where() : null;
    this.nv.drawScene();
  }

  // From the mark to the cross, in mm, or in px where there is no spacing.
  distance() {
    const voxel = this.where();
    return Math.hypot(...this.spacing.map((size, axis) => size * (voxel[axis] - this.mark[axis])));
  }

  go(voxel) {
    const sizes = [this.ni, this.nj, this.nk];
    const inside = voxel.map((at, axis) => Math.min(Math.max(at, 0), sizes[axis] - 1));
    this.nv.scene.crosshairPos = this.nv.vox2frac(inside);
    this.nv.createOnLocationChange();
    this.nv.drawScene();
  }

  step(axis, by) {
    const voxel = this.where();
    voxel[axis] += by;
    this.go(voxel);
  }

  index([i, j, k]) {
    return i + this.ni * (j + this.nj * k);
  }

  valueAt(letter, voxel) {
    return this.voxels[letter][this.index(voxel)];
  }

  // Place of a voxel of the RAS grid in the file, where i is the fastest axis.
  stored(letter, index) {
    const { img2RASstart: start, img2RASstep: step } = this.volumes[letter];
    const voxel = [index % this.ni, Math.floor(index / this.ni) % this.nj, Math.floor(index / (this.ni * this.nj))];
    return voxel.reduce((sum, at, axis) => sum + start[axis] + at * step[axis], 0);
  }

  // Number of a voxel of the RAS grid in C order of the file's array, where k is the fastest.
  numberInFile(letter, index) {
    const [, ni, nj, nk] = this.volumes[letter].hdr.dims;
    const at = this.stored(letter, index);
    return ((at % ni) * nj + (Math.floor(at / ni) % nj)) * nk + Math.floor(at / (ni * nj));
  }

  // Give a voxel of the RAS grid a value; repaint() shows it.
  change(letter, index, value) {
    this.voxels[letter][index] = value; // may be the same array as the next
    this.volumes[letter].img[this.stored(letter, index)] = value;
  }

  repaint() {
    if (this.waits) return;
    this.waits = requestAnimationFrame(() => {
      this.waits = 0;
      this.refresh();
    });
  }

  // Size of each structure of a letter: ml, or px where there is no spacing.
  sizes(letter) {
    const counts = new Map();
    for (const value of this.voxels[letter]) if (value) counts.set(value, (counts.get(value) || 0) + 1);
    const sizes = {};
    for (const { value, values } of this.structures) {
      sizes[value] = this.size(values.reduce((sum, one) => sum + (counts.get(one) || 0), 0));
    }
    return sizes;
  }

  size(count) {
    if (this.unit === "px") return `${count} px`;
    const [, x, y, z] = this.volumes.image.pixDimsRAS;
    if (this.flat) return `${(count * x * y).toFixed(1)} mm\u00b2`;
    return `${((count * x * y * z) / 1000).toFixed(2)} ml`;
  }

  // Connected places where two letters differ, the largest first.
  differences(one, other) {
    const [a, b] = [this.voxels[one], this.voxels[other]];
    const { ni, nj, nk } = this;
    const open = new Uint8Array(a.length);
    for (let at = 0; at < a.length; at++) open[at] = a[at] !== b[at] ? 1 : 0;
    const places = [];
    for (let first = 0; first < open.length; first++) {
      if (!open[first]) continue;
      open[first] = 0;
      const members = [first];
      for (let done = 0; done < members.length; done++) {
        const at = members[done];
        const [i, j, k] = [at % ni, Math.floor(at / ni) % nj, Math.floor(at / (ni * nj))];
        for (let z = Math.max(k - 1, 0); z <= Math.min(k + 1, nk - 1); z++)
          for (let y = Math.max(j - 1, 0); y <= Math.min(j + 1, nj - 1); y++)
            for (let x = Math.max(i - 1, 0); x <= Math.min(i + 1, ni - 1); x++) {
              const next = x + ni * (y + nj * z);
              if (open[next]) {
                open[next] = 0;
                members.push(next);
              }
            }
      }
      places.push(this.describe(members));
    }
    return places.sort((left, right) => right.count - left.count);
  }

  // The voxel to look at: in the slice with most of the place, nearest to its middle.
  describe(members) {
    const { ni, nj } = this;
    const slices = new Map();
    for (const at of members) {
      const k = Math.floor(at / (ni * nj));
      if (!slices.has(k)) slices.set(k, []);
      slices.get(k).push(at);
    }
    const [k, most] = [...slices].reduce((best, now) => (now[1].length > best[1].length ? now : best));
    const points = most.map((at) => [at % ni, Math.floor(at / ni) % nj]);
    const middle = [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
    const far = ([i, j]) => (i - middle[0]) ** 2 + (j - middle[1]) ** 2;
    const [i, j] = points.reduce((best, now) => (far(now) < far(best) ? now : best));
    return { voxel: [i, j, k], count: members.length };
  }
}

window.Viewer = Viewer;
