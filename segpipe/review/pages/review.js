"use strict";
// Review: the page of a case. Keys, ratings, time at work, and the next case ahead.

(() => {
  const IDLE_S = 60; // after this time without a sign of the reader, no time is counted
  const by = (id) => document.getElementById(id);
  const keys = [
    ["a b c", "show the masks of this letter"],
    ["h", "the image only"],
    ["o", "outlines or fills"],
    ["- +", "opacity"],
    ["w", "next window"],
    ["l", "next layout"],
    ["i", "next channel of the image, where it has several"],
    ["\u2191 \u2193", "slices up and down the body"],
    ["\u2190 \u2192", "slices to the sides"],
    ["PageUp PageDown", "slices to front and back"],
    ["d", "mark the cross and measure the distance from there, or no more"],
    ["n p", "next and previous place where the two letters differ"],
    ["v", "compare other two letters"],
    ["s Shift+s", "next and previous structure"],
    ["4 3 2 1", "rate the structure of the shown letter: as it is, minor, major, unacceptable"],
    ["0", "it cannot be judged"],
    ["x", "artefact at the structure"],
    ["m", "comment on the structure; Escape leads back"],
    ["Ctrl+Enter", "store and go on"],
    ["e", "edit the reference, or end it; once all your readings are signed"],
    ["[ ]", "editing: smaller and larger brush"],
    ["Space Shift+Space", "editing: paint and erase at the cross, as the left mouse button does in any plane"],
    ["r", "editing: rub out instead of painting"],
    ["u", "editing: undo the last stroke"],
    ["z", "editing: begin with an empty mask, or with the reference again"],
    ["k", "editing: send the correction"],
    ["f", "editing: send a mask that another program corrected"],
    ["q", "back to the queue"],
    ["?", "these keys"],
  ];
  const ENDED = "your session has ended. Log in in another window, then send this again.";
  const cache = new Map(); // address of a file -> its bytes, for this case and the next
  let viewer = null;
  let brush = null;
  let previous = null;
  let state = null; // of the case that is shown
  let seconds = 0;
  let lastSign = Date.now();

  const json = (name) => JSON.parse(by("panel").dataset[name]);
  const stored = () => Boolean(by("form")); // false in a bundle, which is read only
  const rows = () => [...document.querySelectorAll(".structure")];
  const shut = () => by("panel").dataset.barred; // why nothing can be corrected; empty if it can
  const press = (name, on) => document.querySelector(`[data-do="${name}"]`)?.setAttribute("aria-pressed", on);

  function bytes(address) {
    if (!cache.has(address)) cache.set(address, address.endsWith(".js") ? fromScript(address) : fromServer(address));
    return cache.get(address);
  }

  async function fromServer(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer.arrayBuffer();
  }

  // A page that was opened from a folder may fetch nothing: its data are scripts, which
  // call window.bundled with their own address and a file in base64.
  const waiting = new Map();
  window.bundled = (address, text) => waiting.get(address)(Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer);

  function fromScript(address) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      waiting.set(address, resolve);
      script.onerror = () => reject(new Error(address));
      script.src = address;
      document.head.append(script);
    });
  }

  async function load(files) {
    const names = Object.keys(files).filter((name) => !name.endsWith("montage"));
    const parts = await Promise.all(names.map((name) => bytes(files[name])));
    return Object.fromEntries(names.map((name, place) => [name, parts[place]]));
  }

  async function begin() {
    const files = json("files");
    state = { row: 0, window: 0, pair: 0, place: -1, places: {} };
    seconds = 0;
    fillPanel();
    if (!viewer) {
      state.letter = document.querySelector(".score").dataset.letter;
      mark();
      showMontage(files);
      say("This browser has no WebGL: here is a picture of the planes.");
      return;
    }
    by("wait").hidden = false;
    by("wait").textContent = "The image is loading.";
    try {
      const started = performance.now();
      const volumes = await Viewer.read(await load(files));
      by("before").hidden = !volumes.previous;
      viewer.show(volumes, json("structures"), by("panel").dataset.unit);
      press("d", false);
      await previous.show(volumes.previous || null);
      fillBar();
      showLetter(viewer.letters[0]);
      showSizes();
      if (stored() && !shut()) viewer.addEmpty();
      by("wait").hidden = true;
      document.body.dataset.ms = Math.round(performance.now() - started);
      document.body.dataset.shown = files.image;
    } catch (error) {
      by("wait").textContent = "The image could not be shown; here is a picture of it.";
      showMontage(files);
      console.warn(error);
    }
    const ahead = json("ahead");
    const kept = new Set([...Object.values(files), ...Object.values(ahead)]);
    for (const address of [...cache.keys()]) if (!kept.has(address)) cache.delete(address);
    load(ahead).catch(() => cache.clear());
  }

  function showMontage(files) {
    if (!files.montage) return;
    for (const name of ["montage", "previous-montage"]) {
      by(name).hidden = !files[name];
      if (files[name]) by(name).src = files[name];
    }
    by("before").hidden = !files["previous-montage"];
    by("wait").hidden = !viewer;
    document.body.dataset.shown = files.montage;
  }

  function option(select, words, value) {
    const one = document.createElement("option");
    one.textContent = words;
    one.value = value;
    select.append(one);
  }

  function fillBar() {
    for (const id of ["window", "layout", "pair"]) by(id).replaceChildren();
    state.windows = [{ name: "automatic", low: null, high: null }, ...json("windows")];
    const [low, high] = viewer.fullRange();
    state.windows.push({ name: "full range", low, high });
    state.windows.forEach((one, place) => option(by("window"), one.name, place));
    const layouts = viewer.flat ? ["axial"] : Object.keys(VIEWER_LAYOUTS);
    layouts.forEach((name) => option(by("layout"), viewer.flat ? "picture" : name, name));
    by("layout").parentElement.hidden = viewer.flat;
    by("layout").value = viewer.layout;
    by("channel").replaceChildren();
    viewer.channels.forEach((name, place) => option(by("channel"), place + 1, name));
    by("channel").parentElement.hidden = viewer.channels.length < 2;
    state.pairs = viewer.letters.flatMap((one, place) => viewer.letters.slice(place + 1).map((other) => [one, other]));
    state.pairs.forEach(([one, other], place) => option(by("pair"), `${one} and ${other}`, place));
    by("pair").closest(".group").hidden = !state.pairs.length;
  }

  function fillPanel() {
    select(0);
    by("form")?.addEventListener("submit", (event) => {
      event.preventDefault();
      submit();
    });
  }

  function showSizes() {
    for (const letter of viewer.letters) {
      const sizes = viewer.sizes(letter);
      for (const place of document.querySelectorAll(`.size[data-letter="${letter}"]`)) {
        place.textContent = sizes[place.dataset.value];
      }
    }
  }

  function showLetter(letter) {
    state.letter = letter || state.letter;
    viewer?.setLetter(letter);
    for (const one of document.querySelectorAll(".letters [data-letter]")) {
      one.setAttribute("aria-pressed", one.dataset.letter === letter);
    }
    press("h", !letter);
    mark();
    showEditing();
    showWhere();
  }

  const counted = (letter) => brush.runs(letter).reduce((sum, [, length]) => sum + length, 0);

  // What is shown, and while editing, what the brush does and what waits to be sent.
  function showEditing() {
    const letter = viewer?.letter;
    let words = letter ? `Masks of ${letter}` : "Image only";
    if (!viewer) words = "The masks of all letters";
    if (brush?.on && letter) {
      const name = rows()[state.row]?.querySelector(".name").textContent;
      words = `${inWords(letter)}, editing: ${brush.erase ? "rub out" : `paint ${name}`}, brush ${brush.radius} ${viewer.unit}, ${counted(letter)} voxels changed`;
    }
    by("shown").textContent = words;
    press("r", Boolean(brush?.erase));
    press("z", Boolean(brush?.on && brush.letter === "empty"));
  }

  const inWords = (letter) => (letter === "empty" ? "New mask" : `Masks of ${letter}, the reference`);

  function edit() {
    if (shut()) {
      say(shut());
      return;
    }
    if (!viewer?.volumes) {
      say("The brush needs WebGL, which this browser does not have.");
      return;
    }
    brush.on = !brush.on;
    brush.leave();
    press("e", brush.on);
    for (const tool of by("edit-tools").children) tool.disabled = !brush.on;
    for (const one of document.querySelectorAll(".letters [data-letter]")) one.disabled = brush.on;
    for (const name of ["p", "n"]) document.querySelector(`[data-do="${name}"]`).disabled = brush.on;
    by("pair").disabled = brush.on;
    brush.letter ||= by("panel").dataset.reference || "empty";
    state.note = "";
    showLetter(brush.on || brush.letter !== "empty" ? brush.letter : viewer.letters[0]);
  }

  // A new reference begins with the reference or with an empty mask.
  function turnEmpty() {
    brush.letter = brush.letter === "empty" ? by("panel").dataset.reference || "empty" : "empty";
    showLetter(brush.letter);
  }

  function resize(change) {
    brush.radius = Math.min(Math.max(brush.radius + change, 0.5), 50);
    if (viewer.planes.brush) viewer.planes.brush.radius = brush.radius;
    viewer.planes.draw();
    showEditing();
  }

  function say(words) {
    by("wait").textContent = words;
    by("wait").hidden = !words;
  }

  function askCorrection() {
    const letter = brush.letter;
    if (!counted(letter)) {
      say("There is nothing to send: this mask is as it was delivered.");
      return;
    }
    ask(letter === "empty" ? "Sign the new mask" : `Sign the correction of ${letter}`, false);
  }

  // A mask that another program, such as 3D Slicer, corrected on the grid of the image.
  function askFile() {
    if (brush.waits()) {
      say("Strokes wait: send or undo them first.");
      return;
    }
    ask("Sign the mask of a file", true);
  }

  function ask(title, withFile) {
    by("correction-title").textContent = title;
    by("correction-file-row").hidden = !withFile;
    by("correction-file").required = withFile;
    by("correction").showModal();
  }

  async function sendCorrection(event) {
    if (event.submitter.value !== "send") return;
    const letter = brush.letter;
    const drawn = by("correction-file-row").hidden;
    const [file] = by("correction-file").files;
    const sent = drawn ? `${counted(letter)} voxels` : file.name;
    const fields = {
      letter: letter === "empty" ? null : letter,
      base: json("digests")[letter] || null,
      purpose: by("panel").dataset.purpose,
      comment: by("correction-comment").value,
      password: by("correction-password").value,
    };
    by("correction-password").value = "";
    const address = `${by("form").action}/corrections`;
    try {
      const answer = drawn ? await send(address, (csrf) => inJson({ ...fields, runs: brush.runs(letter), csrf })) : await send(`${address}/upload`, (csrf) => inForm({ ...fields, csrf }, file));
      const said = await answer.json().catch(() => ({}));
      if (!answer.ok) throw new Error(said.problem || `the server answered ${answer.status}`);
      brush.restore(letter);
      by("correction-comment").value = by("correction-file").value = "";
      say(`The correction is signed as record ${said.record}: ${sent}${amount(said)}. The mask is shown as it was delivered.`);
    } catch (error) {
      fail("The correction was not signed", error);
    }
  }

  const inJson = (fields) => ({ headers: { "content-type": "application/json" }, body: JSON.stringify(fields) });

  function inForm(fields, file) {
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) body.append(name, value ?? "");
    body.append("file", file);
    return { body };
  }

  // Added path length and changed volume, which are signed with the correction.
  function amount(said) {
    const [path, sizes, unit, length] = said.added_path_mm === null ? [said.added_path_px, said.changed_px, "px", "px"] : [said.added_path_mm, said.changed_ml, "ml", "mm"];
    const parts = Object.entries(sizes).map(([name, size]) => `${name} ${size} ${unit}`);
    return `, added path ${path} ${length}, changed ${parts.join(", ")}`;
  }

  function measure() {
    viewer.setMark(!viewer.mark);
    press("d", Boolean(viewer.mark));
    showWhere();
  }

  function mark() {
    if (brush) brush.value = Number(rows()[state.row]?.dataset.value);
    rows().forEach((row, place) => {
      row.classList.toggle("active", place === state.row);
      for (const score of row.querySelectorAll(".score")) {
        score.classList.toggle("active", place === state.row && score.dataset.letter === state.letter);
      }
    });
  }

  function select(place) {
    const all = rows();
    state.row = (place + all.length) % all.length;
    mark();
    showEditing();
    all[state.row]?.scrollIntoView({ block: "nearest" });
  }

  function showWhere() {
    if (!viewer?.letters || !viewer.voxels) return;
    previous.follow();
    const voxel = viewer.where();
    const names = Object.fromEntries(viewer.structures.map((one) => [one.value, one.name]));
    const shown = brush?.on ? [brush.letter] : viewer.letters; // a reference is drawn without a model in view
    const said = shown.map((letter) => `${letter === "empty" ? "new mask" : letter}: ${names[viewer.valueAt(letter, voxel)] || "background"}`);
    const slice = viewer.flat ? "" : `, slice ${voxel[2] + 1} of ${viewer.nk}`;
    const away = viewer.mark ? `, ${viewer.distance().toFixed(1)} ${viewer.unit} from the mark` : "";
    by("where").textContent = `${state.note || ""}At the cross${slice}${away}: ${said.join("; ")}`;
  }

  function rate(value) {
    const row = rows()[state.row];
    const field = row?.querySelector(`.score[data-letter="${state.letter}"] select`);
    if (!field || field.matches(":disabled")) return;
    field.value = value;
    const next = rows().findIndex((one) => !one.querySelector(`.score[data-letter="${state.letter}"] select`).value);
    if (next >= 0) {
      select(next);
      return;
    }
    const open = [...document.querySelectorAll(".score")].find((one) => !one.querySelector("select").value);
    if (open) {
      showLetter(open.dataset.letter);
      select(rows().indexOf(open.closest(".structure")));
    } else {
      by("store")?.focus();
    }
  }

  function jump(by_) {
    const [one, other] = state.pairs[state.pair] || [];
    if (!one || brush.on) return;
    const name = one + other;
    state.places[name] ||= viewer.differences(one, other);
    const places = state.places[name];
    if (!places.length) {
      state.note = `${one} and ${other} are the same. `;
      showWhere();
      return;
    }
    state.place = (state.place + by_ + places.length + (state.place < 0 && by_ < 0 ? 1 : 0)) % places.length;
    const { voxel, count } = places[state.place];
    state.note = `${one} and ${other} differ, place ${state.place + 1} of ${places.length}, ${viewer.size(count)}. `;
    if (![one, other].includes(viewer.letter)) showLetter(one);
    viewer.go(voxel);
  }

  const turn = (id, then) => {
    const field = by(id);
    field.selectedIndex = (field.selectedIndex + 1) % field.options.length;
    then();
  };
  const setWindow = () => {
    const one = state.windows[by("window").value];
    viewer.setWindow(one.low, one.high);
    previous.setWindow();
  };
  const setLayout = () => {
    viewer.setLayout(by("layout").value);
    previous.setLayout();
  };
  const setChannel = () => {
    viewer.setChannel(by("channel").value);
    const full = state.windows.at(-1);
    [full.low, full.high] = viewer.fullRange();
    setWindow();
  };
  const setPair = () => Object.assign(state, { pair: Number(by("pair").value), place: -1, note: "" });
  const setOpacity = () => viewer.setOpacity(by("opacity").value / 100);
  const changeOpacity = (change) => {
    by("opacity").value = Number(by("opacity").value) + change;
    setOpacity();
  };
  const letterKey = (letter) => () => viewer?.letters.includes(letter) && !brush.on && showLetter(letter);

  const does = {
    a: letterKey("A"), b: letterKey("B"), c: letterKey("C"),
    e: () => stored() && edit(),
    "[": () => brush.on && resize(-0.5), "]": () => brush.on && resize(0.5),
    " ": (event) => brush.on && brush.dabAtCross(event.shiftKey),
    r: () => {
      brush.erase = brush.on && !brush.erase;
      showEditing();
    },
    u: () => brush.on && brush.undo(),
    z: () => brush.on && turnEmpty(),
    k: () => brush.on && askCorrection(),
    f: () => brush.on && askFile(),
    h: () => showLetter(viewer.letter ? null : state.letter),
    o: () => {
      viewer.setOutlines(!viewer.outlines);
      press("o", viewer.outlines);
    },
    "-": () => changeOpacity(-10), "+": () => changeOpacity(10), "=": () => changeOpacity(10),
    w: () => turn("window", setWindow), i: () => turn("channel", setChannel), l: () => turn("layout", setLayout), v: () => turn("pair", setPair),
    ArrowUp: () => viewer.step(2, 1), ArrowDown: () => viewer.step(2, -1),
    // Radiological: the patient's right, where i is small or large, is at the left.
    ArrowLeft: () => viewer.step(0, 1), ArrowRight: () => viewer.step(0, -1),
    PageUp: () => viewer.step(1, 1), PageDown: () => viewer.step(1, -1),
    n: () => jump(1), p: () => jump(-1),
    d: measure,
    s: () => select(state.row + 1), S: () => select(state.row - 1),
    1: () => rate("1"), 2: () => rate("2"), 3: () => rate("3"), 4: () => rate("4"), 0: () => rate("none"),
    x: () => rows()[state.row]?.querySelector("[type=checkbox]").click(),
    m: () => rows()[state.row]?.querySelector(".remarks input:not([type])").focus(),
    q: () => location.assign(document.querySelector("header .home").href),
    "?": () => by("keys").showModal(),
  };
  const needsViewer = new Set([..."hovnpldwi-+=[] rukzf", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "PageUp", "PageDown"]);

  function act(name, event) {
    if (needsViewer.has(name) && !viewer?.volumes) return;
    does[name](event);
  }

  function onKey(event) {
    sign();
    const target = event.target;
    if (document.querySelector("dialog[open]")) return;
    if (event.ctrlKey && event.key === "Enter") {
      by("form")?.requestSubmit();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("input:not([type=checkbox])")) {
      if (event.key === "Escape") by("canvas").focus();
      return; // what is typed there is a comment, or moves the slider
    }
    if (target.matches("select") && /^(Arrow|Page)/.test(event.key)) return;
    if (!(event.key in does)) return;
    if (event.key === " " && !(brush?.on && target.matches("canvas, body"))) return; // it presses what has the focus
    event.preventDefault();
    event.stopPropagation();
    act(event.key, event);
  }

  async function submit() {
    const form = by("form");
    const store = by("store");
    if (!form || !store || store.disabled) return;
    by("seconds").value = seconds;
    store.disabled = true;
    const started = performance.now();
    try {
      const answer = await send(form.action, () => ({ body: new URLSearchParams(new FormData(form)) }));
      const page = parse(await answer.text());
      if (!page.getElementById("panel")) {
        if (!answer.ok) throw new Error((page.querySelector("main p") || page.body).textContent);
        location.assign(answer.url);
        return;
      }
      const counted = seconds;
      const same = by("panel").dataset.files === page.getElementById("panel").dataset.files;
      by("panel").replaceWith(page.getElementById("panel"));
      document.querySelector("header .middle").replaceWith(page.querySelector("header .middle"));
      document.title = page.title;
      if (same) {
        fillPanel();
        showSizes();
        seconds = counted;
      } else {
        history.pushState(null, "", answer.url);
        by("panel").scrollTop = 0;
        by("canvas").focus();
        await begin();
        document.body.dataset.next = Math.round(performance.now() - started);
      }
    } catch (error) {
      store.disabled = false;
      fail("Not stored", error);
    }
  }

  const parse = (text) => new DOMParser().parseFromString(text, "text/html");

  // Send what was filled in. If the session ended meanwhile, the page stays as it is: after a login
  // in another window the form needs the token of the new session, and is sent once more.
  async function send(address, build) {
    const token = by("form").elements.csrf;
    for (;;) {
      const answer = await fetch(address, { method: "POST", ...build(token.value) });
      if (![401, 403].includes(answer.status)) return answer;
      const page = parse(await (await fetch(by("form").action)).text());
      const found = page.querySelector("#form [name=csrf]")?.value;
      if (!found) throw new Error(ENDED);
      if (found === token.value) return answer;
      for (const one of document.querySelectorAll("[name=csrf]")) one.value = found;
    }
  }

  function fail(what, error) {
    say(`${what}: ${error instanceof TypeError ? "the server did not answer. Try again." : error.message}`);
    if (error.message !== ENDED) return;
    const link = document.createElement("a");
    Object.assign(link, { href: "/login", target: "_blank", textContent: "Log in" });
    by("wait").append(" ", link);
  }

  function sign() {
    lastSign = Date.now();
  }

  function count() {
    if (!document.hidden && Date.now() - lastSign < IDLE_S * 1000) seconds += 1;
  }

  async function start() {
    for (const [key, words] of keys.filter(([, words]) => (stored() && !(shut() && /^editing/.test(words))) || !/rate|judged|artefact|comment|store|edit/.test(words))) {
      for (const [tag, text] of [["dt", key], ["dd", words]]) {
        const one = document.createElement(tag);
        one.textContent = text;
        by("key-list").append(one);
      }
    }
    document.addEventListener("keydown", onKey, true);
    for (const kind of ["pointermove", "pointerdown", "wheel"]) {
      document.addEventListener(kind, sign, { passive: true, capture: true });
    }
    for (const button of document.querySelectorAll("[data-do]")) {
      button.addEventListener("click", (event) => act(button.dataset.do, event));
    }
    by("window").addEventListener("change", setWindow);
    by("layout").addEventListener("change", setLayout);
    by("channel").addEventListener("change", setChannel);
    by("pair").addEventListener("change", setPair);
    by("opacity").addEventListener("input", setOpacity);
    by("correction")?.addEventListener("submit", sendCorrection);
    window.addEventListener("beforeunload", (event) => brush?.waits() && event.preventDefault());
    window.addEventListener("popstate", () => location.reload());
    setInterval(count, 1000);
    if (Viewer.works()) {
      viewer = new Viewer(by("canvas"), by("above"), showWhere);
      brush = new Brush(viewer, viewer.planes, by("canvas"), () => { showEditing(); showWhere(); });
      await viewer.start();
      previous = new Previous(viewer, by("before-canvas"), by("before-slice"));
      window.previous = previous;
      window.viewer = viewer;
      window.brush = brush;
    }
    by("canvas").focus();
    await begin();
  }

  start();
})();
