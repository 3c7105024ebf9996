// Drop a file: it goes straight from the browser to /v1, as a stream, and its import is watched from here.

const POLL_MS = 300;
const POLL_SLOW_MS = 1500;
const UNTOUCHED = "";
const READS = {
  text: { kinds: ["csv", "tsv", "jsonl", "parquet"], words: "CSV, TSV, JSONL or Parquet" },
  image: { kinds: ["zip", "jsonl", "csv", "tsv", "parquet"], words: "a ZIP of images, JSONL or Parquet" },
  features: { kinds: ["npz", "csv", "tsv", "jsonl", "parquet"], words: ".npz, CSV, JSONL or Parquet" },
};

class DropZone {
  constructor(root, data, emit) {
    this.root = root;
    this.data = data;
    this.emit = emit;
    this.at = {};
    for (const node of root.querySelectorAll("[data-at]")) this.at[node.dataset.at] = node;
    this.at.kinds.textContent = `${this.reads.words} — or click to choose one`;
    this.listen();
  }

  get base() {
    return `/v1/projects/${encodeURIComponent(this.data.project)}`;
  }

  get reads() {
    return READS[this.data.task] ?? READS.text;
  }

  listen() {
    const { drop, input } = this.at;
    const over = (on) => (event) => {
      event.preventDefault();
      drop.classList.toggle("over", on);
    };
    drop.ondragenter = drop.ondragover = over(true);
    drop.ondragleave = over(false);
    drop.ondrop = (event) => {
      over(false)(event);
      this.choose(event.dataTransfer.files[0]);
    };
    input.onchange = () => this.choose(input.files[0]);
    this.at.start.onclick = () => this.upload();
    this.at.cancel.onclick = this.at.again.onclick = () => this.reset();
    this.at.label.onclick = () => this.emit("label", true);
    window.addEventListener("beforeunload", (event) => {
      if (this.request) event.preventDefault();
    });
  }

  reset() {
    this.watching = null;
    this.at.input.value = "";
    this.at.drop.hidden = false;
    this.at.plan.hidden = this.at.work.hidden = true;
    this.fail(null);
  }

  fail(text) {
    this.at.error.hidden = text === null;
    this.at.error.textContent = text ?? "";
  }

  async choose(file) {
    if (!file) return;
    this.file = file;
    this.fail(null);
    this.at.name.textContent = file.name;
    this.at.size.textContent = bytes(file.size);
    let preview;
    try {
      preview = await readPreview(file);
    } catch {
      this.fail("This file could not be read. Is it still where it was?");
      return;
    }
    if (!this.reads.kinds.includes(preview.kind)) {
      const what = { text: "texts", image: "images", features: "feature vectors" }[this.data.task] ?? "items";
      this.fail(`${file.name} cannot be read here: this project takes ${what} from ${this.reads.words}.`);
      return;
    }
    if (file.size === 0) {
      this.fail("This file is empty.");
      return;
    }
    this.preview = preview;
    this.at.drop.hidden = true;
    this.at.plan.hidden = false;
    this.mapping = null;
    const columns = preview.kind === "csv" || preview.kind === "tsv";
    this.at.mapping.hidden = !columns;
    if (columns) this.askMapping(preview.header);
    this.showPreview();
  }

  askMapping(header) {
    const fields = { text: ["text"], image: ["image"], features: ["features"] }[this.data.task] ?? ["text"];
    const wanted = [...fields, "label", "key", "split"];
    const titles = { text: "Text", image: "Image", features: "Features", label: "Label (optional)", key: "Key (optional)", split: "Split (optional)" };
    this.mapping = guessMapping(header, this.preview.rows, wanted);
    const choosers = wanted.map((field) => {
      const box = document.createElement("label");
      box.append(titles[field]);
      const select = document.createElement("select");
      select.setAttribute("aria-label", titles[field]);
      if (field !== wanted[0]) select.add(new Option("—", UNTOUCHED));
      header.forEach((name) => select.add(new Option(name, name)));
      select.value = this.mapping[field] ?? UNTOUCHED;
      select.onchange = () => {
        if (select.value === UNTOUCHED) delete this.mapping[field];
        else this.mapping[field] = select.value;
        this.showPreview();
      };
      box.append(select);
      return box;
    });
    this.at.mapping.replaceChildren(...choosers);
  }

  showPreview() {
    const { header, rows } = this.preview;
    this.at.preview.replaceChildren();
    this.showLabels();
    if (header === null) return;
    const used = new Set(Object.values(this.mapping ?? {}));
    const fill = (row, tag) => {
      const line = document.createElement("tr");
      header.forEach((name, i) => {
        const cell = document.createElement(tag);
        cell.textContent = (row[i] ?? "").slice(0, 300);
        cell.classList.toggle("used", used.has(name));
        line.append(cell);
      });
      this.at.preview.append(line);
    };
    fill(header, "th");
    rows.forEach((row) => fill(row, "td"));
  }

  // Labels that the project does not have would cost their rows: said before the upload, not after.
  showLabels() {
    const { header, rows } = this.preview;
    const column = this.mapping ? this.mapping.label : "label";
    const at = header === null ? -1 : header.indexOf(column);
    const found = at < 0 ? [] : [...new Set(rows.map((row) => row[at] ?? ""))];
    const foreign = found.filter((name) => name !== "" && !this.data.labels.includes(name));
    this.at.labelsLine.hidden = header !== null && at < 0;
    this.at.useLabels.checked = foreign.length === 0;
    this.at.foreign.hidden = foreign.length === 0;
    this.at.foreign.textContent =
      `This project has no label ${foreign.slice(0, 3).join(", ")}. With the file's labels in use, such rows would be refused.`;
  }

  upload() {
    const form = new FormData();
    if (this.mapping) form.append("mapping", JSON.stringify(this.mapping));
    form.append("labels", this.at.useLabels.checked ? "use" : "ignore");
    form.append("file", this.file, this.file.name); // last: what the server needs to know stands before it
    this.at.plan.hidden = true;
    this.at.work.hidden = false;
    this.at.report.hidden = this.at.errors.hidden = this.at.label.hidden = this.at.again.hidden = true;
    this.step("import", null);
    this.step("encode", null);
    this.step("upload", { progress: 0, note: "" });
    const request = new XMLHttpRequest(); // fetch cannot say how much has been sent
    this.request = request;
    request.open("POST", `${this.base}/imports`);
    request.upload.onprogress = (event) => this.step("upload", { progress: event.loaded / event.total, note: bytes(event.loaded) });
    request.onerror = () => this.uploaded(0, null);
    request.onload = () => {
      let answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // Not JSON: the status says enough.
      }
      this.uploaded(request.status, answer);
    };
    request.send(form);
  }

  uploaded(status, answer) {
    this.request = null;
    if (status === 202) {
      this.step("upload", { progress: 1, note: bytes(this.file.size) });
      this.watch(answer);
      return;
    }
    this.reset();
    this.fail(answer?.detail || answer?.title || (status === 0 ? "The upload broke off. Nothing was imported: try again." : `The server answered ${status}.`));
  }

  step(name, state) {
    const row = this.root.querySelector(`[data-step="${name}"]`);
    row.hidden = state === null;
    if (state === null) return;
    const bar = row.querySelector("progress");
    if (state.progress === undefined) bar.removeAttribute("value");
    else bar.value = state.progress;
    row.querySelector("em").textContent = state.note;
  }

  // Follows the import until it ends; labeling may begin as soon as there is an item.
  async watch(job) {
    const mine = (this.watching = job.id);
    while (this.watching === mine && this.root.isConnected !== false) {
      const now = await this.get(`/v1/jobs/${encodeURIComponent(job.id)}`);
      const stats = await this.get(`${this.base}/stats`);
      if (this.watching !== mine) return;
      if (stats && stats.items > 0) this.at.label.hidden = false;
      if (now) {
        const words = { queued: "waiting for the worker", running: now.message || "", succeeded: "done", failed: "failed", canceled: "canceled" };
        this.step("import", { progress: now.state === "queued" ? undefined : now.progress, note: words[now.state] ?? "" });
        if (["succeeded", "failed", "canceled"].includes(now.state)) {
          this.ended(now);
          this.followEncoding(mine);
          return;
        }
      }
      await pause(POLL_MS);
    }
  }

  ended(job) {
    this.at.again.hidden = false;
    if (job.state !== "succeeded") {
      this.step("import", { progress: job.progress, note: job.state });
      this.fail(job.error?.detail || job.error?.title || job.message || `The import ${job.state}.`);
      return;
    }
    this.step("import", { progress: 1, note: "done" });
    const { created = 0, duplicates = 0, rejected = 0, errors = [] } = job.result ?? {};
    const parts = [`${count(created, "item")} added`];
    if (duplicates) parts.push(`${count(duplicates, "duplicate")} left out`);
    if (rejected) parts.push(`${count(rejected, "row")} not usable`);
    this.at.report.textContent = `${parts.join(", ")}.`;
    this.at.report.hidden = false;
    if (created > 0 || duplicates > 0) this.at.label.hidden = false;
    this.showErrors(errors, rejected);
  }

  showErrors(errors, rejected) {
    this.at.errors.hidden = errors.length === 0;
    if (errors.length === 0) return;
    const shown = errors.slice(0, 100);
    this.at.errors.querySelector("summary").textContent = `What was wrong with ${count(rejected, "row")}${rejected > shown.length ? ` (the first ${shown.length})` : ""}`;
    const lines = shown.map(({ line, reason }) => {
      const row = document.createElement("tr");
      row.insertCell().textContent = `line ${line}`;
      row.insertCell().textContent = reason;
      return row;
    });
    this.at.errors.querySelector("table").replaceChildren(...lines);
  }

  // Encoding goes on behind: shown, never waited for.
  async followEncoding(mine) {
    while (this.watching === mine) {
      const stats = await this.get(`${this.base}/stats`);
      const encoding = stats?.freshness?.encoding ?? null;
      if (this.watching !== mine) return;
      if (encoding === null) {
        this.step("encode", null);
        if (stats) return;
      } else {
        this.step("encode", { progress: encoding.progress, note: encoding.message || "labeling need not wait for it" });
        if (encoding.progress >= 1) return;
      }
      await pause(POLL_SLOW_MS);
    }
  }

  async get(path) {
    try {
      const answer = await fetch(path, { credentials: "same-origin" });
      return answer.ok ? await answer.json() : null;
    } catch {
      return null;
    }
  }
}

function bytes(n) {
  const units = ["B", "KB", "MB", "GB"];
  const power = n < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(n) / 3));
  return `${(n / 1000 ** power).toFixed(power && n / 1000 ** power < 10 ? 1 : 0)} ${units[power]}`;
}

function count(n, word) {
  return `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
}

function pause(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}

const zones = new WeakMap();

export default function ({ parentElement, data, setTriggerValue }) {
  let zone = zones.get(parentElement);
  if (zone === undefined) {
    zone = new DropZone(parentElement, data, setTriggerValue);
    zones.set(parentElement, zone);
  }
  zone.data = data;
  zone.emit = setTriggerValue;
  return () => {
    zone.watching = null;
    zones.delete(parentElement);
  };
}
