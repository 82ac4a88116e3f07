"use strict";
// Previous: the image of a previous study beside the case, in the same window and layout.
// Where both have one grid, both show the same place; else it has a slider of its own.

const PREVIOUS_APART = 0.01; // mm, or px: the same grid up to rounding

class Previous {
  constructor(viewer, canvas, slider) {
    this.viewer = viewer;
    this.canvas = canvas;
    this.slider = slider;
    this.volume = null;
    slider.addEventListener("input", () => this.go(Number(slider.value)));
  }

  async start() {
    this.nv = Viewer.build();
    await this.nv.attachToCanvas(this.canvas);
    Viewer.orient(this.nv);
    this.nv.onLocationChange = () => this.moved();
  }

  // Show the image of a case; null for none.
  async show(volume) {
    this.volume = volume;
    if (!volume) return;
    if (!this.nv) await this.start();
    const { viewer, nv } = this;
    this.linked = Previous.sameGrid(viewer.volumes.image, volume);
    nv.setIsOrientationTextVisible(viewer.unit === "mm");
    nv.volumes = [];
    nv.addVolume(volume);
    const slices = volume.dimsRAS[3];
    Object.assign(this.slider, { min: 1, max: slices, value: Math.ceil(slices / 2) });
    this.slider.parentElement.hidden = this.linked || slices === 1;
    this.setLayout();
    this.setWindow();
    if (this.linked) this.follow();
    else this.go(Number(this.slider.value));
  }

  static sameGrid(one, other) {
    const [a, b] = [one, other].map(({ hdr }) => [...hdr.dims.slice(1, 4), ...hdr.affine.flat()]);
    return a.every((number, place) => Math.abs(number - b[place]) < PREVIOUS_APART);
  }

  setLayout() {
    if (this.volume) this.nv.setSliceType(niivue.SLICE_TYPE[VIEWER_LAYOUTS[this.viewer.layout]]);
  }

  // The intensities that are black and white in the image of the case.
  setWindow() {
    if (!this.volume) return;
    const image = this.viewer.volumes[this.viewer.channel];
    [this.volume.cal_min, this.volume.cal_max] = [image.cal_min, image.cal_max];
    this.nv.updateGLVolume();
  }

  // The cross of the case was moved.
  follow() {
    if (!this.volume || !this.linked) return;
    this.nv.scene.crosshairPos = [...this.viewer.nv.scene.crosshairPos];
    this.nv.drawScene();
  }

  // The cross was moved here, by the mouse.
  moved() {
    const [i, j, k] = this.where();
    if (!this.linked) this.slider.value = k + 1;
    else if (this.viewer.where().some((at, axis) => at !== [i, j, k][axis])) this.viewer.go([i, j, k]);
  }

  where() {
    return [...this.nv.frac2vox(this.nv.scene.crosshairPos)].map(Math.round);
  }

  // Show a slice, counted from 1.
  go(slice) {
    const [i, j] = this.where();
    this.nv.scene.crosshairPos = this.nv.vox2frac([i, j, slice - 1]);
    this.nv.drawScene();
  }
}
