// The shelf: the items that are leased and waiting, the first of them on screen. It is filled ahead of need, picks up
// what the person held before a reload, and keeps leases alive while somebody works.

const SHELF = 20;
const FAST_SHELF = 60;
const KEPT = 3;
const FAST_MS = 400;
const POLL_EMPTY_MS = 3000;
const POLL_FAILED_MS = 2000;
const RENEW_EVERY_MS = 15000;
const RENEW_BEFORE_MS = 90000;
const IDLE_MS = 15 * 60000;

class Shelf {
  constructor(api, outbox) {
    this.api = api;
    this.outbox = outbox;
    this.items = [];
    this.done = new Set(); // ids decided here: never shown again unless undone or rejected
    this.picks = []; // times of the last decisions
    this.filling = false;
    this.started = false;
    this.empty = false;
    this.failed = null;
    this.rankedBy = null;
    this.remaining = null;
    this.lastActivity = Date.now();
    this.listener = {};
    this.closed = false;
  }

  get current() {
    return this.items[0] ?? null;
  }

  // What is held already comes first, in its order; then the shelf is filled.
  async start() {
    this.closed = false;
    if (!this.renewing) this.renewing = setInterval(() => this.renew(), RENEW_EVERY_MS);
    try {
      const answer = await this.api.call("GET", "/leases?limit=100");
      this.put((Array.isArray(answer) ? answer : answer.data).map(Shelf.fromLease));
      this.started = true;
      this.failed = null;
    } catch (error) {
      this.failLater(error, () => this.start());
      return;
    }
    await this.fill();
  }

  stop() {
    this.closed = true;
    clearInterval(this.renewing);
    clearTimeout(this.timer);
    this.renewing = null;
  }

  // A lease names its item, whole or field by field.
  static fromLease(row) {
    const item = row.item && typeof row.item === "object" ? row.item : row;
    const lease = row.lease ?? { id: row.id, expires_at: row.expires_at };
    return { ...item, lease };
  }

  put(items) {
    const here = new Set(this.items.map((item) => item.id));
    for (const item of items) {
      if (here.has(item.id) || this.done.has(item.id) || this.outbox.holds(item.id)) continue;
      here.add(item.id);
      this.items.push(item);
      if (item.content_url) new Image().src = item.content_url; // in the cache before it is needed
    }
    this.listener.onChange?.();
  }

  // The current item is decided: the next one is there at once.
  take() {
    const item = this.items.shift();
    this.done.add(item.id);
    const now = performance.now();
    this.picks = [...this.picks.slice(-4), now];
    this.lastActivity = Date.now();
    if (this.items.length <= this.size() / 2) this.fill();
    return item;
  }

  putBack(item, position) {
    this.done.delete(item.id);
    this.items = this.items.filter((other) => other.id !== item.id);
    this.items.splice(Math.min(position, this.items.length), 0, item);
    this.listener.onChange?.();
  }

  // Twenty, and more for a hand that would empty that before the next twenty are here.
  size() {
    const span = this.picks.length < 3 ? Infinity : (this.picks.at(-1) - this.picks[0]) / (this.picks.length - 1);
    return span < FAST_MS ? FAST_SHELF : SHELF;
  }

  async fill() {
    if (this.filling || this.closed || !this.started) return;
    const missing = this.size() - this.items.length;
    if (missing <= 0) return;
    this.filling = true;
    clearTimeout(this.timer);
    try {
      const batch = await this.api.call("POST", "/batches", { size: missing });
      this.rankedBy = batch.ranked_by;
      this.remaining = batch.remaining;
      this.empty = batch.items.length === 0;
      this.failed = null;
      this.put(batch.items);
    } catch (error) {
      this.failLater(error, () => this.fill());
      return;
    } finally {
      this.filling = false;
    }
    if (this.empty && !this.closed) this.timer = setTimeout(() => this.fill(), POLL_EMPTY_MS);
    else if (this.items.length <= this.size() / 4) this.fill();
  }

  // A newer ranking is there: what nobody has seen yet goes back, and better items come in its place. Not under a fast
  // hand, which would outrun it: its items come from the new ranking soon enough.
  async rerank(round) {
    if (this.filling || this.closed || this.rankedBy === null || round <= this.rankedBy.round) return;
    if (this.size() !== SHELF) return;
    this.rankedBy = { ...this.rankedBy, round };
    const unseen = this.items.splice(KEPT).filter((item) => item.lease?.id !== undefined);
    await Promise.allSettled(unseen.map((item) => this.api.call("DELETE", `/leases/${encodeURIComponent(item.lease.id)}`)));
    await this.fill();
  }

  failLater(error, again) {
    this.failed = error;
    this.listener.onChange?.();
    clearTimeout(this.timer);
    if (!this.closed) this.timer = setTimeout(again, POLL_FAILED_MS);
  }

  // Leases near their end are renewed while somebody is here; one that was lost leaves the shelf unless it is on screen.
  async renew() {
    const now = Date.now();
    const left = (item) => (item.lease?.expires_at ? Date.parse(item.lease.expires_at) - now : Infinity);
    if (now - this.lastActivity > IDLE_MS) {
      this.drop(this.items.filter((item) => left(item) <= 0));
      return;
    }
    for (const item of this.items.filter((held) => left(held) < RENEW_BEFORE_MS)) {
      try {
        const answer = await this.api.call("POST", `/leases/${encodeURIComponent(item.lease.id)}/renew`);
        item.lease = { ...item.lease, expires_at: (answer.lease ?? answer).expires_at };
      } catch (error) {
        if (error instanceof Refused && [404, 409, 410].includes(error.status)) this.drop([item]);
        else return;
      }
    }
  }

  drop(items) {
    const lost = new Set(items.filter((item) => item !== this.current));
    if (lost.size === 0) return;
    this.items = this.items.filter((item) => !lost.has(item));
    this.listener.onChange?.();
    this.fill();
  }

  touch() {
    const wasIdle = Date.now() - this.lastActivity > IDLE_MS;
    this.lastActivity = Date.now();
    if (wasIdle) this.renew();
  }
}
