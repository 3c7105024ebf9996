// The outbox: what the person decided and the server has not yet confirmed. It outlives a reload (localStorage), sends
// in order, and repeats each request under the same request_id until the server has answered, so nothing is lost and
// nothing is doubled. One outbox for each person and project lives on while its page is away.

const CALL_SIZE = 20;
const COALESCE_MS = 60;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;
const CALL_TIMEOUT_MS = 20000;

class Refused extends Error {
  constructor(status, problem) {
    super((problem && (problem.detail || problem.title)) || `The server answered ${status}.`);
    this.status = status;
  }
}

class Api {
  constructor(project) {
    this.base = `/v1/projects/${encodeURIComponent(project)}`;
  }

  // Gives the decoded answer; throws Refused with the status, or whatever fetch throws when there is no answer.
  async call(method, path, body, { keepalive = false } = {}) {
    const answer = await fetch(this.base + path, {
      method,
      keepalive,
      credentials: "same-origin",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    });
    let decoded = null;
    try {
      decoded = await answer.json();
    } catch (error) {
      if (answer.ok && answer.status !== 204) throw error;
    }
    if (!answer.ok) throw new Refused(answer.status, decoded);
    return decoded;
  }
}

class Outbox {
  constructor(api, storageKey) {
    this.api = api;
    this.storageKey = storageKey;
    this.ops = this.load();
    this.labelIds = new Map(); // request_id -> id of the label at the server
    this.busy = false;
    this.failures = 0;
    this.callSize = CALL_SIZE;
    this.trouble = null; // null | "offline" | "signed-out" | "no-access"
    this.timer = null;
    this.listener = {};
    window.addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.retryNow());
    window.addEventListener("pagehide", () => this.sendLastWords());
    window.addEventListener("beforeunload", (event) => {
      if (this.ops.length > 0) event.preventDefault();
    });
    if (this.ops.length > 0) this.schedule(0);
  }

  // One outbox for each key, however often the page's component is mounted.
  static of(project, user) {
    const all = (window[Symbol.for("winnow.outboxes")] ??= new Map());
    const storageKey = `winnow.outbox.${user}.${project}`;
    if (!all.has(storageKey)) all.set(storageKey, new Outbox(new Api(project), storageKey));
    return all.get(storageKey);
  }

  load() {
    try {
      const stored = JSON.parse(localStorage.getItem(this.storageKey) ?? "null");
      return stored && stored.v === 1 && Array.isArray(stored.ops) ? stored.ops : [];
    } catch {
      return [];
    }
  }

  save() {
    try {
      if (this.ops.length === 0) localStorage.removeItem(this.storageKey);
      else localStorage.setItem(this.storageKey, JSON.stringify({ v: 1, ops: this.ops }));
    } catch {
      // Storage is full or switched off: the labels are still in memory, and beforeunload warns.
    }
  }

  get unsent() {
    return this.ops.length;
  }

  holds(item) {
    return this.ops.some((op) => op.kind === "label" && op.body.item === item && !this.undone(op.body.request_id));
  }

  undone(requestId) {
    return this.ops.some((op) => op.kind === "undo" && op.request_id === requestId);
  }

  addLabel(body) {
    this.ops.push({ kind: "label", body, tried: false });
    this.changed();
  }

  // Takes a label back. One that was never sent just goes (the answer is true, and its lease still holds); one that may
  // have arrived is undone at the server, in turn.
  undo(requestId, item) {
    const at = this.ops.findIndex((op) => op.kind === "label" && op.body.request_id === requestId);
    const unsent = at >= 0 && !this.ops[at].tried;
    if (unsent) this.ops.splice(at, 1);
    else this.ops.push({ kind: "undo", request_id: requestId, item, label: this.labelIds.get(requestId) ?? null });
    this.changed();
    return unsent;
  }

  changed() {
    this.save();
    this.listener.onChange?.();
    if (this.busy) return;
    if (this.ops.length >= CALL_SIZE && this.failures === 0) this.pump();
    else if (this.timer === null && this.ops.length > 0) this.schedule(COALESCE_MS);
  }

  schedule(milliseconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = null;
      this.pump();
    }, milliseconds);
  }

  retryNow() {
    if (this.ops.length > 0 && !this.busy) this.schedule(0);
  }

  async pump() {
    if (this.busy) return;
    clearTimeout(this.timer);
    this.timer = null;
    this.busy = true;
    try {
      while (this.ops.length > 0) {
        if (this.ops[0].kind === "label") await this.sendLabels();
        else await this.sendUndo();
        this.failures = 0;
        this.trouble = null;
        this.save();
        this.listener.onChange?.();
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.busy = false;
    }
  }

  // The labels at the head of the line, up to twenty, no item twice (answers are told apart by item).
  head() {
    const batch = [];
    const items = new Set();
    for (const op of this.ops) {
      if (op.kind !== "label" || items.has(op.body.item) || batch.length >= this.callSize) break;
      items.add(op.body.item);
      batch.push(op);
    }
    return batch;
  }

  async sendLabels() {
    const batch = this.head();
    for (const op of batch) op.tried = true;
    this.save();
    let answer;
    try {
      answer = await this.api.call("POST", "/labels", { labels: batch.map((op) => op.body) });
    } catch (error) {
      if (!(error instanceof Refused) || ![400, 409, 413, 422].includes(error.status)) throw error;
      // The call as a whole was refused: find the label at fault by sending one at a time.
      if (batch.length > 1) {
        this.callSize = 1;
        return;
      }
      answer = { accepted: [], rejected: [{ item: batch[0].body.item, reason: error.message }] };
    }
    this.callSize = CALL_SIZE;
    const accepted = new Map((answer.accepted ?? []).map((row) => [String(row.item), row.id]));
    const reasons = new Map((answer.rejected ?? []).map((row) => [String(row.item), row.reason]));
    this.ops = this.ops.filter((op) => !batch.includes(op));
    for (const op of batch) this.settle(op, accepted.get(op.body.item), reasons.get(op.body.item));
  }

  settle(op, id, reason) {
    const requestId = op.body.request_id;
    if (id !== undefined) {
      this.labelIds.set(requestId, String(id));
      for (const other of this.ops) {
        if (other.kind === "undo" && other.request_id === requestId) other.label = String(id);
      }
      this.listener.onAccepted?.(op.body);
      return;
    }
    const wasUndone = this.undone(requestId);
    this.ops = this.ops.filter((other) => !(other.kind === "undo" && other.request_id === requestId));
    if (!wasUndone) this.listener.onRejected?.(op.body, reason ?? "The server did not say why.");
  }

  async sendUndo() {
    const op = this.ops[0];
    if (op.label !== null) {
      try {
        const answer = await this.api.call("DELETE", `/labels/${encodeURIComponent(op.label)}`);
        this.listener.onUndone?.(op.item, answer);
      } catch (error) {
        // Gone already: an earlier try arrived, and only its answer was lost.
        if (!(error instanceof Refused) || ![404, 409, 410].includes(error.status)) throw error;
      }
    }
    this.labelIds.delete(op.request_id);
    this.ops.shift();
  }

  fail(error) {
    this.failures += 1;
    const status = error instanceof Refused ? error.status : 0;
    this.trouble = status === 401 ? "signed-out" : status === 403 || status === 404 ? "no-access" : "offline";
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.failures - 1));
    this.schedule(pause * (0.8 + 0.4 * Math.random()));
    this.listener.onChange?.();
  }

  // The page goes away: hand the head of the line to the browser. If it does not arrive, the next visit sends it again.
  sendLastWords() {
    const batch = this.head();
    if (batch.length === 0) return;
    for (const op of batch) op.tried = true;
    this.save();
    this.api.call("POST", "/labels", { labels: batch.map((op) => op.body) }, { keepalive: true }).catch(() => {});
  }
}
