// The labeling surface: keys and clicks in, the next item on screen in the same frame, decisions into the outbox.

const HISTORY = 200;
const STATS_EVERY_MS = 4000;
const TOAST_MS = 8000;
const DIGITS = [..."1234567890"];
// For labels without a colour of their own: told apart by most eyes, on light and dark.
const COLORS = ["#2f8f5b", "#3b76c4", "#c77d0a", "#9a4fb5", "#c8453b", "#1d8f9c", "#7a7f1f", "#b8487f", "#6b6f76"];

class Surface {
  constructor(root, data) {
    this.root = root;
    this.at = {};
    for (const node of root.querySelectorAll("[data-at]")) this.at[node.dataset.at] = node;
    this.history = [];
    this.session = 0;
    this.shown = null;
    this.toast = null;
    this.stats = null;
    this.passive = false;
    this.update(data);
    this.outbox = Outbox.of(data.project, data.user);
    this.shelf = new Shelf(this.outbox.api, this.outbox);
    this.outbox.listener = {
      onChange: () => this.showState(),
      onAccepted: () => this.refreshStats(),
      onRejected: (body, reason) => this.rejected(body, reason),
      onUndone: (item, answer) => this.undone(item, answer),
    };
    this.shelf.listener = { onChange: () => this.show() };
    this.listen();
    this.show();
    this.claimTab();
  }

  // The project's own data may change while the page is open (a rerun): names, keys, guidelines.
  update(data) {
    const before = JSON.stringify(this.data ?? null);
    this.data = data;
    if (before === JSON.stringify(data)) return;
    this.buildLabels();
    this.at.guidelines.textContent = data.guidelines || "";
    this.root.querySelector('[data-do="guidelines"]').hidden = !data.guidelines;
  }

  // The project's keys; labels without one get the next free digit. Where every label is a single character and nobody
  // chose other keys, a label's name is its key: a digit classifier's 7 is on the 7.
  buildLabels() {
    this.byKey = new Map();
    const labels = this.data.labels;
    const names = labels.map((label) => label.name.toLowerCase());
    const unchosen = labels.every((label, i) => !label.hotkey || label.hotkey === DIGITS[i]);
    const own = unchosen && names.every((name) => /^[a-z0-9]$/.test(name)) && new Set(names).size === names.length;
    const chosen = labels.map((label, i) => (own ? names[i] : (label.hotkey || "").toLowerCase()));
    const free = DIGITS.filter((digit) => !chosen.includes(digit));
    const buttons = labels.map((label, i) => {
      const key = chosen[i] || free.shift() || "";
      if (key) this.byKey.set(key, label.name);
      return this.labelButton(label, key, COLORS[i % COLORS.length]);
    });
    this.at.labels.replaceChildren(...buttons);
    this.at.labels.classList.toggle("many", buttons.length > 12);
    this.at.find.hidden = buttons.length <= DIGITS.length;
  }

  labelButton(label, key, color) {
    const button = element("button", "label");
    button.type = "button";
    button.dataset.label = label.name;
    if (label.description) button.title = label.description;
    const own = /^#[0-9a-f]{6}$/i.test(label.color || "") ? label.color : color;
    button.style.setProperty("--label-color", own);
    if (key) button.append(element("kbd", "", key.toUpperCase()));
    button.append(element("span", "", label.name));
    return button;
  }

  listen() {
    this.onKey = (event) => this.key(event);
    // Ahead of Streamlit's own shortcuts (C and R), which would otherwise act on a label's key.
    window.addEventListener("keydown", this.onKey, { capture: true });
    this.onTouch = () => this.shelf.touch();
    window.addEventListener("pointermove", this.onTouch, { passive: true });
    this.root.addEventListener("click", (event) => this.click(event));
    this.at.flagging.addEventListener("submit", (event) => {
      event.preventDefault();
      this.flag();
    });
    this.at.findInput.addEventListener("input", () => this.filterLabels());
    this.statsTimer = setInterval(() => this.refreshStats(), STATS_EVERY_MS * 2);
    this.refreshStats();
  }

  close() {
    window.removeEventListener("keydown", this.onKey, { capture: true });
    window.removeEventListener("pointermove", this.onTouch);
    clearInterval(this.statsTimer);
    this.shelf.stop();
    this.releaseTab?.();
  }

  // Two tabs of one person would be handed the same items: only one works at a time, and the other says so.
  claimTab(steal = false) {
    if (!navigator.locks) {
      this.shelf.start();
      return;
    }
    const hold = () => new Promise((release) => { this.releaseTab = release; });
    const options = steal ? { steal: true } : { ifAvailable: true };
    navigator.locks
      .request(this.outbox.storageKey, options, (lock) => {
        if (lock === null) {
          this.setPassive(true);
          return undefined;
        }
        this.setPassive(false);
        this.shelf.start();
        return hold();
      })
      .catch(() => {
        this.shelf.stop();
        this.setPassive(true); // another tab took over
      });
  }

  setPassive(passive) {
    this.passive = passive;
    if (passive) {
      this.shelf.items = [];
      this.notice("You are labeling this project in another tab.", "Continue here", () => this.claimTab(true));
    } else this.notice(null);
    this.show();
  }

  // What a key means: the project's own keys first, then digits, then the commands.
  key(event) {
    if (!this.root.host?.isConnected && !this.root.isConnected) return;
    const target = event.composedPath()[0];
    const typing = target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
    if (typing) {
      if (target === this.at.flagReason && event.key === "Escape") this.openFlag(false);
      if (target === this.at.findInput) this.findKey(event);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const key = event.key.toLowerCase();
    const label = this.byKey.get(key);
    const command = { s: "skip", u: "undo", backspace: "undo", f: "flag", "?": "help", "/": "find" }[key];
    if (label === undefined && command === undefined) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.repeat) return; // a key that is held down is one decision, not thirty
    if (label !== undefined) this.decide({ label });
    else this.command(command);
  }

  click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.label !== undefined) this.decide({ label: button.dataset.label });
    else if (button.dataset.do) this.command(button.dataset.do);
    // Keys go on working after a click, and Space does not press the button again.
    if (button.dataset.label !== undefined || ["skip", "undo"].includes(button.dataset.do)) button.blur();
  }

  command(name) {
    if (name === "skip") this.decide({ skip: true });
    else if (name === "undo") this.undo();
    else if (name === "flag") this.openFlag(true);
    else if (name === "unflag") this.openFlag(false);
    else if (name === "find") this.at.find.hidden || this.at.findInput.focus();
    else if (name === "help" || name === "guidelines") this.at[name].hidden = !this.at[name].hidden;
  }

  // The item that is on screen is the one that gets the label: it goes into the outbox by its id.
  decide(choice) {
    const item = this.shelf.current;
    if (item === null || item !== this.shown || this.passive) return;
    const body = { item: item.id, ...choice, seconds: this.seconds(), request_id: newRequestId() };
    if (item.lease?.id !== undefined) body.lease = item.lease.id;
    this.history = [...this.history.slice(1 - HISTORY), { item, requestId: body.request_id }];
    this.session += 1;
    this.openFlag(false);
    this.shelf.take();
    this.show();
    this.outbox.addLabel(body);
  }

  undo() {
    const last = this.history.pop();
    if (last === undefined) {
      this.say("Nothing to take back since this page was opened.");
      return;
    }
    this.session -= 1;
    // The label used its lease up; the undo's answer brings a new one.
    if (!this.outbox.undo(last.requestId, last.item.id)) delete last.item.lease;
    this.shelf.putBack(last.item, 0);
  }

  // The server has given the item back to us, under a new lease.
  undone(id, answer) {
    const item = this.shelf.items.find((held) => held.id === id);
    if (item && answer?.lease) item.lease = answer.lease;
  }

  rejected(body, reason) {
    const at = this.history.findIndex((entry) => entry.requestId === body.request_id);
    this.say(`A decision was not accepted: ${reason}${at >= 0 ? " The item comes again." : ""}`);
    if (at < 0) return;
    const [{ item }] = this.history.splice(at, 1);
    this.session -= 1;
    delete item.lease;
    this.shelf.putBack(item, 1); // behind the one on screen: what is being looked at must not change
  }

  openFlag(open) {
    if (open && this.shown === null) return;
    if (this.at.flagging.hidden === !open) return;
    this.at.flagging.hidden = !open;
    this.at.flagReason.value = "";
    if (open) this.at.flagReason.focus();
  }

  flag() {
    const reason = this.at.flagReason.value.trim();
    if (reason) this.decide({ flag: reason });
    else this.at.flagReason.focus();
  }

  filterLabels() {
    const wanted = this.at.findInput.value.trim().toLowerCase();
    for (const button of this.at.labels.children) {
      button.hidden = wanted !== "" && !button.dataset.label.toLowerCase().includes(wanted);
    }
  }

  findKey(event) {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const first = [...this.at.labels.children].find((button) => !button.hidden);
    const wanted = this.at.findInput.value.trim() !== "";
    this.at.findInput.value = "";
    this.filterLabels();
    this.at.findInput.blur();
    if (event.key === "Enter" && wanted && first && !event.repeat) this.decide({ label: first.dataset.label });
  }

  // Seconds that the item was on a visible screen.
  seconds() {
    const watched = this.watched + (document.hidden ? 0 : performance.now() - this.since);
    return Math.round(Math.min(watched, 3.6e6)) / 1000;
  }

  show() {
    const item = this.passive ? null : this.shelf.current;
    if (item !== this.shown || (item === null && this.shown === null)) {
      if (item !== null && item !== this.shown) {
        showItem(this.at.item, item);
        this.watched = 0;
        this.since = performance.now();
        document.onvisibilitychange = () => this.watch();
        this.showHints(item);
        this.at.card.dataset.item = item.id;
      }
      this.shown = item;
      const nothing = item === null;
      this.at.item.hidden = nothing;
      this.at.wait.hidden = !nothing;
      this.at.labels.classList.toggle("off", nothing);
      if (nothing) {
        delete this.at.card.dataset.item;
        this.at.why.textContent = this.at.guess.textContent = "";
        this.at.wait.replaceChildren(...this.waiting());
      }
    }
    this.showState();
  }

  watch() {
    if (document.hidden) this.watched += performance.now() - this.since;
    else this.since = performance.now();
  }

  showHints(item) {
    const guess = item.prediction;
    this.at.guess.textContent = guess ? `model: ${guess.label} ${Math.round(guess.confidence * 100)} %` : "";
    this.at.why.textContent = [item.reason, metaText(item.meta)].filter(Boolean).join(" · ");
  }

  waiting() {
    if (this.passive) return [];
    if (this.shelf.failed instanceof Refused && [401, 403, 404].includes(this.shelf.failed.status)) {
      const signedOut = this.shelf.failed.status === 401;
      return [element("b", "", signedOut ? "You are signed out." : "You have no access to this project any more."), element("span", "", signedOut ? "Sign in again in another tab: this page then goes on by itself." : "Ask its manager.")];
    }
    if (this.shelf.failed) return [element("b", "", "No answer from the server."), element("span", "", "Trying again every two seconds. What you labeled is kept.")];
    if (!this.shelf.empty) return [element("span", "", "Fetching items …")];
    if (this.stats && this.stats.items === 0) return [element("b", "", "No items yet."), element("span", "", "Add data to this project: items appear here as soon as the import has read them.")];
    return [element("b", "", "Nothing left for you to label."), element("span", "", "New items appear here by themselves.")];
  }

  showState() {
    const unsent = this.outbox.unsent;
    const trouble = this.outbox.trouble;
    const words = {
      offline: `offline – will retry, ${unsent} not yet saved`,
      "signed-out": `signed out – ${unsent} not yet saved. Sign in again in another tab.`,
      "no-access": `no access – ${unsent} not saved`,
    };
    const [icon, text] = this.at.state.children;
    const next = unsent === 0 ? "saved" : trouble ? words[trouble] : `${unsent} not yet saved`;
    if (text.textContent !== next) text.textContent = next;
    icon.className = unsent === 0 ? "ok" : trouble ? "bad" : "busy";
    this.at.state.dataset.unsent = unsent;
    this.showFreshness();
  }

  showFreshness() {
    const fresh = this.stats?.freshness ?? {};
    // What the items at hand were ranked by; after a reload they are still held, and only the server can say.
    const rank = this.shelf.rankedBy ?? (this.stats ? fresh : null);
    const parts = [];
    if (rank) {
      const newest = Math.max(rank.round, fresh.round ?? 0);
      parts.push(rank.round > 0 ? `ranked by round ${rank.round}` : newest > 0 ? "picked before the first round" : "no round yet");
      if (newest > rank.round) parts.push(`round ${newest}'s items come next`);
      const behind = fresh.labels_behind ?? rank.labels_behind;
      if (newest > 0 && newest === rank.round && behind > 0) parts.push(`${behind} ${behind === 1 ? "label" : "labels"} behind`);
      const until = fresh.next_round_in ?? null;
      if (fresh.training) parts.push("a round is running");
      else if (fresh.trouble) parts.push("training has stopped: see Rounds");
      else if (until !== null && until > 0) parts.push(`${newest > 0 ? "next round" : "the first"} in about ${until} ${until === 1 ? "label" : "labels"}`);
    }
    const line = parts.join(", ");
    if (this.at.fresh.textContent !== line) this.at.fresh.textContent = line;
    const left = this.stats?.remaining ?? this.shelf.remaining;
    const counts = [`${this.session} by you now`, ...(left === null || left === undefined ? [] : [`${left.toLocaleString("en")} left`])].join(" · ");
    if (this.at.counts.textContent !== counts) this.at.counts.textContent = counts;
  }

  // At most one call in four seconds, and none while nobody looks.
  async refreshStats() {
    const now = Date.now();
    if (this.passive || document.hidden || this.asking || now - (this.askedAt ?? 0) < STATS_EVERY_MS) return;
    this.asking = true;
    this.askedAt = now;
    try {
      this.stats = await this.outbox.api.call("GET", "/stats");
      this.showState();
      this.shelf.rerank(this.stats.freshness?.round ?? 0);
    } catch {
      // The line keeps what it said; the outbox and the shelf report a server that is away.
    } finally {
      this.asking = false;
    }
  }

  say(text) {
    this.notice(text);
    clearTimeout(this.toast);
    this.toast = setTimeout(() => this.passive || this.notice(null), TOAST_MS);
  }

  notice(text, action, run) {
    this.at.notice.hidden = text === null;
    this.at.notice.replaceChildren();
    if (text === null) return;
    this.at.notice.append(element("span", "", text));
    if (!action) return;
    const button = element("button", "primary", action);
    button.type = "button";
    button.onclick = run;
    this.at.notice.append(button);
  }
}

function newRequestId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  // Plain http on a network address: randomUUID is kept for secure contexts, getRandomValues is not.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const surfaces = new WeakMap();

// Runs again on every change of data: set up once for each place in the page, then only hand the data on.
export default function ({ parentElement, data }) {
  let surface = surfaces.get(parentElement);
  if (surface === undefined) {
    surface = new Surface(parentElement, data);
    surfaces.set(parentElement, surface);
  } else surface.update(data);
  return () => {
    surface.close();
    surfaces.delete(parentElement);
  };
}
