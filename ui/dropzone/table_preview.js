// The first rows of a file, read here in the browser: only a slice of it, however long the file is.

const PREVIEW_BYTES = 1 << 18;
const PREVIEW_ROWS = 5;

// Rows of a delimited text (RFC 4180), at most `limit`; the last one is dropped when the slice may have cut it.
function parseDelimited(text, delimiter, limit, cut) {
  const rows = [];
  let row = [];
  let field = "";
  let quoted = false;
  for (let i = 0; i < text.length && rows.length < limit; i += 1) {
    const c = text[i];
    if (quoted) {
      if (c === '"' && text[i + 1] === '"') {
        field += '"';
        i += 1;
      } else if (c === '"') quoted = false;
      else field += c;
    } else if (c === '"' && field === "") quoted = true;
    else if (c === delimiter) {
      row.push(field);
      field = "";
    } else if (c === "\n" || c === "\r") {
      if (c === "\r" && text[i + 1] === "\n") i += 1;
      if (row.length > 0 || field !== "") rows.push([...row, field]);
      row = [];
      field = "";
    } else field += c;
  }
  if (rows.length < limit && !cut && (row.length > 0 || field !== "")) rows.push([...row, field]);
  return rows;
}

function parseJsonLines(text, limit, cut) {
  const lines = text.split(/\r?\n/);
  if (cut) lines.pop();
  const rows = [];
  for (const line of lines) {
    if (line.trim() === "" || rows.length >= limit) continue;
    try {
      const row = JSON.parse(line);
      if (row && typeof row === "object" && !Array.isArray(row)) rows.push(row);
    } catch {
      // A broken line is the import's to report, with its number.
    }
  }
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cell = (value) => (value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));
  return [names, ...rows.map((row) => names.map((name) => cell(row[name])))];
}

// {kind, header, rows}; header is null for kinds that have no rows to show.
async function readPreview(file) {
  const kind = (file.name.toLowerCase().match(/\.(csv|tsv|jsonl|ndjson|parquet|zip|npz)$/) ?? [])[1] ?? null;
  if (!["csv", "tsv", "jsonl", "ndjson"].includes(kind)) return { kind, header: null, rows: [] };
  const text = (await file.slice(0, PREVIEW_BYTES).text()).replace(/^\uFEFF/, "");
  const cut = file.size > PREVIEW_BYTES;
  if (kind === "jsonl" || kind === "ndjson") {
    const [header, ...rows] = parseJsonLines(text, PREVIEW_ROWS, cut);
    return { kind: "jsonl", header, rows };
  }
  const firstLine = text.slice(0, text.search(/[\r\n]|$/));
  const delimiter = kind === "tsv" ? "\t" : guessDelimiter(firstLine);
  const [header = [], ...rows] = parseDelimited(text, delimiter, PREVIEW_ROWS + 1, cut);
  return { kind, header, rows };
}

function guessDelimiter(line) {
  const count = (mark) => line.split(mark).length - 1;
  return [",", ";", "\t"].reduce((best, mark) => (count(mark) > count(best) ? mark : best), ",");
}

// Which column is which, by name; for what must be there and has no known name, the column with the longest values.
function guessMapping(header, rows, wanted) {
  const known = {
    text: ["text", "content", "body", "message", "sentence", "review", "document", "title", "comment", "utterance"],
    image: ["image", "picture", "photo"],
    features: ["features", "x", "vector", "embedding"],
    label: ["label", "class", "category", "target", "y", "intent"],
    key: ["key", "id", "uid", "uuid"],
    split: ["split", "fold", "subset"],
  };
  const lower = header.map((name) => name.trim().toLowerCase());
  const mapping = {};
  for (const field of wanted) {
    const found = (known[field] ?? [field]).map((name) => lower.indexOf(name)).find((at) => at >= 0);
    if (found !== undefined) mapping[field] = header[found];
  }
  if (mapping[wanted[0]] === undefined && header.length > 0) {
    const length = (at) => rows.reduce((sum, row) => sum + (row[at] ?? "").length, 0);
    const free = header.map((_, at) => at).filter((at) => !Object.values(mapping).includes(header[at]));
    mapping[wanted[0]] = header[free.sort((a, b) => length(b) - length(a))[0] ?? 0];
  }
  return mapping;
}
