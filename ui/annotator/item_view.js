// How one item looks. Everything that came from a file is set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const FEATURES_SHOWN = 12;
const META_SHOWN = 200;

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function sparkline(values) {
  const width = 600;
  const height = 90;
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const step = width / Math.max(1, values.length - 1);
  const points = values.map((value, i) => `${(i * step).toFixed(1)},${(height - ((value - low) / span) * height).toFixed(1)}`);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `-4 -4 ${width + 8} ${height + 8}`);
  svg.setAttribute("class", "spark");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${values.length} values from ${low} to ${low + span}`);
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", points.join(" "));
  svg.append(line);
  return svg;
}

function featureTable(values) {
  const table = element("table", "features");
  const head = table.insertRow();
  const body = table.insertRow();
  values.slice(0, FEATURES_SHOWN).forEach((value, i) => {
    const th = element("th", "", String(i + 1));
    head.append(th);
    body.insertCell().textContent = Number(value).toPrecision(4).replace(/\.?0+$/, "");
  });
  if (values.length > FEATURES_SHOWN) {
    head.append(element("th", "", "…"));
    body.insertCell().textContent = `+ ${values.length - FEATURES_SHOWN}`;
  }
  return table;
}

function picture(url) {
  const image = element("img", "picture");
  image.alt = "The item to label";
  image.decoding = "sync";
  image.draggable = false;
  image.onload = () => image.classList.toggle("tiny", image.naturalWidth < 100);
  image.onerror = () => image.replaceWith(element("p", "broken", "This picture could not be shown. Flag it or skip it."));
  // Only our own origin's paths: an item cannot make the page ask anybody else.
  const address = new URL(url, location.origin);
  if (address.origin === location.origin) image.src = address.pathname + address.search;
  else image.onerror();
  return image;
}

function showItem(box, item) {
  box.replaceChildren();
  box.scrollTop = 0;
  if (item.text !== undefined && item.text !== null) {
    const text = element("p", "text", item.text);
    text.classList.toggle("long", item.text.length > 600);
    text.dir = "auto";
    box.append(text);
  } else if (item.content_url) {
    box.append(picture(item.content_url));
  } else if (Array.isArray(item.features)) {
    box.append(sparkline(item.features), featureTable(item.features));
  }
}

function metaText(meta) {
  if (!meta || typeof meta !== "object") return "";
  return Object.entries(meta)
    .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(" · ")
    .slice(0, META_SHOWN);
}
