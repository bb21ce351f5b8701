"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  let data = JSON.parse($("data").textContent);
  const storeKey = "sdclient-marks-" + data.run;
  let marks = {}, keeps = true;
  let open = -1, opener = null;

  const text = (index) => data.texts[index] || "";
  const href = (place) => "./" + place.split("/").map(encodeURIComponent).join("/");
  // A document shows again what it has shown under one address, whatever the server says: one for each image.
  const source = (card) => href(card.place) + (document.body.dataset.live ? "?" + encodeURIComponent(card.key) : "");
  const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : "'" + word.replaceAll("'", "'\"'\"'") + "'");
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const cardOf = (n) => document.querySelector(`.card[data-n="${n}"]`);

  // Marks

  function showMark(n) {
    const card = cardOf(n), mark = marks[data.cards[n].key];
    if (!card) return;
    if (mark) card.dataset.mark = mark; else delete card.dataset.mark;
    card.querySelector(".mark").textContent = mark === "keep" ? "kept" : mark === "reject" ? "rejected" : "";
  }
  // Read anew before each mark: another tab of this page may have set others since.
  function recall() {
    if (!keeps) return;
    try {
      const found = JSON.parse(localStorage.getItem(storeKey));
      marks = found && typeof found === "object" ? found : {};
    } catch { /* nothing can be read, or it is none of ours: what this page knows stays */ }
  }
  function follow(before) {
    data.cards.forEach((card, n) => { if (before[card.key] !== marks[card.key]) showMark(n); });
    pressed();
    count();
  }
  function setMark(n, mark) {
    const key = data.cards[n].key, before = marks, isTakenBack = marks[key] === mark;
    recall();
    if (isTakenBack) delete marks[key]; else marks[key] = mark;
    // Private windows keep nothing.
    try { localStorage.setItem(storeKey, JSON.stringify(marks)); } catch { keeps = false; }
    showMark(n);
    follow(before);
  }
  addEventListener("storage", (event) => {
    if (event.key !== storeKey && event.key !== null) return;
    const before = marks;
    recall();
    follow(before);
  });
  function pressed() {
    if (open < 0) return;
    const mark = marks[data.cards[open].key];
    $("keep").setAttribute("aria-pressed", String(mark === "keep"));
    $("reject").setAttribute("aria-pressed", String(mark === "reject"));
  }
  const cell = (word) => {
    const harmless = /^['\s]*[=+\-@\t]/.test(word) ? "'" + word : word;
    return /[",\n\r]/.test(harmless) ? '"' + harmless.replaceAll('"', '""') + '"' : harmless;
  };
  function save(name, lines) {
    const link = element("a", { download: name, href: URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  const marked = (which) => data.cards.filter((card) => marks[card.key] && (!which || marks[card.key] === which));
  $("export").onclick = () => save("marks.csv", ["image,mark", ...marked().map((card) => `${cell(card.place)},${marks[card.key]}`)]);
  $("rejected").onclick = () => save("rejected.csv", ["image,mark", ...marked("reject").map((card) => `${cell(card.place)},reject`)]);

  // Finding

  function visible(n) {
    const card = data.cards[n], mark = marks[card.key] || "none", wanted = $("which").value, kind = $("kind").value;
    if ((wanted && wanted !== mark) || (kind && kind !== card.kind)) return false;
    const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    const hay = () => (card.place + " " + text(card.prompt) + " " + Object.values(card.columns || {}).join(" ")).toLowerCase();
    return !words.length || words.every((word) => hay().includes(word));
  }
  function filter() {
    for (const card of document.querySelectorAll(".card")) card.hidden = !visible(Number(card.dataset.n));
    for (const group of document.querySelectorAll(".group")) group.hidden = !group.querySelector(".card:not([hidden])");
    count();
  }
  function count() {
    const shown = document.querySelectorAll(".card:not([hidden])").length;
    // Marks of images that are no longer here stay, in case they come back, and do not count.
    const kept = marked("keep").length, rejected = marked("reject").length;
    $("shown").textContent = `${shown} of ${data.cards.length} shown · ${kept} kept · ${rejected} rejected`;
  }
  let waiting = 0;
  $("find").oninput = () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); };
  $("which").onchange = $("kind").onchange = filter;

  // One image

  function fill(n) {
    open = n;
    const card = data.cards[n], list = order();
    $("sheet-name").replaceChildren(element("bdi", { dir: "ltr" }, card.name));
    $("sheet-at").textContent = `${list.indexOf(n) + 1} of ${list.length}`;
    const pile = $("pile");
    pile.className = "pile";
    pile.replaceChildren();
    if (card.state === "gone") pile.append(element("p", { className: "warn" }, "The file is gone."));
    else pile.append(element("img", { className: "after", src: card.url || source(card), alt: card.name }));
    const before = card.before;
    $("slide").hidden = !before;
    if (before) {
      pile.append(
        element("img", { className: "before", src: before.url || href(before.path), alt: "what it was drawn over" }),
        element("span", { className: "divide" }), element("span", { className: "tag left" }, "before"), element("span", { className: "tag right" }, "after"));
      slide();
    }
    $("side").replaceChildren(...about(card));
    $("side").scrollTop = 0;
    pressed();
  }
  function slide() { $("pile").style.setProperty("--cut", $("cut").value + "%"); }
  $("cut").oninput = slide;

  function about(card) {
    const parts = [];
    const words = (title, content) => content && parts.push(element("h3", {}, title), element("p", { className: "text", dir: "auto", tabIndex: 0 }, content));
    if (card.cutouts) parts.push(cutouts(card));
    words("Prompt", text(card.prompt));
    if (card.replay) parts.push(...replay(card));
    words("Negative prompt", text(card.negative));
    const list = element("dl");
    const size = card.width ? `${card.width} × ${card.height}` : "";
    const facts = { ...card.facts, server: text(card.server), size, kind: card.kind, losses: card.losses || "", file: card.place, "drawn over": card.over || "", ...card.columns };
    for (const [name, value] of Object.entries(facts)) if (value !== "") list.append(element("dt", {}, name), element("dd", { dir: "auto" }, String(value)));
    parts.push(element("h3", {}, "Facts"), list);
    for (const change of card.changed || []) parts.push(element("p", { className: "warn" }, change));
    if (card.state === "changed") parts.push(element("p", { className: "warn" }, "This is not the file that was committed: it was changed or replaced by hand."));
    return parts;
  }
  function replay(card) {
    const command = "sdclient replay " + quoted(card.place.startsWith("-") ? "./" + card.place : card.place);
    const code = element("code", { dir: "ltr" }, command);
    const button = element("button", { type: "button" }, "Copy");
    button.onclick = async () => {
      try { await navigator.clipboard.writeText(command); button.textContent = "Copied"; }
      catch { getSelection().selectAllChildren(code); button.textContent = "Selected: press Ctrl-C or ⌘C"; }
    };
    return [element("h3", {}, "Make it again"), element("p", { className: "soft" }, "In the run's own folder:"), code, button];
  }
  function cutouts(card) {
    const names = card.cutouts.names;
    const set = element("fieldset", { className: "cuts" }, element("legend", {}, `${names.length} ${names.length === 1 ? "cut-out" : "cut-outs"}: tick to see over the image`));
    const boxes = names.map((name, index) => {
      const box = element("input", { type: "checkbox" });
      box.onchange = () => toggle(card, index, box.checked);
      set.append(element("label", {}, box, String(index + 1)));
      return box;
    });
    const all = element("button", { type: "button" }, "All or none");
    all.onclick = () => {
      const on = boxes.some((box) => !box.checked);
      boxes.forEach((box) => { if (box.checked !== on) { box.checked = on; box.onchange(); } });
    };
    set.append(all, element("p", { id: "missing-cuts", className: "warn", hidden: true }, "Not all of them can be shown: their files are not beside this page."));
    return set;
  }
  function toggle(card, index, on) {
    const pile = $("pile"), id = "cutout-" + index;
    if (on) pile.append(element("img", { id, className: "cutout", src: href(card.cutouts.folder + card.cutouts.names[index]), alt: "cut-out " + (index + 1) }));
    else $(id)?.remove();
    pile.classList.toggle("dim", Boolean(pile.querySelector(".cutout")));
  }

  const order = () => [...document.querySelectorAll(".card:not([hidden])")].map((card) => Number(card.dataset.n));
  function step(by) {
    const list = order(), at = list.indexOf(open) + by;
    if (at >= 0 && at < list.length) fill(list[at]);
  }
  $("previous").onclick = () => step(-1);
  $("next").onclick = () => step(1);
  $("close").onclick = () => $("sheet").close();
  $("keep").onclick = () => setMark(open, "keep");
  $("reject").onclick = () => setMark(open, "reject");
  $("sheet").onclose = () => { const n = open; open = -1; (opener?.isConnected && opener.dataset.n === String(n) ? opener : cardOf(n)?.querySelector("a") || opener)?.focus(); };
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.(".card a, .samples a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    opener = link;
    fill(Number((link.closest(".card") || link).dataset.n));
    $("sheet").showModal();
  });
  // Letters belong to what is typed into or chosen from, arrows to the slider as well; a ticked box needs neither.
  function takesKey(at, key) {
    if (at.tagName !== "INPUT") return at.tagName === "SELECT" || at.tagName === "TEXTAREA";
    return at.type === "range" ? key.startsWith("Arrow") : at.type !== "checkbox";
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || takesKey(event.target, event.key)) return;
    const focused = event.target.closest?.(".card");
    const n = open >= 0 ? open : focused ? Number(focused.dataset.n) : -1;
    if (n < 0) return;
    if (event.key === "k" || event.key === "K") setMark(n, "keep");
    else if (event.key === "r" || event.key === "R") setMark(n, "reject");
    else if (open >= 0 && event.key === "ArrowLeft") step(-1);
    else if (open >= 0 && event.key === "ArrowRight") step(1);
    else return;
    event.preventDefault();
  });
  // A page that was sent without its images: what it carries stands in, and what it lacks leaves no hole.
  function standIn(image) {
    const pile = $("pile"), thumb = cardOf(open)?.querySelector("img")?.src || "";
    if (image.className === "before") {
      pile.querySelectorAll(".before, .divide, .tag.left, .tag.right").forEach((one) => one.remove());
      $("slide").hidden = true;
    } else if (image.className === "cutout") {
      image.remove();
      pile.classList.toggle("dim", Boolean(pile.querySelector(".cutout")));
      const missing = $("missing-cuts");
      if (missing) missing.hidden = false;
    } else if (thumb.startsWith("data:") && image.src !== thumb) {
      image.src = thumb;
      pile.append(element("span", { className: "tag low" }, "small: the image itself is not beside this page"));
    }
  }
  // A thumbnail that was not copied along: the image itself stands in.
  document.addEventListener("error", (event) => {
    if (event.target.tagName === "IMG" && event.target.closest("#pile")) standIn(event.target);
    const link = event.target.tagName === "IMG" && event.target.closest(".card a, .samples a");
    if (link && !event.target.dataset.again) { event.target.dataset.again = "yes"; event.target.src = link.getAttribute("href"); }
  }, true);

  // Live: ask the server this page comes from, and change only what has changed.

  const served = new Map([...document.querySelectorAll("[data-part]")].map((part) => [part.id, part.innerHTML]));
  function mergeParts(fresh) {
    const kind = $("kind").value, unfolded = (root) => [...root.querySelectorAll("details[data-key]")];
    const was = new Map(unfolded(document).map((one) => [one.dataset.key, one.open]));
    const focus = document.activeElement?.closest?.("details[data-key]")?.dataset.key;
    for (const part of fresh.querySelectorAll("[data-part]")) {
      // Compared with what was served before, not with what people have folded or unfolded since.
      if (served.get(part.id) === part.innerHTML) continue;
      served.set(part.id, part.innerHTML);
      $(part.id).replaceChildren(...part.childNodes);
      for (const one of unfolded($(part.id))) {
        if (was.has(one.dataset.key)) one.open = was.get(one.dataset.key);
        if (focus === one.dataset.key) one.querySelector("summary").focus({ preventScroll: true });
      }
    }
    $("kind").value = kind;
  }
  // Redone meanwhile: the sheet shows the new image in its place, or closes where there is none.
  function keepOpen(seen) {
    open = data.cards.findIndex((card) => card.key === seen.key);
    if (open >= 0) return;
    const there = data.cards.findIndex((card) => card.place === seen.place);
    if (there >= 0) fill(there);
    else $("sheet").close();
  }
  function merge(fresh) {
    mergeParts(fresh);
    const groups = $("groups"), scroll = window.scrollY, focus = document.activeElement?.closest?.(".card")?.id;
    const closed = new Set([...groups.querySelectorAll(".group:not([open])")].map((group) => group.dataset.folder));
    groups.replaceChildren(...fresh.getElementById("groups").childNodes);
    for (const group of groups.querySelectorAll(".group")) if (closed.has(group.dataset.folder)) group.open = false;
    const seen = open >= 0 ? data.cards[open] : null;
    data = JSON.parse(fresh.getElementById("data").textContent);
    data.cards.forEach((_, n) => showMark(n));
    filter();
    if (seen) keepOpen(seen);
    if (focus) $(focus)?.querySelector("a")?.focus({ preventScroll: true });
    window.scrollTo({ top: scroll, behavior: "instant" });
  }
  async function look(version) {
    let next = version;
    try {
      const state = await (await fetch("state.json", { cache: "no-store" })).json();
      if (version && state.version !== version) {
        merge(new DOMParser().parseFromString(await (await fetch("./", { cache: "no-store" })).text(), "text/html"));
      }
      next = state.version;
      if ($("live")) $("live").textContent = "live";
    } catch { if ($("live")) $("live").textContent = "not connected; the page shows what was known last"; }
    setTimeout(look, 3000, next);
  }
  recall();
  follow({});
  if (document.body.dataset.live) look(data.version);
})();
